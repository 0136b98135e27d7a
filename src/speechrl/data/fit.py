"""Whether a model can take what a manifest holds, asked before a run instead of in its middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lhotse import MonoCut

from speechrl.config.load import resolve_path
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt, without_audio
from speechrl.data.rows import Problem, read_rows
from speechrl.errors import ConfigError, DataError
from speechrl.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from lhotse.cut import Cut

    from speechrl.models.base import Fault, SpeechModel

SHOWN = 5


class Fitness:
    """Asks a model about cuts, one by one; a voice that many of them share is read once.

    Args:
        model: That is asked.
    """

    def __init__(self, model: SpeechModel) -> None:
        self._model = model
        self._voices: dict[Hashable, Fault | None] = {}

    def fault(self, cut: Cut) -> Fault | None:
        """Why the model cannot take a cut, or None.

        Raises:
            DataError: A voice cannot be loaded.
        """
        prompt = without_audio(cut, self._model.task)
        fault = self._model.fault(prompt)
        # What is to be recognised is another clip in each row: reading them all would take as long as an epoch.
        if fault is not None or prompt.task == "asr":
            return fault
        key = _sound(cut)
        if key not in self._voices:
            self._voices[key] = self._model.fault(to_prompt(cut, task=prompt.task))
        return self._voices[key]


@dataclass(frozen=True, slots=True)
class Unfit:
    """A row that a model cannot take.

    Attributes:
        id: Of the row.
        fault: Why.
        manifests: It is in one of these.
    """

    id: str
    fault: Fault
    manifests: tuple[str, ...]


def unfit_cuts(model: SpeechModel, cuts: Iterable[Cut], manifests: Sequence[str]) -> Iterator[Unfit]:
    """The cuts of sets (as in `derive.read_sets`) that a model cannot take."""
    fitness = Fitness(model)
    for cut in cuts:
        if (fault := fitness.fault(cut)) is not None:
            yield Unfit(cut.id, fault, tuple(manifests))


def unfit_prompts(
    model: SpeechModel, sets: Mapping[str, Sequence[Prompt]], manifests: Mapping[str, str]
) -> Iterator[Unfit]:
    """The prompts of held-out sets that a model cannot take; `manifests` says by name where each set is from."""
    for name, prompts in sets.items():
        for prompt in prompts:
            if (fault := model.fault(prompt)) is not None:
                yield Unfit(prompt.id, fault, (manifests[name],))


def refuse_unfit(found: Iterable[Unfit], model: str) -> None:
    """End before anything long is begun where a model cannot take every row.

    Args:
        found: From `unfit_cuts` and `unfit_prompts`.
        model: Its folder, for the message.

    Raises:
        DataError: There is one; the first few are named, and all are counted.
    """
    unfit = list(found)
    if not unfit:
        return
    many = "1 row is" if len(unfit) == 1 else f"{len(unfit)} rows are"
    raise DataError(
        f"{many} nothing that {model} can take:\n{listed(unfit)}\n"
        f"`speechrl data check MANIFEST --for {model} --good GOOD` lists them all and writes the others to GOOD"
    )


def listed(unfit: Sequence[Unfit]) -> str:
    """Lines for people: manifest, row, id and fault of the first `SHOWN`, and how many more there are."""
    rows: dict[str, dict[str, int]] = {}
    lines = [f"  {_place(one, rows)}, {one.fault}" for one in unfit[:SHOWN]]
    if len(unfit) > SHOWN:
        lines.append(f"  ... and {len(unfit) - SHOWN} more")
    return "\n".join(lines)


def fit_texts(model: SpeechModel, texts: Iterable[str], language: str = "en") -> list[str]:
    """The texts that a synthesiser can speak, in order.

    Raises:
        ConfigError: The model does not speak.
    """
    if model.task != "tts":
        raise ConfigError(f"texts are to be spoken, and this is a model for {model.task}: name a synthesiser")
    return [text for text in texts if model.fault(Prompt("", model.task, text, language)) is None]


def _sound(cut: Cut) -> Hashable:
    """The same for cuts that sound the same: equal stretches of one file."""
    if not isinstance(cut, MonoCut) or any(source.type != "file" for source in cut.recording.sources):
        return str(cut.id)
    files = tuple(str(source.source) for source in cut.recording.sources)
    return (*files, cut.channel, cut.start, cut.duration, str(cut.recording.transforms))


def _place(unfit: Unfit, rows: dict[str, dict[str, int]]) -> str:
    """Manifest, row and id; a derived set has no rows. `rows` remembers what was read."""
    for manifest in unfit.manifests:
        if manifest not in rows:
            rows[manifest] = _rows(manifest)
        if unfit.id in rows[manifest]:
            number = rows[manifest][unfit.id]
            return f"{manifest}, row {number} ({unfit.id})" if number else f"{manifest}, {unfit.id}"
    return f"{' or '.join(unfit.manifests)}, {unfit.id}"


def _rows(manifest: str) -> dict[str, int]:
    """Row of each id, from 1; 0 throughout for a derived set."""
    path, ending, _ = manifest.partition("#")
    if ending:
        return {cut.id: 0 for cut in read_set(manifest)}
    return {
        row.id: row.row if isinstance(row, Problem) else row.number for row in read_rows(resolve_path(path))
    }
