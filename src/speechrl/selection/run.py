"""The whole of `speechrl data select`: listen, ask, measure, leave out, choose, write, and say what was done."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechrl.config.load import resolve_path, show
from speechrl.data.fit import refuse_unfit, unfit_cuts
from speechrl.errors import ConfigError, DataError
from speechrl.models.context_store import ContextStore
from speechrl.models.fingerprint import fingerprint
from speechrl.models.load import load_model
from speechrl.report.writers import write_atomically, write_json
from speechrl.rewards.base import RewardMixer, check_rewards
from speechrl.rewards.scorers.recogniser import load_recogniser_judge
from speechrl.selection.card import make_card, write_card
from speechrl.selection.held_out import HeldOut, held_out_rows
from speechrl.selection.judges import ask_judges, see_that_judges_can_judge
from speechrl.selection.keywords import find_keywords, read_list
from speechrl.selection.manifests import write_subset
from speechrl.selection.pool import read_pool
from speechrl.selection.probe import CONTEXTS, probe
from speechrl.selection.rules import choose, find_dropped
from speechrl.selection.speaker import Speaker
from speechrl.selection.utterances import describe, find_reference
from speechrl.selection.verdicts import find_consensus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from speechrl.config.selection import SelectionConfig
    from speechrl.models.base import SpeechModel
    from speechrl.rewards.scorers.recogniser import Recogniser
    from speechrl.selection.pool import Item
    from speechrl.selection.probe import Progress
    from speechrl.selection.utterances import Utterance

SUBSETS = "subsets"


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen.

    Attributes:
        utterances: The whole pool.
        dropped: Key -> why no subset takes it.
        subsets: Name -> utterances, `mixed` among them.
        card: The content of `card.json`.
    """

    utterances: Sequence[Utterance]
    dropped: Mapping[str, str]
    subsets: Mapping[str, Sequence[Utterance]]
    card: Mapping[str, Any]


def select(
    config: SelectionConfig,
    model_path: str,
    manifests: Sequence[str],
    folder: Path,
    device: torch.device,
    progress: Progress,
    *,
    language: str = "en",
    load: Callable[[str], SpeechModel] = load_model,
    load_judge: Callable[..., Recogniser] = load_recogniser_judge,
) -> Selection:
    """Choose data for reinforcement learning, and write it to `folder`.

    What took long (decoding, judges) is kept there in shards and not done again; all else is made anew. Files:
    `selection.yaml`, `utterances.jsonl`, `subsets/NAME.jsonl`, `card.md`, `card.json`, `pictures/`.

    Args:
        config: The rules.
        model_path: The model to be trained.
        manifests: The pool.
        folder: Where everything goes.
        device: Where to decode.
        progress: Is told.
        language: Of rows that do not say theirs.
        load: Loads the model.
        load_judge: Loads a judge.

    Raises:
        ConfigError: Judges are to listen to texts.
        DataError: A manifest cannot be used or is in `folder`, the model cannot take a row, or nothing is left of the
            pool.
        SpeechRLError: A model, judge or reward fails.
    """
    _refuse_own_subsets(manifests, folder)
    folder.mkdir(parents=True, exist_ok=True)
    model = load(model_path)
    _refuse_unfit_rules(config, model)
    held_out = HeldOut(config.never, model.task, language)
    # Before anything is made of them: a test sentence that was joined to others is not told by id, sound or text.
    without = held_out_rows(manifests, held_out, language)
    pool = read_pool(
        manifests, labelled=config.labels == "given", task=model.task, language=language, without=without
    )
    if not pool:
        raise DataError(f"{', '.join(manifests)}: every row is in the held-out sets; look at `never`")
    refuse_unfit(unfit_cuts(model, (item.cut for item in pool), manifests), model_path)
    see_that_judges_can_judge(pool, config.judges, folder, load_judge, must_agree=config.labels == "judges")
    utterances = _measure(config, model, pool, folder, device, progress, load_judge)
    cuts = {item.key: item.cut for item in pool}
    dropped = find_dropped(utterances, config, lambda one: held_out.reason(one, cuts[one.key]))
    kept = [one for one in utterances if one.key not in dropped]
    if not kept:
        raise DataError(
            f"nothing is left of {len(pool)} utterances: {', '.join(sorted(set(dropped.values())))}; "
            "look at never, exclude and labels"
        )
    subsets = choose(kept, config)
    (folder / "card.json").unlink(missing_ok=True)  # which says of a whole selection, and is written last
    write_atomically(folder / "selection.yaml", show(config))
    _write(folder, pool, utterances, dropped, subsets)
    card, pictures = make_card(config, model.task, model_path, manifests, pool, utterances, dropped, subsets)
    card["held_out_rows"] = {source: len(rows) for source, rows in without.items()}
    card["contexts_kept"] = _contexts_kept(model, config, folder)
    write_card(folder, card, pictures)
    write_json(folder / "card.json", card)
    return Selection(utterances, dropped, subsets, card)


def _refuse_unfit_rules(config: SelectionConfig, model: SpeechModel) -> None:
    """What would end hours of decoding and can be told at once: judges of texts, a misspelt reward, a missing list."""
    if model.task == "tts":
        _refuse_judges(config)
    check_rewards(config.rewards, model.task)
    if config.keywords.given:
        read_list(Path(config.keywords.given).expanduser())


def _measure(
    config: SelectionConfig,
    model: SpeechModel,
    pool: Sequence[Item],
    folder: Path,
    device: torch.device,
    progress: Progress,
    load_judge: Callable[..., Recogniser],
) -> list[Utterance]:
    """Decode, ask judges, find keywords, and score."""
    # What fails is counted over the pool: one odd utterance must not end it.
    with RewardMixer(config.rewards.model_copy(update={"max_failed_share": 1.0})) as rewards:
        rewards.check(model)
        heard = probe(model, pool, config.probe, config.seed, folder, device, progress)
        opinions = ask_judges(pool, config.judges, folder, progress, load_judge)
        judges = config.judges
        agreed = {
            item.key: find_consensus(opinions[item.key], item.language, judges.agree, judges.quorum)
            for item in pool
        }
        references = {
            item.key: (find_reference(item, agreed[item.key], config), item.language) for item in pool
        }
        keywords = find_keywords(references, config.keywords, {item.key: item.keywords for item in pool})
        with Speaker(model, device) if model.task == "tts" else nullcontext() as speaker:
            return describe(pool, heard, opinions, agreed, keywords, rewards, config, speaker, progress)


def _refuse_judges(config: SelectionConfig) -> None:
    """A text to be spoken is right as it is: there is no label to doubt."""
    if config.judges.recognisers or config.judges.hypotheses or config.labels == "judges":
        raise ConfigError(
            "judges listen to recordings, and this model speaks: leave `judges`, `labels` and --unlabelled out, as "
            "package:configs/data/select_tts.yaml does"
        )


def _write(
    folder: Path,
    pool: Sequence[Item],
    utterances: Sequence[Utterance],
    dropped: Mapping[str, str],
    subsets: Mapping[str, Sequence[Utterance]],
) -> None:
    """`utterances.jsonl` with a line an utterance, and the subsets."""
    homes: dict[str, list[str]] = {}
    for name, chosen in subsets.items():
        for one in chosen:
            homes.setdefault(one.key, []).append(name)
    lines = (
        {**asdict(one), "dropped": dropped.get(one.key), "subsets": homes.get(one.key, [])}
        for one in utterances
    )
    write_atomically(
        folder / "utterances.jsonl",
        "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines),
    )
    items = {item.key: item for item in pool}
    for name, chosen in subsets.items():
        write_subset(folder / SUBSETS / f"{name}.jsonl", chosen, items, folder / "audio")
    # Those of other rules, or of a call without `never`, would be taken for chosen by these.
    for path in (folder / SUBSETS).glob("*.jsonl"):
        if path.stem not in subsets:
            path.unlink()


def _refuse_own_subsets(manifests: Sequence[str], folder: Path) -> None:
    """A pool that this call writes would be lost."""
    for manifest in manifests:
        source = resolve_path(manifest.partition("#")[0]).resolve()
        if source.parent == (folder / SUBSETS).resolve():
            raise DataError(f"{manifest} is a subset in {folder}, which is written anew: give another --out")


def _contexts_kept(model: SpeechModel, config: SelectionConfig, folder: Path) -> int | None:
    """How many recordings the store of this model has room for; None where none are to be kept."""
    if not config.probe.keep_contexts_gb:
        return None
    return len(ContextStore(folder / CONTEXTS, fingerprint(model)))
