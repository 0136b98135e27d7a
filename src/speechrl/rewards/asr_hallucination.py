"""The hallucination reward: what a hypothesis says that nobody said.

R2 of arXiv 2509.18569 is -1 "when repeated, non-existent or translated content is found". The paper's rules
are not public; these are ours. Each finding is a share of the hypothesis, so that the penalty may follow its
length, as in a sibling report.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from speechrl.text.alignment import align_texts
from speechrl.text.language import MIN_LETTERS, foreign_letters, match_language, units_of
from speechrl.text.loops import PHRASE_TOKENS, find_loops, unsupported_loops
from speechrl.text.made_up import made_up_words
from speechrl.text.normalise import (
    is_by_character,
    normalise,
    plain,
    said_one_by_one,
    tokens,
    tokens_per_word,
)

Penalty = Literal["fixed", "span"]
Insertions = Literal["excess", "alike"]
HallucinationKind = Literal["on_silence", "loop", "insertion_run", "foreign_script", "translation"]

MIN_RUN_WORDS = 4
"""Inserted words between two right ones that make an insertion run."""
MIN_STUTTERS = 5
"""Repeats inside one word that make it a loop, as in `hahahahaha`."""


@dataclass(frozen=True, slots=True)
class Hallucination:
    """One finding.

    Attributes:
        kind: The rule that found it.
        share: Tokens that are hallucinated / tokens of the hypothesis, in (0, 1].
    """

    kind: HallucinationKind
    share: float


def hallucination(
    reference: str,
    hypothesis: str,
    language: str = "en",
    penalty: Penalty = "fixed",
    min_run: int = MIN_RUN_WORDS,
    insertions: Insertions = "excess",
) -> float:
    """R2 of arXiv 2509.18569: 0 without hallucination, else -1 (`fixed`) or minus its share (`span`).

    Range {-1, 0}, or [-1, 0] with `span`, where the largest finding counts. Rules: see `find_hallucinations`.
    Whether the penalty is added to the other rewards or replaces them is the mixer's option `mode`.

    Args:
        reference: The truth; empty for silence, where any word is a hallucination.
        hypothesis: What was recognised.
        language: ISO 639-1 code.
        penalty: `fixed` as in the paper, `span` as in a sibling report (there the unit of length is unknown;
            here it is the share of the hypothesis).
        min_run: Words that make an insertion run.
        insertions: See `find_hallucinations`.
    """
    found = find_hallucinations(reference, hypothesis, language, min_run, insertions)
    if not found:
        return 0.0
    return -1.0 if penalty == "fixed" else -max(item.share for item in found)


@lru_cache(maxsize=8192)
def find_hallucinations(
    reference: str,
    hypothesis: str,
    language: str = "en",
    min_run: int = MIN_RUN_WORDS,
    insertions: Insertions = "excess",
) -> tuple[Hallucination, ...]:
    """What in `hypothesis` has no support in `reference`, at most one finding a rule.

    - `on_silence`: words where the reference has none.
    - `loop`: a word or phrase, or letters inside a word, repeated beyond what the reference repeats
      (`text.loops`).
    - `insertion_run`: between two right words at least `min_run` more words than the reference has there (`excess`);
      or at least `min_run` words there that are like none of the reference (`alike`, see `text.made_up`), so that
      made-up words in place of others count and misheard ones do not.
    - `foreign_script`: words in a script that neither the language nor the reference uses.
    - `translation`: the words that the reference lacks are in another language.

    Args:
        reference: The truth.
        hypothesis: What was recognised.
        language: ISO 639-1 code.
        min_run: Length of an insertion run in words, `tokens_per_word` times as many tokens.
        insertions: What makes an insertion run. Languages that count characters know `excess` only.
    """
    if not tokens(hypothesis, language):
        return ()
    loop = _loop_share(reference, hypothesis, language)
    looping = (Hallucination("loop", loop),) if loop else ()
    if not tokens(reference, language):
        return (Hallucination("on_silence", 1.0), *looping)
    if insertions == "alike" and not is_by_character(language):
        flags = made_up_words(reference, hypothesis, min_run)
        run = sum(flags) / max(len(flags), 1)
    else:
        run = _insertion_share(reference, hypothesis, language, min_run)
    foreign, translated = _strange_shares(reference, hypothesis, language)
    shares: dict[HallucinationKind, float] = {
        "insertion_run": run,
        "foreign_script": foreign,
        "translation": translated,
    }
    return (*looping, *(Hallucination(kind, share) for kind, share in shares.items() if share))


def _loop_share(reference: str, hypothesis: str, language: str) -> float:
    """Share of the hypothesis' words that loops add.

    Loops are looked for word by word before numbers are joined and fillers dropped: the normal form of `um um
    um um` is empty, that of `four four four four` one number.
    """
    spoken, truth = said_one_by_one(hypothesis, language), said_one_by_one(reference, language)
    phrase = PHRASE_TOKENS * tokens_per_word(language)
    exact = normalise(hypothesis, language) == normalise(reference, language)
    extra = 0
    for loop, too_many in unsupported_loops(truth, spoken, phrase):
        rest = spoken[: loop.start] + spoken[loop.start + too_many :]
        # `four four four four` for `4444` is right: without its repeats it would be another text.
        if exact and normalise(" ".join(rest), language) != normalise(hypothesis, language):
            continue
        extra += too_many
    supported = {*truth, *tokens(reference, language)}
    extra += sum(word not in supported and _stutters(word) for word in spoken)
    return min(extra / len(spoken), 1.0)


@lru_cache(maxsize=65_536)
def _stutters(word: str) -> bool:
    if len(word) <= MIN_STUTTERS or word.isdigit():
        return False
    return any(loop.repeats >= MIN_STUTTERS for loop in find_loops(word))


def _insertion_share(reference: str, hypothesis: str, language: str, min_run: int) -> float:
    """Share of the hypothesis in stretches between hits that have at least `min_run` tokens more than the reference."""
    alignment = align_texts(reference, hypothesis, language)
    least = min_run * tokens_per_word(language)
    total = run = 0
    for operation in alignment.operations:
        if operation.kind == "equal":
            total += run if run >= least else 0
            run = 0
        elif operation.kind == "insert":
            run += operation.hypothesis_end - operation.hypothesis_start
    total += run if run >= least else 0
    return total / len(alignment.hypothesis)


def _strange_shares(reference: str, hypothesis: str, language: str) -> tuple[float, float]:
    """Shares of the hypothesis' words in a foreign script, and of those in another language."""
    spoken, known = units_of(plain(hypothesis)), {*units_of(plain(reference)), *tokens(reference, language)}
    unsupported = [word for word in spoken if word not in known]
    if not unsupported:
        return 0.0, 0.0
    letters = [foreign_letters(word, language, reference) for word in unsupported]
    strange = " ".join(unsupported)
    translated = (
        match_language(strange, language) == "mismatch" and match_language(reference, language) != "mismatch"
    )
    return (
        sum(map(bool, letters)) / len(spoken) if sum(letters) >= MIN_LETTERS else 0.0,
        len(unsupported) / len(spoken) if translated else 0.0,
    )
