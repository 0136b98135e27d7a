"""Everything that is known of an utterance when rules look at it."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from speechrl.data.prompts import to_prompt
from speechrl.rewards.asr import asr_metrics
from speechrl.rewards.base import failures, stop_if_too_many_failed
from speechrl.selection.verdicts import find_verdict, mutual_error_rate
from speechrl.text.alignment import align_texts
from speechrl.text.hard import hardness
from speechrl.text.loops import PHRASE_TOKENS, find_loops, unsupported_loops
from speechrl.text.normalise import plain, said_one_by_one, tokens, tokens_per_word
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.config.selection import SelectionConfig, Verdict
    from speechrl.rewards.base import RewardMixer
    from speechrl.selection.pool import Item
    from speechrl.selection.probe import Heard, Progress
    from speechrl.selection.speaker import Speaker
    from speechrl.selection.verdicts import Consensus
    from speechrl.text.normalise import Unit

ERRORS = ("substitutions", "deletions", "insertions")
ENOUGH_TO_TELL = 200
"""Scores after which a share of failed ones says something: fewer may all be of one odd utterance."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance as rules see it: a line of `utterances.jsonl`. What cannot be known is None, and meets no range.

    Of a synthesiser, an utterance is a text to be spoken: label and reference are that text, hypothesis and samples are
    what a Token2Text reads in the speech. It spells, so all rates count letters; what it says twice is a hallucination.

    Attributes:
        key: `pool.Item.key`.
        source: Manifest.
        label: The manifest's text; None where it is not to be used.
        reference: The label, or the judges' consensus; None where there is neither.
        hypothesis: The model's, greedy.
        opinions: Judge -> text.
        consensus: What the judges agree on.
        verdict: `verdicts.find_verdict`.
        judge_gap: Mutual error rate of hypothesis and consensus.
        wer: Error rate of the hypothesis against the reference: `errors`, `insertions` among them, in `words`.
        difficulty: Mean over the samples of their error rate, each at most 1; `band` is its place among `bands`.
        reward_mean: Of the samples; `reward_std` with ddof 1. `rewards` are their rewards; failed ones are left out.
        spread: Two samples earn different rewards.
        entropy: `probe.Heard.entropy`.
        disagreement: Mean mutual error rate of all pairs of samples, each at most 1.
        length_ratio: Words of the hypothesis / words of the reference.
        loop: The hypothesis repeats itself beyond the reference; without one, at all.
        hallucination: The hallucination reward finds something, with its default options; without a reference, a loop.
        loop_share: Share of samples that loop; `hallucination_share` likewise; `cut_share` of those that did not end.
        tokens_per_char: Mean speech tokens of the samples / characters of the text; None for a recogniser.
        repeated: The reference itself has a loop.
        speechless: The reference has no words.
        words_per_second: Reference words / seconds; two characters are a word where a language counts characters.
        keywords: `keyword_count` is their number.
        kinds: Why the reference is hard to speak (`text.hard`).
    """

    key: str
    id: str
    source: str
    language: str
    duration_s: float
    pause_s: float | None
    audio: str
    label: str | None
    reference: str | None
    hypothesis: str
    opinions: Mapping[str, str]
    consensus: str | None
    verdict: Verdict
    judge_gap: float | None
    wer: float | None
    words: int | None
    errors: int | None
    insertions: int | None
    difficulty: float | None
    band: int | None
    rewards: tuple[float, ...]
    reward_mean: float | None
    reward_std: float | None
    spread: bool | None
    entropy: float
    disagreement: float
    length_ratio: float | None
    loop: bool
    hallucination: bool
    loop_share: float
    hallucination_share: float | None
    cut_share: float
    tokens_per_char: float | None
    repeated: bool | None
    speechless: bool | None
    words_per_second: float | None
    keywords: tuple[str, ...]
    keyword_count: int
    kinds: tuple[str, ...]


def describe(
    items: Sequence[Item],
    heard: Mapping[str, Heard],
    opinions: Mapping[str, Mapping[str, str]],
    agreed: Mapping[str, Consensus | None],
    keywords: Mapping[str, tuple[str, ...]],
    rewards: RewardMixer,
    config: SelectionConfig,
    speaker: Speaker | None = None,
    progress: Progress | None = None,
) -> list[Utterance]:
    """Measure every utterance.

    Args:
        items: The pool.
        heard: What the model made of it, by key.
        opinions: What judges made of it, by key.
        agreed: What they agree on, by key.
        keywords: By key.
        rewards: What samples earn, a mixer that lets any share fail; where one hears the prompt, audio is read, an
            utterance at a time.
        config: Thresholds and bands.
        speaker: Makes the samples of a synthesiser again; None for a recogniser.
        progress: Is told of every text that was spoken again and scored.

    Raises:
        DataError: Audio cannot be loaded.
        RewardError: Too many rewards could not be computed: of the whole pool, or of its first `ENOUGH_TO_TELL`.
    """
    found: list[Utterance] = []
    failed, scored = Counter[str](), 0
    for number, item in enumerate(items, 1):
        key = item.key
        reference = find_reference(item, agreed[key], config)
        scores = _score(item, heard[key], reference, keywords[key], rewards, speaker)
        failed.update(failures(scores))
        scored += len(scores)
        if scored >= ENOUGH_TO_TELL or number == len(items):
            stop_if_too_many_failed(failed, scored, config.rewards.max_failed_share)
        found.append(
            _describe(item, heard[key], opinions[key], agreed[key], scores, keywords[key], config, speaker)
        )
        if speaker and progress:
            progress("score", number, len(items))
    return found


def find_reference(item: Item, agreed: Consensus | None, config: SelectionConfig) -> str | None:
    """What an utterance is held to: its label, or with `labels: judges` what the judges agree on."""
    if config.labels == "given":
        return item.text
    return agreed.text if agreed else None


def _describe(
    item: Item,
    heard: Heard,
    opinions: Mapping[str, str],
    consensus: Consensus | None,
    scores: Sequence[Score],
    keywords: tuple[str, ...],
    config: SelectionConfig,
    speaker: Speaker | None,
) -> Utterance:
    language = item.language
    label = item.text if config.labels == "given" else None
    verdict = find_verdict(heard.hypothesis, label, opinions, consensus, language, config.judges.differ)
    agreed = consensus.text if consensus else None
    reference = find_reference(item, consensus, config)
    good = [
        (score, text)
        for score, text in zip(scores, heard.samples, strict=False)
        if score.status is ScoreStatus.OK
    ]
    totals = tuple(round(score.total, 6) for score, _ in good)
    split = _spelled_words if speaker else tokens
    words = None if reference is None else split(reference, language)
    found: Mapping[str, float] | None = None
    samples: list[Mapping[str, float]] = []
    if reference is None:
        loops = [_loops((), split(text, language)) for text in (heard.hypothesis, *heard.samples)]
    else:
        measure = _read_metrics if speaker else asr_metrics
        found = measure(reference, heard.hypothesis, language)
        # The score of a transcript has measured it already.
        samples = [measure(reference, text, language) if speaker else score.metrics for score, text in good]
        loops = [bool(one["loop"]) for one in (found, *samples)]
    difficulty = round(fmean(min(1.0, one["wer"]) for one in samples), 6) if samples else None
    return Utterance(
        key=item.key,
        id=item.cut.id,
        source=item.source,
        language=language,
        duration_s=heard.duration_s,
        pause_s=None if speaker else heard.pause_s,
        audio=heard.audio,
        label=label,
        reference=reference,
        hypothesis=heard.hypothesis,
        opinions=dict(opinions),
        consensus=agreed,
        verdict=verdict,
        judge_gap=None if agreed is None else round(mutual_error_rate(heard.hypothesis, agreed, language), 6),
        wer=None if found is None else round(found["wer"], 6),
        words=None if found is None else int(found["words"]),
        errors=None if found is None else int(sum(found[kind] for kind in ERRORS)),
        insertions=None if found is None else int(found["insertions"]),
        difficulty=difficulty,
        band=None if difficulty is None else bisect_right(config.bands, difficulty),
        rewards=totals,
        reward_mean=round(fmean(totals), 6) if totals else None,
        reward_std=round(stdev(totals), 6) if len(totals) > 1 else None,
        spread=min(totals) < max(totals) if len(totals) > 1 else None,
        entropy=heard.entropy,
        disagreement=_disagreement(heard.samples, language, "letter" if speaker else "auto"),
        length_ratio=round(len(split(heard.hypothesis, language)) / len(words), 6) if words else None,
        loop=loops[0],
        hallucination=loops[0] if found is None else bool(found["hallucination"]),
        loop_share=fmean(loops[1:]) if len(loops) > 1 else 0.0,
        hallucination_share=fmean(one["hallucination"] for one in samples) if samples else None,
        cut_share=fmean(ending == Ending.LENGTH for ending in heard.endings),
        tokens_per_char=round(fmean(heard.lengths) / max(len(item.text), 1), 4) if speaker else None,
        repeated=None if reference is None else _repeats(reference, language),
        speechless=None if words is None else not words,
        words_per_second=None
        if words is None
        else round(len(words) / tokens_per_word(language) / max(heard.duration_s, 1e-3), 4),
        keywords=keywords,
        keyword_count=len(keywords),
        kinds=tuple(hardness(reference or "", language)),
    )


def _score(
    item: Item,
    heard: Heard,
    reference: str | None,
    keywords: tuple[str, ...],
    rewards: RewardMixer,
    speaker: Speaker | None,
) -> list[Score]:
    """The samples' scores; none without a reference."""
    if reference is None:
        return []
    if speaker is not None:
        prompt, outputs = speaker(item, heard, rewards)
        (scores,) = rewards.score([outputs], [prompt])
        return scores
    if rewards.hears_prompt:
        prompt = replace(to_prompt(item.cut), text=reference, keywords=keywords)
    else:
        prompt = Prompt(item.cut.id, "asr", reference, item.language, keywords)
    outputs = [
        Output(text, Ending(ending), length)
        for text, ending, length in zip(heard.samples, heard.endings, heard.lengths, strict=True)
    ]
    (scores,) = rewards.score([outputs], [prompt])
    return scores


def _read_metrics(reference: str, text: str, language: str) -> dict[str, float]:
    """The part of `asr_metrics` that can be told of what a Token2Text reads: it spells, so errors are letters."""
    spelled = align_texts(reference, text, language, "letter")
    loop = float(_loops(_spelled_words(reference, language), _spelled_words(text, language)))
    return {
        "wer": spelled.error_rate,
        "substitutions": spelled.substitutions,
        "deletions": spelled.deletions,
        "insertions": spelled.insertions,
        "words": spelled.words,
        "loop": loop,
        "hallucination": loop,
    }


def _repeats(text: str, language: str) -> bool:
    """Whether words or phrases come again and again, also digits, which the normal form writes as one number."""
    return bool(find_loops(said_one_by_one(text, language), PHRASE_TOKENS * tokens_per_word(language)))


def _loops(reference: Sequence[str], text: Sequence[str]) -> bool:
    return bool(unsupported_loops(reference, text))


def _spelled_words(text: str, language: str) -> list[str]:  # noqa: ARG001
    """`tokens` for what is spelled: a number word is a word."""
    return plain(text).split()


def _disagreement(samples: Sequence[str], language: str, unit: Unit) -> float:
    pairs = [
        min(1.0, mutual_error_rate(one, other, language, unit)) for one, other in combinations(samples, 2)
    ]
    return round(fmean(pairs), 6)
