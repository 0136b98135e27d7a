"""Rollouts one can read and hear: `samples/step_000010.jsonl`, a line a prompt, and its audio as FLAC in `audio/`."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf

from speechrl.report.metrics import finite
from speechrl.report.writers import read_rows, write_atomically
from speechrl.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from speechrl.types import Output, Prompt, Score

KEPT_GROUPS = 16
"""Prompts of a step whose rollouts are kept."""
SHOWN_UTTERANCES = 8
"""Utterances of an evaluation set that are shown, most improved and most worsened each."""


def sample_rows(
    step: int,
    prompts: Sequence[Prompt],
    outputs: Sequence[Sequence[Output]],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float]] | None = None,
) -> list[dict[str, Any]]:
    """The lines of a step: prompt, reference, each hypothesis with reward, terms, ending and (if known) advantage."""
    rows = []
    for index, (prompt, group, judged) in enumerate(zip(prompts, outputs, scores, strict=True)):
        credit = advantages[index] if advantages is not None else [None] * len(group)
        rows.append(
            {
                "step": step,
                "id": prompt.id,
                "reference": prompt.text,
                "language": prompt.language,
                "keywords": list(prompt.keywords),
                "duration_s": round(prompt.duration_s, 3),
                "audio": None if prompt.audio is None else audio_name(prompt.id),
                "rollouts": [
                    _rollout(output, score, advantage)
                    for output, score, advantage in zip(group, judged, credit, strict=True)
                ],
            }
        )
    return rows


def keep_samples(
    run_dir: Path, step: int, rows: Sequence[Mapping[str, Any]], prompts: Sequence[Prompt]
) -> Path:
    """Write a step's rows and the audio of their prompts; returns the file of rows."""
    for prompt in prompts:
        keep_audio(run_dir, prompt, audio_name(prompt.id))
    path = run_dir / "samples" / f"step_{step:06d}.jsonl"
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def forget_samples_after(run_dir: Path, step: int) -> None:
    """Remove the samples of steps that a resumed run will make again."""
    for path in sample_files(run_dir):
        if int(path.stem.removeprefix("step_")) > step:
            path.unlink()


def sample_files(run_dir: Path) -> list[Path]:
    """Files of kept rollouts, in the order of steps."""
    return sorted((run_dir / "samples").glob("step_*.jsonl"))


def audio_name(prompt_id: str, folder: str = "audio") -> str:
    """Path of a prompt's audio in the run directory; any id becomes a safe and unique file name."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", prompt_id).strip("-")[:48]
    return f"{folder}/{readable}-{hashlib.sha256(prompt_id.encode()).hexdigest()[:8]}.flac"


def keep_audio(run_dir: Path, prompt: Prompt, name: str) -> None:
    """Write a prompt's audio as 16-bit FLAC, once."""
    path = run_dir / name
    if prompt.audio is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.clip(prompt.audio, -1.0, 1.0), prompt.sample_rate_hz, subtype="PCM_16", format="FLAC")


def keep_evaluation_audio(run_dir: Path, sets: Mapping[str, Sequence[Prompt]]) -> None:
    """Write the audio of the utterances that the report will show: those that changed most.

    Call it when `evaluation/before/SET.jsonl` and `evaluation/after/SET.jsonl` have been written.
    """
    for name, prompts in sets.items():
        improved, worsened = most_changed(run_dir, name)
        shown = {before["id"] for before, _ in improved + worsened}
        for prompt in prompts:
            if prompt.id in shown:
                keep_audio(run_dir, prompt, evaluation_audio_name(name, prompt.id))


def evaluation_audio_name(set_name: str, prompt_id: str) -> str:
    """Path of an evaluation utterance's audio in the run directory."""
    return audio_name(f"{set_name}/{prompt_id}", folder="audio/evaluation")


Pair = tuple[dict[str, Any], dict[str, Any]]


def most_changed(
    run_dir: Path, set_name: str, limit: int = SHOWN_UTTERANCES
) -> tuple[list[Pair], list[Pair]]:
    """Utterances of a set, as (row before, row after), whose error count fell most and rose most."""
    folder = run_dir / "evaluation"
    before = {row["id"]: row for row in read_rows(folder / "before" / f"{set_name}.jsonl")}
    after = {row["id"]: row for row in read_rows(folder / "after" / f"{set_name}.jsonl")}
    pairs = [(before[key], after[key]) for key in before if key in after]
    pairs.sort(key=lambda pair: (errors_of(pair[1]) - errors_of(pair[0]), pair[0]["id"]))
    improved = [pair for pair in pairs if errors_of(pair[1]) < errors_of(pair[0])]
    worsened = [pair for pair in reversed(pairs) if errors_of(pair[1]) > errors_of(pair[0])]
    return improved[:limit], worsened[:limit]


def errors_of(row: Mapping[str, Any]) -> int:
    """Errors of an utterance's row."""
    return int(row["substitutions"] + row["deletions"] + row["insertions"])


def as_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Kept rollouts as a Markdown list, for TensorBoard."""
    lines = []
    for row in rows:
        lines.append(f"**{row['id']}**: {row['reference'] or '(silence)'}\n")
        for item in row["rollouts"]:
            reward = "failed" if item["reward"] is None else f"{item['reward']:+.3f}"
            lines.append(f"- {reward} ({item['ending']}): `{item['hypothesis']}`")
        lines.append("")
    return "\n".join(lines)


def _rollout(output: Output, score: Score, advantage: float | None) -> dict[str, Any]:
    return {
        "hypothesis": output.text,
        "reward": finite(score.total),
        "terms": {name: finite(value) for name, value in score.terms.items()},
        "metrics": {name: finite(value) for name, value in score.metrics.items()},
        "advantage": None if advantage is None else finite(advantage),
        "ending": str(output.ending),
        "length": output.length,
        "status": str(score.status),
    } | ({"reason": score.reason} if score.status is ScoreStatus.FAILED else {})
