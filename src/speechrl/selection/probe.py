"""Listen to every utterance with the model: one greedy hypothesis, several samples, and how sure it was of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError
from speechrl.models.context_store import ContextStore
from speechrl.models.encode_once import EncodeOnce
from speechrl.models.fingerprint import fingerprint
from speechrl.report.writers import write_json
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.selection.pool import audio_digest, longest_pause_s
from speechrl.selection.shards import Shards
from speechrl.types import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from speechrl.config.selection import ProbeConfig
    from speechrl.models.base import SpeechModel
    from speechrl.selection.pool import Item
    from speechrl.types import Output, Prompt, Rollout

    Progress = Callable[[str, int, int], None]
    """Called with what is being done, how much of it is done, and how much there is."""

DOES_NOT_MATTER = {"device", "threads", "keep_contexts_gb"}
"""Settings of the probe that leave its answers as they are, up to rounding."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model made of one utterance: a line of a shard.

    Attributes:
        key: `pool.Item.key`.
        id: For people; rows are found by `key`.
        duration_s: Of the audio.
        pause_s: `pool.longest_pause_s`.
        audio: `pool.audio_digest`.
        hypothesis: Greedy.
        ending: How it ended.
        length: Its tokens.
        samples: Texts.
        endings: How they ended.
        lengths: Their tokens.
        entropy: Mean -log p of all sampled tokens at temperature 1, the end tokens included, in nats. At temperature 1
            and without top-k and top-p an unbiased estimate of the entropy a token has.
    """

    key: str
    id: str
    duration_s: float
    pause_s: float
    audio: str
    hypothesis: str
    ending: str
    length: int
    samples: tuple[str, ...]
    endings: tuple[str, ...]
    lengths: tuple[int, ...]
    entropy: float


def probe(
    model: SpeechModel,
    items: Sequence[Item],
    config: ProbeConfig,
    seed: int,
    folder: Path,
    device: torch.device,
    progress: Progress,
) -> dict[str, Heard]:
    """Decode what has not been decoded yet, a shard after another, and read the rest back.

    Shards are in `folder/probe/MODEL-SETTINGS/`, by the model's weights and the settings that matter; kept contexts in
    `folder/contexts/MODEL/`. The same pool, model and seed give the same shards, also across a kill. The encoder reads
    each utterance once; where contexts are to be kept, once more each that was decoded without.

    Args:
        model: A recogniser.
        items: The pool.
        config: How to decode.
        seed: Of the samples.
        folder: Where shards are.
        device: Where to decode; the model is on the host before and after.
        progress: Is told after every batch.

    Returns:
        Item key -> what was heard.

    Raises:
        DataError: The model does not recognise, or audio cannot be loaded.
    """
    if model.task != "asr":
        raise DataError("`data select` listens to recordings: give a recogniser, not a synthesiser")
    name = fingerprint(model)
    place = folder / "probe" / f"{name}-{_settings_hash(config, seed)}"
    shards = Shards(place)
    missing = [item for item in items if item.key not in shards.rows]
    known = [item for item in items if item.key in shards.rows]
    store = None
    if config.keep_contexts_gb:
        store = ContextStore(folder / "contexts" / name, name, round(config.keep_contexts_gb * 1e9))
    if config.threads and (missing or store is not None):
        torch.set_num_threads(config.threads)
    if missing:
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "settings.json", {"model": name, "seed": seed, **config.model_dump(mode="json")})
        prober = _Prober(model, config, seed, store, device)
        done = len(items) - len(missing)
        try:
            for start in range(0, len(missing), config.shard_size):
                rows: list[dict[str, Any]] = []
                # Of like length, so that a batch is little padding.
                part = sorted(
                    missing[start : start + config.shard_size], key=lambda item: float(item.cut.duration)
                )
                for batch in prober.listen(part, shards.next_number):
                    rows += batch
                    progress("decode", done + start + len(rows), len(items))
                shards.add(rows)
        finally:
            model.encoder.to("cpu")
    if store is not None:
        _keep_contexts(model, known, store, device, progress)
    return {item.key: _read(shards.rows[item.key]) for item in items}


def _keep_contexts(
    model: SpeechModel, items: Sequence[Item], store: ContextStore, device: torch.device, progress: Progress
) -> None:
    """Encode what the store lacks, until it is full."""
    once = EncodeOnce(model, max_bytes=0, store=store)
    try:
        for number, item in enumerate(items, 1):
            prompt = to_prompt(item.cut)
            if once.encoder_for([prompt]) is None:
                continue
            kept = len(store)
            model.encoder.to(device)
            once.encode([prompt])
            if len(store) == kept:
                return
            progress("encode", number, len(items))
    finally:
        model.encoder.to("cpu")


class _Prober:
    """The encoder and an engine with its copy of the language model, on the device."""

    def __init__(
        self,
        model: SpeechModel,
        config: ProbeConfig,
        seed: int,
        store: ContextStore | None,
        device: torch.device,
    ) -> None:
        params = SamplingParams(config.temperature, config.top_k, config.top_p, config.max_new_tokens)
        dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
        self._config = config
        self._seed = seed
        self._engine = TorchEngine(
            model.language_model, params, device, dtype, tokens_per_second=config.tokens_per_second
        )
        model.encoder.to(device)
        # Nothing is remembered in memory: an utterance comes once.
        self._model = EncodeOnce(model, max_bytes=0, store=store)

    def listen(self, items: Sequence[Item], shard: int) -> Iterator[list[dict[str, Any]]]:
        """Rows of the items, in batches."""
        for number, start in enumerate(range(0, len(items), self._config.batch_size)):
            batch = items[start : start + self._config.batch_size]
            yield self._listen(batch, _seed(self._seed, shard, number))

    def _listen(self, items: Sequence[Item], seed: int) -> list[dict[str, Any]]:
        prompts = [to_prompt(item.cut) for item in items]
        contexts = self._model.encode(prompts)
        greedy = self._engine.greedy(contexts, self._config.max_new_tokens)
        groups = self._engine.sample(contexts, prompts, self._config.samples, seed)
        alone = [Group(context, (first,)) for context, first in zip(contexts, greedy, strict=True)]
        rows = []
        for item, prompt, (best,), group, outputs in zip(
            items, prompts, self._model.decode(alone), groups, self._model.decode(groups), strict=True
        ):
            rows.append(asdict(_row(item, prompt, best, group.rollouts, outputs)))
        return rows


def _row(
    item: Item, prompt: Prompt, best: Output, rollouts: Sequence[Rollout], outputs: Sequence[Output]
) -> Heard:
    assert prompt.audio is not None
    logprobs = [logprob for rollout in rollouts for logprob in rollout.logprobs]
    return Heard(
        key=item.key,
        id=item.cut.id,
        duration_s=round(prompt.duration_s, 4),
        pause_s=round(longest_pause_s(prompt.audio, prompt.sample_rate_hz), 2),
        audio=audio_digest(prompt.audio),
        hypothesis=best.text,
        ending=str(best.ending),
        length=best.length,
        samples=tuple(output.text for output in outputs),
        endings=tuple(str(output.ending) for output in outputs),
        lengths=tuple(output.length for output in outputs),
        entropy=round(-sum(logprobs) / max(len(logprobs), 1), 5),
    )


def _read(row: Mapping[str, Any]) -> Heard:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    return Heard(**fields)


def _settings_hash(config: ProbeConfig, seed: int) -> str:
    settings = config.model_dump(mode="json", exclude=DOES_NOT_MATTER)
    return hashlib.sha256(repr((seed, sorted(settings.items()))).encode()).hexdigest()[:8]


def _seed(seed: int, shard: int, batch: int) -> int:
    """A hash of its arguments, so that a job that goes on samples as one that was never stopped."""
    return int(np.random.SeedSequence([seed, shard, batch]).generate_state(1)[0])
