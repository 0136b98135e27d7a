"""Rows of held-out sets, whichever the task: what was said, what was heard, and which of them the report shows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from speechrl.report.sounds import audio_name, keep_audio, keep_prompt_audio
from speechrl.report.writers import read_rows, write_json
from speechrl.types import Ending, Output, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from speechrl.report.sounds import Render
    from speechrl.types import Prompt, Score

    Scorer = Callable[[Sequence[Sequence[Output]], Sequence[Prompt]], Sequence[Sequence[Score]]]
    Row = dict[str, Any]
    Pair = tuple[Row, Row]

MOMENTS = ("before", "after")
SHOWN_UTTERANCES = 8
"""Utterances of an evaluation set that are shown, most improved and most worsened each."""
UNCHOSEN = 4
"""Sentences of a synthesiser's set that are shown whatever became of them."""


def most_changed(
    run_dir: Path, set_name: str, limit: int = SHOWN_UTTERANCES
) -> tuple[list[Pair], list[Pair]]:
    """Utterances of a set, as (row before, row after), whose error count fell most and rose most."""
    pairs = _pairs(run_dir, set_name)
    pairs.sort(key=lambda pair: (errors_of(pair[1]) - errors_of(pair[0]), pair[0]["id"]))
    improved = [pair for pair in pairs if errors_of(pair[1]) < errors_of(pair[0])]
    worsened = [pair for pair in reversed(pairs) if errors_of(pair[1]) > errors_of(pair[0])]
    return improved[:limit], worsened[:limit]


def unchosen(run_dir: Path, set_name: str, limit: int = UNCHOSEN) -> list[Pair]:
    """Sentences at even distances of each other in a synthesiser's set; none of a recogniser's."""
    pairs = [pair for pair in _pairs(run_dir, set_name) if is_spoken(pair[1])]
    count = min(limit, len(pairs))
    return [pairs[(2 * index + 1) * len(pairs) // (2 * count)] for index in range(count)]


def is_spoken(row: Mapping[str, Any]) -> bool:
    """Whether the row is a synthesiser's."""
    return "judges" in row


def reference_of(row: Mapping[str, Any]) -> str:
    """What was said, or was to be spoken."""
    return str(row["text"] if is_spoken(row) else row["reference"])


def hypothesis_of(row: Mapping[str, Any]) -> str:
    """What was recognised; of a synthesiser, what the first judge heard."""
    return str(_counts(row)["text"] if is_spoken(row) else row["hypothesis"])


def errors_of(row: Mapping[str, Any]) -> int:
    """Errors of an utterance's row; of a synthesiser, those of the first judge."""
    counts = _counts(row)
    return int(counts["substitutions"] + counts["deletions"] + counts["insertions"])


def evaluation_audio_name(set_name: str, row: Mapping[str, Any], moment: str = "") -> str:
    """Path of an utterance's audio in the run directory; `moment` tells the renderings of a synthesiser apart."""
    if not is_spoken(row):
        return audio_name(f"{set_name}/{row['id']}", folder="audio/evaluation")
    return audio_name(f"{set_name}/{row['id']}/{row['seed']}", folder=f"audio/evaluation/{moment}")


def keep_evaluation_audio(
    run_dir: Path,
    sets: Mapping[str, Sequence[Prompt]],
    render: Render | None = None,
    score: Scorer | None = None,
    group_terms: Collection[str] = (),
) -> None:
    """Write the audio of the utterances that the report will show: those that changed most, and a few unchosen.

    Call it when `evaluation/before/SET.jsonl` and `evaluation/after/SET.jsonl` have been written.

    Args:
        run_dir: The run.
        sets: The utterances by set name.
        render: Makes a synthesiser's sound again from the speech tokens of its rows; what an earlier end of the run
            left of `after` is replaced. None leaves all sound of a synthesiser as it is.
        score: What the rewards of the run make of it, before and after as one group; goes to `evaluation/rewards.json`.
        group_terms: Of the rewards, those that compare the outputs of a group, which are no comparison of two models;
            they are left out.
    """
    sounds: dict[str, dict[str, tuple[Prompt, list[Output]]]] = {}
    for name, prompts in sets.items():
        if render is not None:
            _forget_after(run_dir, name)
        by_id = {prompt.id: prompt for prompt in prompts}
        improved, worsened = most_changed(run_dir, name)
        pairs = {place_of(pair[0]): pair for pair in improved + worsened + unchosen(run_dir, name)}
        for place, pair in pairs.items():
            before, prompt = pair[0], by_id.get(pair[0]["id"])
            if prompt is None:
                continue
            if not is_spoken(before):
                keep_audio(run_dir, evaluation_audio_name(name, before), prompt.audio, prompt.sample_rate_hz)
                continue
            keep_prompt_audio(run_dir, prompt)
            if render is not None:
                made = render([prompt, prompt], [_output(row) for row in pair])
                sounds.setdefault(name, {})[place] = prompt, made
                for moment, row, sound in zip(MOMENTS, pair, made, strict=True):
                    path = evaluation_audio_name(name, row, moment)
                    keep_audio(run_dir, path, sound.waveform, sound.sample_rate_hz)
    if score is not None and sounds:  # last: a reward that fails costs no sound
        rewards = {}
        for name, places in sounds.items():
            prompts, groups = zip(*places.values(), strict=True)
            told = [_by_moment(scores, group_terms) for scores in score(groups, prompts)]
            rewards[name] = dict(zip(places, told, strict=True))
        write_json(run_dir / "evaluation" / "rewards.json", rewards)


def read_rewards(run_dir: Path) -> Mapping[str, Mapping[str, Mapping[str, Mapping[str, float]]]]:
    """Set -> `place_of` -> moment -> term -> value; nothing where no rewards were asked."""
    path = run_dir / "evaluation" / "rewards.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def place_of(row: Mapping[str, Any]) -> str:
    """What a row is called in `evaluation/rewards.json`."""
    return f"{row['id']}/{row['seed']}" if is_spoken(row) else str(row["id"])


def _by_moment(scores: Sequence[Score], left_out: Collection[str]) -> Row:
    """Terms before and after, without what is left out and what could not be computed."""
    return {
        moment: {name: value for name, value in score.terms.items() if name not in left_out}
        for moment, score in zip(MOMENTS, scores, strict=True)
        if score.status is ScoreStatus.OK
    }


def _forget_after(run_dir: Path, set_name: str) -> None:
    """Remove a synthesiser's renderings after training: their names tell sentence and seed, not whose they are."""
    for row in read_rows(run_dir / "evaluation" / "after" / f"{set_name}.jsonl"):
        if is_spoken(row):
            (run_dir / evaluation_audio_name(set_name, row, "after")).unlink(missing_ok=True)


def _pairs(run_dir: Path, set_name: str) -> list[Pair]:
    """Rows before and after of the same utterance, and of the same sampling seed; judged ones only."""
    moments = [
        {
            (row["id"], row.get("seed")): row
            for row in read_rows(run_dir / "evaluation" / moment / f"{set_name}.jsonl")
            if not is_spoken(row) or _counts(row)
        }
        for moment in MOMENTS
    ]
    before, after = moments
    return [(before[key], after[key]) for key in before if key in after]


def _counts(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a row has its counts; of a synthesiser's, what the first judge heard, {} where it failed."""
    if not is_spoken(row):
        return row
    return next(iter(row["judges"].values()), None) or {}


def _output(row: Mapping[str, Any]) -> Output:
    ending = Ending.LENGTH if row["no_stop"] else Ending.STOP
    return Output("", ending, row["tokens"], tuple(row["token_ids"]))
