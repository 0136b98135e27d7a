"""What the page lets one read and hear: rollouts of groups, and held-out utterances before and after."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import soundfile as sf

from speechrl.report import diffs, held_out, samples
from speechrl.report.pictures import data_uri, mel_picture
from speechrl.report.sounds import voice_audio_name
from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from speechrl.report.diffs import Reading

SHOWN_STEPS = 3
SHOWN_GROUPS = samples.HEARD_GROUPS
AUDIO_BUDGET_BYTES = 8_000_000
CLIP_LIMIT_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """A sound and its mel spectrogram, as data URIs."""

    uri: str
    picture: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """A rollout, ready to be read, and of a synthesiser to be heard.

    Attributes:
        reading: None where a synthesiser's rewards transcribe nothing.
        dot: Place of its reward among the group's, in percent; 50 where all are equal.
        clip: Its sound, where it was kept.
    """

    reading: Reading | None
    reward: str
    terms: str
    ending: str
    dot: float = 50.0
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class GroupCard:
    """A prompt with its rollouts, best first.

    Attributes:
        audio: The recording to recognise.
        voice: Number of the reference voice (`AudioShelf.voices`); 0 for a recogniser.
        duration: Of the recording; empty for a synthesiser.
        failed: Rollouts whose reward could not be computed.
    """

    id: str
    reference: str
    audio: str
    voice: int
    duration: str
    rollouts: tuple[Spoken, ...]
    failed: int


@dataclass(frozen=True, slots=True)
class Take:
    """A held-out utterance at one moment: what was heard; for a synthesiser its sound, measurements and reward."""

    reading: Reading
    clip: Clip | None
    notes: str
    terms: str = ""


@dataclass(frozen=True, slots=True)
class ChangedCard:
    """A held-out utterance before and after; `audio` and `voice` as in `GroupCard`."""

    id: str
    reference: str
    audio: str
    voice: int
    before: Take
    after: Take


@dataclass(frozen=True, slots=True)
class ChangedSet:
    """What the page shows of a set. `unchosen` are sentences at even distances, whatever became of them."""

    name: str
    improved: tuple[ChangedCard, ...]
    worsened: tuple[ChangedCard, ...]
    unchosen: tuple[ChangedCard, ...]


class AudioShelf:
    """Turns FLAC files of the run into data URIs, as long as the page stays of a decent size.

    Attributes:
        left_out: Clips that were too large or came too late.
        voices: Data URIs of reference voices, each once; the first is voice 1.
    """

    def __init__(self, run_dir: Path) -> None:
        self.left_out = 0
        self.voices: list[str] = []
        self._run_dir = run_dir
        self._left_bytes = AUDIO_BUDGET_BYTES
        self._known: dict[str, Clip] = {}

    def uri(self, name: str | None) -> str:
        """A data URI, or an empty string where there is no such clip or no room for it."""
        clip = self._take(name, pictured=False)
        return clip.uri if clip else ""

    def clip(self, name: str | None) -> Clip | None:
        """A clip with its picture, or None likewise."""
        return self._take(name, pictured=True)

    def voice(self, name: str | None) -> int:
        """Number of a reference voice, from 1; 0 where there is no such clip or no room for it."""
        uri = self.uri(name)
        if uri and uri not in self.voices:
            self.voices.append(uri)
        return self.voices.index(uri) + 1 if uri else 0

    def _take(self, name: str | None, *, pictured: bool) -> Clip | None:
        if name is None or not (self._run_dir / name).is_file():
            return None
        if name not in self._known:
            content = (self._run_dir / name).read_bytes()
            if len(content) > min(CLIP_LIMIT_BYTES, self._left_bytes):
                self.left_out += 1
                return None
            self._left_bytes -= len(content)
            self._known[name] = Clip(data_uri(content, "audio/flac"), _picture(content) if pictured else "")
        return self._known[name]


def groups_by_step(run_dir: Path, shelf: AudioShelf) -> list[tuple[int, list[GroupCard]]]:
    """The newest, a middle and the first step with kept rollouts; of each the groups whose rewards differ most."""
    files = samples.sample_files(run_dir)
    wanted = dict.fromkeys([len(files) - 1, (len(files) - 1) // 2, 0]) if files else {}
    shown = []
    for index in list(wanted)[:SHOWN_STEPS]:
        rows = sorted(read_rows(files[index]), key=samples.spread, reverse=True)
        if rows:
            shown.append((int(rows[0]["step"]), [_group(row, shelf) for row in rows[:SHOWN_GROUPS]]))
    return shown


def changed_by_set(run_dir: Path, names: Sequence[str], shelf: AudioShelf) -> list[ChangedSet]:
    """The utterances to show of the sets that have rows before and after."""
    shown = []
    rewards = held_out.read_rewards(run_dir)
    for name in names:
        improved, worsened = held_out.most_changed(run_dir, name)
        unchosen = held_out.unchosen(run_dir, name)
        if improved or worsened or unchosen:
            lists = (
                tuple(_changed(name, *pair, shelf, rewards.get(name, {})) for pair in pairs)
                for pairs in (improved, worsened, unchosen)
            )
            shown.append(ChangedSet(name, *lists))
    return shown


def _group(row: Mapping[str, Any], shelf: AudioShelf) -> GroupCard:
    judged = sorted(
        (item for item in row["rollouts"] if item["reward"] is not None), key=lambda item: -item["reward"]
    )
    rewards = [item["reward"] for item in judged]
    spoken = row.get("task") == "tts"
    return GroupCard(
        id=row["id"],
        reference=row["reference"],
        audio="" if spoken else shelf.uri(row["audio"]),
        voice=shelf.voice(row["audio"]) if spoken else 0,
        duration="" if spoken else f"{row['duration_s']:.1f} s",
        rollouts=tuple(_spoken(row, item, (min(rewards), max(rewards)), shelf) for item in judged),
        failed=len(row["rollouts"]) - len(judged),
    )


def _spoken(
    row: Mapping[str, Any], item: Mapping[str, Any], span: tuple[float, float], shelf: AudioShelf
) -> Spoken:
    low, high = span
    terms = _told(item["terms"])
    if item["advantage"] is not None:
        terms += f" · advantage {_signed(item['advantage'])}"
    heard = item["hypothesis"]
    return Spoken(
        reading=None if heard is None else diffs.read(row["reference"], heard, row["language"]),
        reward=_signed(item["reward"]),
        terms=terms,
        ending=item["ending"],
        dot=50.0 if high == low else 100 * (item["reward"] - low) / (high - low),
        clip=shelf.clip(item.get("audio")),
    )


def _changed(
    set_name: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    shelf: AudioShelf,
    rewards: Mapping[str, Mapping[str, Mapping[str, float]]],
) -> ChangedCard:
    spoken = held_out.is_spoken(after)
    terms = rewards.get(held_out.place_of(after), {})
    return ChangedCard(
        id=after["id"],
        reference=held_out.reference_of(after),
        audio="" if spoken else shelf.uri(held_out.evaluation_audio_name(set_name, after)),
        voice=shelf.voice(voice_audio_name(after["voice"])) if spoken and after["voice"] else 0,
        before=_take(set_name, "before", before, shelf, terms.get("before", {})),
        after=_take(set_name, "after", after, shelf, terms.get("after", {})),
    )


def _take(
    set_name: str, moment: str, row: Mapping[str, Any], shelf: AudioShelf, terms: Mapping[str, float]
) -> Take:
    reading = diffs.read(held_out.reference_of(row), held_out.hypothesis_of(row), row.get("language", "en"))
    if not held_out.is_spoken(row):
        return Take(reading, None, "")
    notes = [f"{row['duration_s']:.1f} s", f"{row['tokens'] / row['characters']:.2f} tokens a character"]
    measured = (name for name in ("similarity", "quality") if row[name] is not None)
    notes += [f"{name} {row[name]:.2f}" for name in measured]
    if row["no_stop"]:
        notes.append("did not stop")
    clip = shelf.clip(held_out.evaluation_audio_name(set_name, row, moment))
    return Take(reading, clip, " · ".join(notes), _told(terms))


def _told(terms: Mapping[str, float | None]) -> str:
    """Terms of a reward, those that could be computed."""
    return " · ".join(f"{name} {_signed(value)}" for name, value in terms.items() if value is not None)


def _picture(flac: bytes) -> str:
    waveform, sample_rate_hz = sf.read(io.BytesIO(flac), dtype="float32")
    return data_uri(mel_picture(waveform, sample_rate_hz), "image/png")


def _signed(value: float) -> str:
    """Two decimals with a real minus sign, and no negative zero."""
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "\N{MINUS SIGN}")
