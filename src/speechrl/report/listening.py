"""What the page lets one read and hear: rollouts of groups, and held-out utterances before and after."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechrl.report import diffs, samples
from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from speechrl.report.diffs import Reading

SHOWN_STEPS = 3
SHOWN_GROUPS = 5
AUDIO_BUDGET_BYTES = 8_000_000
CLIP_LIMIT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Spoken:
    """A rollout, or a hypothesis of the evaluation, ready to be read.

    Attributes:
        dot: Place of its reward among the group's, in percent; 50 where all are equal.
    """

    reading: Reading
    reward: str
    terms: str
    ending: str
    dot: float = 50.0


@dataclass(frozen=True, slots=True)
class GroupCard:
    """A prompt with its rollouts, best first. `failed` counts those whose reward could not be computed."""

    id: str
    reference: str
    audio: str
    duration: str
    rollouts: tuple[Spoken, ...]
    failed: int


@dataclass(frozen=True, slots=True)
class ChangedCard:
    """A held-out utterance before and after."""

    id: str
    reference: str
    audio: str
    before: Reading
    after: Reading


class AudioShelf:
    """Turns FLAC files of the run into data URIs, as long as the page stays of a decent size.

    Attributes:
        left_out: Clips that were too large or came too late.
    """

    def __init__(self, run_dir: Path) -> None:
        self.left_out = 0
        self._run_dir = run_dir
        self._left_bytes = AUDIO_BUDGET_BYTES
        self._known: dict[str, str] = {}

    def uri(self, name: str | None) -> str:
        """A data URI, or an empty string where there is no such clip or no room for it."""
        if name is None or not (self._run_dir / name).is_file():
            return ""
        if name not in self._known:
            content = (self._run_dir / name).read_bytes()
            if len(content) > min(CLIP_LIMIT_BYTES, self._left_bytes):
                self.left_out += 1
                return ""
            self._left_bytes -= len(content)
            self._known[name] = "data:audio/flac;base64," + base64.b64encode(content).decode("ascii")
        return self._known[name]


def groups_by_step(run_dir: Path, shelf: AudioShelf) -> list[tuple[int, list[GroupCard]]]:
    """The newest, a middle and the first step with kept rollouts; of each the groups whose rewards differ most."""
    files = samples.sample_files(run_dir)
    wanted = dict.fromkeys([len(files) - 1, (len(files) - 1) // 2, 0]) if files else {}
    shown = []
    for index in list(wanted)[:SHOWN_STEPS]:
        rows = sorted(read_rows(files[index]), key=_spread, reverse=True)
        if rows:
            shown.append((int(rows[0]["step"]), [_group(row, shelf) for row in rows[:SHOWN_GROUPS]]))
    return shown


def changed_by_set(
    run_dir: Path, names: Sequence[str], shelf: AudioShelf
) -> list[tuple[str, list[ChangedCard], list[ChangedCard]]]:
    """(set, most improved, most worsened) for the sets with rows before and after."""
    shown = []
    for name in names:
        improved, worsened = samples.most_changed(run_dir, name)
        if improved or worsened:
            cards = [[_changed(name, *pair, shelf) for pair in pairs] for pairs in (improved, worsened)]
            shown.append((name, cards[0], cards[1]))
    return shown


def _group(row: Mapping[str, Any], shelf: AudioShelf) -> GroupCard:
    judged = sorted(
        (item for item in row["rollouts"] if item["reward"] is not None), key=lambda item: -item["reward"]
    )
    rewards = [item["reward"] for item in judged]
    return GroupCard(
        id=row["id"],
        reference=row["reference"],
        audio=shelf.uri(row["audio"]),
        duration=f"{row['duration_s']:.1f} s",
        rollouts=tuple(_spoken(row, item, min(rewards), max(rewards)) for item in judged),
        failed=len(row["rollouts"]) - len(judged),
    )


def _spoken(row: Mapping[str, Any], item: Mapping[str, Any], low: float, high: float) -> Spoken:
    terms = [f"{name} {_signed(value)}" for name, value in item["terms"].items() if value is not None]
    if item["advantage"] is not None:
        terms.append(f"advantage {_signed(item['advantage'])}")
    return Spoken(
        reading=diffs.read(row["reference"], item["hypothesis"], row["language"]),
        reward=_signed(item["reward"]),
        terms=" · ".join(terms),
        ending=item["ending"],
        dot=50.0 if high == low else 100 * (item["reward"] - low) / (high - low),
    )


def _changed(
    set_name: str, before: Mapping[str, Any], after: Mapping[str, Any], shelf: AudioShelf
) -> ChangedCard:
    language = after.get("language", "en")
    return ChangedCard(
        id=after["id"],
        reference=after["reference"],
        audio=shelf.uri(samples.evaluation_audio_name(set_name, after["id"])),
        before=diffs.read(before["reference"], before["hypothesis"], language),
        after=diffs.read(after["reference"], after["hypothesis"], language),
    )


def _signed(value: float) -> str:
    """Two decimals with a real minus sign, and no negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")


def _spread(row: Mapping[str, Any]) -> float:
    rewards = [item["reward"] for item in row["rollouts"] if item["reward"] is not None]
    return max(rewards) - min(rewards) if rewards else -1.0
