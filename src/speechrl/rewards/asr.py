"""Rewards of a recogniser: plain functions first, adapters for the mixer last.

All texts are raw; each function normalises them by language (`speechrl.text`). The hallucination reward has
its own file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from speechrl.rewards.asr_hallucination import (
    MIN_RUN_WORDS,
    Insertions,
    Penalty,
    find_hallucinations,
    hallucination,
)
from speechrl.text.alignment import align_texts
from speechrl.text.language import match_language
from speechrl.text.normalise import Unit, plain, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.types import Output, Prompt

View = Literal["mean", "precision", "recall"]


def accuracy(
    reference: str, hypothesis: str, language: str = "en", unit: Unit = "auto", floor: float | None = -1.0
) -> float:
    """R1 of arXiv 2509.18569: 1 - error rate, in [floor, 1], or (-inf, 1] with `floor=None`.

    The error rate is errors / max(reference tokens, 1): on an empty reference silence scores 1, one inserted
    word 0, and two or more -1.

    Args:
        reference: The truth.
        hypothesis: What was recognised.
        language: ISO 639-1 code.
        unit: Count words, characters, or what is usual for the language (`auto`).
        floor: The lowest value. Without one, a single endless loop outweighs the other rollouts of its group;
            with 0, twice as many errors as words would cost no more than all words wrong, and nothing would
            pull out of a loop. So -1, our choice; the raw error rate stays a metric.
    """
    value = 1.0 - align_texts(reference, hypothesis, language, unit).error_rate
    return value if floor is None else max(value, floor)


def keywords(
    reference: str,
    hypothesis: str,
    expected: Sequence[str],
    language: str = "en",
    view: View = "mean",
    vocabulary: Sequence[str] = (),
) -> float:
    """R3 of arXiv 2509.18569: (keyword precision + keyword recall) / 2, in [0, 1].

    A keyword counts as often as it is said: with n occurrences in the reference and m in the hypothesis,
    min(n, m) are hits, recall is hits / n and precision hits / m, each over all keywords together, so saying
    one twice too often costs precision. Where neither text has a keyword the term is neutral at 1; otherwise
    0 / 0 is 0, so that silence earns nothing.

    Args:
        reference: The truth; a keyword that it does not contain is not expected.
        hypothesis: What was recognised.
        expected: Words or phrases of the reference.
        language: ISO 639-1 code.
        view: The mean of the paper, or one of its halves.
        vocabulary: Further keywords, whose appearance without support in the reference costs precision.
    """
    hits, said, wanted = keyword_counts(reference, hypothesis, [*expected, *vocabulary], language)
    if not said and not wanted:
        return 1.0
    precision = hits / said if said else 0.0
    recall = hits / wanted if wanted else 0.0
    return {"mean": (precision + recall) / 2, "precision": precision, "recall": recall}[view]


def keyword_counts(
    reference: str, hypothesis: str, phrases: Sequence[str], language: str = "en"
) -> tuple[int, int, int]:
    """(hits, said by the hypothesis, wanted by the reference), summed over the different phrases."""
    hits = said = wanted = 0
    # As they are written: without its signs `3.5` or `don't` has no normal form.
    for phrase in {plain(phrase): phrase for phrase in phrases}.values():
        in_reference = _occurrences(phrase, reference, language)
        in_hypothesis = _occurrences(phrase, hypothesis, language)
        hits += min(in_reference, in_hypothesis)
        said += in_hypothesis
        wanted += in_reference
    return hits, said, wanted


def language_match(hypothesis: str, expected: str) -> float:
    """The wrong-language penalty (R4 of a sibling of arXiv 2509.18569): -1 for another language, else 0.

    By script, and by function words in Latin scripts (`text.language.match_language`). Short or unclear text
    is unknown and gets 0, like text in the right language.
    """
    return -1.0 if match_language(hypothesis, expected) == "mismatch" else 0.0


def silence(reference: str, hypothesis: str, language: str = "en") -> float:
    """Empty is right: for an empty reference 1 if the hypothesis has no words, else 0.

    With words in the reference always 0: inside a group the reference is the same, so a constant changes no
    advantage. Our own rule; `accuracy` and `hallucination` also judge silence, this term makes it weigh more.
    """
    return float(not tokens(reference, language) and not tokens(hypothesis, language))


def asr_metrics(reference: str, hypothesis: str, language: str = "en") -> dict[str, float]:
    """What is logged beside the rewards: error rate, counts and flags.

    `wer` is by character where the language counts so. The flags, 0 or 1, are `hallucination`, `loop`,
    `wrong_language` and `empty` (the hypothesis has no words).
    """
    alignment = align_texts(reference, hypothesis, language)
    found = find_hallucinations(reference, hypothesis, language)
    return {
        "wer": alignment.error_rate,
        "substitutions": alignment.substitutions,
        "deletions": alignment.deletions,
        "insertions": alignment.insertions,
        "words": alignment.words,
        "hallucination": float(bool(found)),
        "loop": float(any(item.kind == "loop" for item in found)),
        "wrong_language": float(match_language(hypothesis, language) == "mismatch"),
        "empty": float(not alignment.hypothesis),
    }


def _occurrences(phrase: str, text: str, language: str) -> int:
    """In the normal form or the plain one: `four` is lost in the normal form `456`, `color` in the plain `colour`."""
    normal = _count(tokens(phrase, language), tokens(text, language))
    return max(normal, _count(plain(phrase).split(), plain(text).split()))


def _count(needle: list[str], haystack: list[str]) -> int:
    """Occurrences that do not overlap; an empty needle has none."""
    if not needle or needle[0] not in haystack:
        return 0
    count = start = 0
    while start + len(needle) <= len(haystack):
        found = haystack[start : start + len(needle)] == needle
        count += found
        start += len(needle) if found else 1
    return count


def accuracy_term(
    output: Output, prompt: Prompt, *, unit: Unit = "auto", floor: float | None = -1.0
) -> float:
    """`accuracy` for the mixer."""
    return accuracy(prompt.text, output.text, prompt.language, unit, floor)


def hallucination_term(
    output: Output,
    prompt: Prompt,
    *,
    penalty: Penalty = "fixed",
    min_run: int = MIN_RUN_WORDS,
    insertions: Insertions = "excess",
) -> float:
    """`hallucination` for the mixer."""
    return hallucination(prompt.text, output.text, prompt.language, penalty, min_run, insertions)


def keywords_term(
    output: Output, prompt: Prompt, *, view: View = "mean", vocabulary: Sequence[str] = ()
) -> float:
    """`keywords` for the mixer."""
    return keywords(prompt.text, output.text, prompt.keywords, prompt.language, view, vocabulary)


def language_term(output: Output, prompt: Prompt) -> float:
    """`language_match` for the mixer."""
    return language_match(output.text, prompt.language)


def silence_term(output: Output, prompt: Prompt) -> float:
    """`silence` for the mixer."""
    return silence(prompt.text, output.text, prompt.language)
