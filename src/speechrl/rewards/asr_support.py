"""The reward `unsupported`: words that the sound does not hold, by the CTC head of a frozen recogniser."""

from __future__ import annotations

from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from speechrl.errors import ConfigError
from speechrl.rewards.asr_detectors import unsupported_words
from speechrl.rewards.verdict import Verdict, failed
from speechrl.text.made_up import made_up_words, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from speechrl.rewards.asr_hallucination import Penalty
    from speechrl.types import Output, Prompt

Witness = Literal["alignment", "transcript"]

LISTENER = "package:starter/asr"
PRICE = 2.0
MIN_RUN = 2
MAX_BYTES = 2**30
"""Of contexts in memory: an hour of speech of the starter is 58 MB."""


def support_penalty(flags: Sequence[bool], penalty: Penalty = "fixed") -> float:
    """0 where every word is supported, else -1 (`fixed`) or minus the share of words that are not (`span`).

    Args:
        flags: A flag a word: the sound does not hold it.
        penalty: As in `asr_hallucination.hallucination`.
    """
    if not any(flags):
        return 0.0
    return -1.0 if penalty == "fixed" else -sum(flags) / len(flags)


class UnsupportedWords:
    """`support_penalty` of words that a frozen recogniser does not hear; needs no reference, logs `unsupported_share`.

    The listener never learns, so the policy cannot talk it round, and it encodes a prompt once, up to `MAX_BYTES` of
    all. It judges words of its own language and alphabet;
    others count as supported.

    Args:
        model: Folder of a recogniser of speechrl, whose encoder, adapter and CTC head listen.
        penalty: See `support_penalty`.
        witness: `alignment` looks for each word in the sound (`asr_detectors.unsupported_words`); `transcript` compares
            with what the CTC head writes by itself (`text.made_up.made_up_words`; there `min_run` 3 was best, 4 where
            there is noise).
        price: Of the alignment; see `ctc_support.supported_words`.
        min_run: Shortest run of unsupported words that counts.

    Raises:
        ConfigError: The model has no CTC head.
        ModelError: It cannot be loaded.
    """

    def __init__(
        self,
        *,
        model: str = LISTENER,
        penalty: Penalty = "fixed",
        witness: Witness = "alignment",
        price: float = PRICE,
        min_run: int = MIN_RUN,
    ) -> None:
        from speechrl.models.asr.recogniser import Recogniser
        from speechrl.models.encode_once import EncodeOnce
        from speechrl.models.load import load_model

        loaded = load_model(model)
        if not isinstance(loaded, Recogniser):
            raise ConfigError(f"reward 'unsupported': {model} has no CTC head; name a recogniser of speechrl")
        self._listener = loaded
        self._once = EncodeOnce(loaded, MAX_BYTES)
        self._penalty, self._witness, self._price, self._min_run = penalty, witness, price, min_run

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `forms.Judge`."""
        # By identity: the outputs of a group share their prompt.
        heard: dict[int, NDArray[np.floating]] = {}
        for prompt in prompts:
            if id(prompt) not in heard and prompt.audio is not None and len(prompt.audio):
                (context,) = self._once.encode([prompt])
                heard[id(prompt)] = self._listener.ctc_logprobs(context).numpy()
        return [
            self._verdict(output.text, heard[id(prompt)])
            if id(prompt) in heard
            else failed("has no audio to look for the words in: give the row an `audio`")
            for output, prompt in zip(outputs, prompts, strict=True)
        ]

    def _verdict(self, text: str, logprobs_TV: NDArray[np.floating]) -> Verdict:
        if self._witness == "transcript":
            heard = transcript(self._listener.tokenizer, logprobs_TV)
            flags = made_up_words(heard, text, self._min_run if words_of(heard) else 1)
        else:
            symbols = partial(spell, self._listener.tokenizer)
            flags = unsupported_words(text, logprobs_TV, symbols, self._price, self._min_run)
        share = sum(flags) / max(len(flags), 1)
        return Verdict(support_penalty(flags, self._penalty), metrics={"unsupported_share": share})


def transcript(tokenizer: PreTrainedTokenizerFast, logprobs_TV: NDArray[np.floating]) -> str:
    """What the CTC head writes by itself: the best symbol of each frame, repeats joined, blanks dropped."""
    best = [int(symbol) for symbol, _ in groupby(logprobs_TV.argmax(axis=1))]
    blank = logprobs_TV.shape[1] - 1
    return str(tokenizer.decode([symbol for symbol in best if symbol != blank]))


def spell(tokenizer: PreTrainedTokenizerFast, word: str) -> list[int]:
    """The CTC symbols of a word; none if its alphabet lacks a letter."""
    ids: list[int] = tokenizer(word, add_special_tokens=False)["input_ids"]
    return [] if tokenizer.unk_token_id in ids else ids
