"""A reward of your own: digits must be right.

In a phone number one wrong digit spoils all of it, but costs the error rate a single word. This reward looks
at digits only. Copy the file, change the function, and name it in the YAML of a run:

    rewards:
      terms:
        - name: accuracy
        - name: examples/custom_reward.py:digits_right     # or module:function of something that is installed
          weight: 0.5
          options: {missing: -0.5}                         # keyword arguments of the function
          timeout_s: 20                                    # for a whole batch

then `speechrl config check CONFIG` and `speechrl train CONFIG`; the curve is called `reward/digits_right`.

The function is called once for every output, with an `Output` (what the policy wrote: `text`, `ending`,
`length`; of a synthesiser `waveform` and `token_ids`) and the `Prompt` (the truth: `text`, `language`,
`keywords`, `audio`), and returns a finite number;
more is better. It runs in a process of its own, so it may load a model when it is imported. If it raises,
returns NaN or runs out of time, that is counted as a failed score and never as a bad answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.text.normalise import tokens

if TYPE_CHECKING:
    from speechrl.types import Output, Prompt


def digits_right(output: Output, prompt: Prompt, missing: float = 0.0) -> float:
    """How far the digits are right from the start: length of the common beginning / of the longer of the two.

    Range [0, 1], or [missing, 1] when `missing` is negative. A reference without digits gives 1 if the
    hypothesis has none either, else 0.

    Args:
        output: What was recognised.
        prompt: Its `text` is the truth. English number words count as digits: the normaliser writes `four two`
            as `42`.
        missing: Value of a hypothesis without any digit where the reference has some.
    """
    wanted = digits(prompt.text, prompt.language)
    said = digits(output.text, prompt.language)
    if not wanted:
        return float(not said)
    if not said:
        return missing
    right = 0
    while right < min(len(wanted), len(said)) and wanted[right] == said[right]:
        right += 1
    return right / max(len(wanted), len(said))


def digits(text: str, language: str) -> str:
    """The decimal digits of a text, in order."""
    # Whisper's English normaliser writes a lone 1 as a word.
    words = ["1" if word == "one" else word for word in tokens(text, language, unit="word")]
    return "".join(letter for letter in "".join(words) if letter.isdecimal())
