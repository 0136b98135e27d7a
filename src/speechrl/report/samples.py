"""Rollouts one can read and hear: `samples/step_000010.jsonl`, a line a prompt, and its audio as FLAC in `audio/`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from speechrl.report.metrics import finite
from speechrl.report.sounds import audio_name, keep_audio, keep_prompt_audio, prompt_audio_name
from speechrl.report.writers import write_atomically
from speechrl.types import ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from speechrl.report.sounds import Render
    from speechrl.types import Output, Prompt, Score

KEPT_GROUPS = 16
"""Prompts of a step whose rollouts are kept."""
ROLLOUT_AUDIO = "audio/rollouts"
HEARD_GROUPS = 5
"""Prompts of a step whose best and worst rollout of a synthesiser are kept as sound; the report shows as many."""


def sample_rows(
    step: int,
    prompts: Sequence[Prompt],
    outputs: Sequence[Sequence[Output]],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float]] | None = None,
) -> list[dict[str, Any]]:
    """The lines of a step: prompt, reference, each hypothesis with reward, terms, ending and (if known) advantage.

    A synthesiser's hypothesis is what a recogniser of the reward heard, or None where none listened.
    """
    listened = any(score.heard for judged in scores for score in judged)
    rows = []
    for index, (prompt, group, judged) in enumerate(zip(prompts, outputs, scores, strict=True)):
        credit = advantages[index] if advantages is not None else [None] * len(group)
        rows.append(
            {
                "step": step,
                "id": prompt.id,
                "task": prompt.task,
                "reference": prompt.text,
                "language": prompt.language,
                "keywords": list(prompt.keywords),
                "duration_s": round(prompt.duration_s, 3),
                "audio": prompt_audio_name(prompt),
                "rollouts": [
                    _rollout(output, score, advantage, _hypothesis(prompt, output, score, listened=listened))
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
        keep_prompt_audio(run_dir, prompt)
    path = run_dir / "samples" / f"step_{step:06d}.jsonl"
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def keep_rollout_audio(
    run_dir: Path,
    step: int,
    rows: Sequence[dict[str, Any]],
    prompts: Sequence[Prompt],
    outputs: Sequence[Sequence[Output]],
    render: Render | None,
) -> dict[str, Output]:
    """Write the sound of the best and the worst rollout of the groups whose rewards differ most.

    Args:
        run_dir: The run.
        step: Counted from 1.
        rows: From `sample_rows`; the rollouts that are kept get the field `audio`, their file.
        prompts: One per row.
        outputs: One list per row.
        render: Makes sound where no reward listened; None leaves such rollouts silent.

    Returns:
        What was written, with its sound, by `best/0`, `worst/0`, `best/1` ...
    """
    order = sorted(range(len(rows)), key=lambda index: -spread(rows[index]))[:HEARD_GROUPS]
    picked = {
        f"{kind}/{place}": (index, chosen)
        for place, index in enumerate(order)
        for kind, chosen in _extremes(rows[index]).items()
    }
    found = {tag: outputs[index][chosen] for tag, (index, chosen) in picked.items()}
    silent = [tag for tag, output in found.items() if output.waveform is None]
    if silent and render is not None:
        made = render([prompts[picked[tag][0]] for tag in silent], [found[tag] for tag in silent])
        found |= dict(zip(silent, made, strict=True))
    heard = {tag: output for tag, output in found.items() if output.waveform is not None}
    for tag, output in heard.items():
        index, chosen = picked[tag]
        name = audio_name(f"{rows[index]['id']}/{index}/{chosen}", f"{ROLLOUT_AUDIO}/step_{step:06d}")
        keep_audio(run_dir, name, output.waveform, output.sample_rate_hz)
        rows[index]["rollouts"][chosen]["audio"] = name
    return heard


def spread(row: Mapping[str, Any]) -> float:
    """Distance between the best and the worst reward of a group; below zero where none is known."""
    rewards = [item["reward"] for item in row["rollouts"] if item["reward"] is not None]
    return max(rewards) - min(rewards) if rewards else -1.0


def _extremes(row: Mapping[str, Any]) -> dict[str, int]:
    """Places of the best and the worst rollout; one of them where all are equal, none where no reward is known."""
    known = [place for place, item in enumerate(row["rollouts"]) if item["reward"] is not None]
    if not known:
        return {}
    by_reward = sorted(known, key=lambda place: -row["rollouts"][place]["reward"])
    return {"best": by_reward[0]} | ({"worst": by_reward[-1]} if len(by_reward) > 1 else {})


def forget_samples_after(run_dir: Path, step: int) -> None:
    """Remove the samples of steps that a resumed run will make again."""
    # Sound is written before the rows: a killed step may have left it alone.
    for folder in (run_dir / ROLLOUT_AUDIO).glob("step_*"):
        if _step_of(folder) > step:
            shutil.rmtree(folder, ignore_errors=True)
    for path in sample_files(run_dir):
        if _step_of(path) > step:
            path.unlink()


def sample_files(run_dir: Path) -> list[Path]:
    """Files of kept rollouts, in the order of steps."""
    return sorted((run_dir / "samples").glob("step_*.jsonl"))


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def as_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Kept rollouts as a Markdown list, for TensorBoard."""
    lines = []
    for row in rows:
        lines.append(f"**{row['id']}**: {row['reference'] or '(silence)'}\n")
        for item in row["rollouts"]:
            reward = "failed" if item["reward"] is None else f"{item['reward']:+.3f}"
            said = "not transcribed" if item["hypothesis"] is None else f"`{item['hypothesis']}`"
            lines.append(f"- {reward} ({item['ending']}): {said}")
        lines.append("")
    return "\n".join(lines)


def _hypothesis(prompt: Prompt, output: Output, score: Score, *, listened: bool) -> str | None:
    if prompt.task == "asr":
        return output.text
    return score.heard if listened else None


def _rollout(output: Output, score: Score, advantage: float | None, hypothesis: str | None) -> dict[str, Any]:
    return {
        "hypothesis": hypothesis,
        "reward": finite(score.total),
        "terms": {name: finite(value) for name, value in score.terms.items()},
        "metrics": {name: finite(value) for name, value in score.metrics.items()},
        "advantage": None if advantage is None else finite(advantage),
        "ending": str(output.ending),
        "length": output.length,
        "status": str(score.status),
    } | ({"reason": score.reason} if score.status is ScoreStatus.FAILED else {})
