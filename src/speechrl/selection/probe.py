"""Hear what the model makes of every utterance: one greedy answer, several samples, and how sure it was of them.

A recogniser writes down what is said; what a synthesiser says is written down by a Token2Text.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from speechrl.data.prompts import to_prompt
from speechrl.errors import ConfigError, DataError
from speechrl.models.context_store import ContextStore
from speechrl.models.encode_once import EncodeOnce
from speechrl.models.fingerprint import fingerprint, weights_fingerprint
from speechrl.models.tts.speech_tokenizer import TOKENS_PER_SECOND
from speechrl.models.tts.token2text import check_vocabulary, load_token2text
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
    from speechrl.models.tts.token2text import SpeaksCodes, Token2Text
    from speechrl.selection.pool import Item
    from speechrl.types import Output, Prompt, Rollout, Task

    Reader = Callable[[Sequence[Output]], list[str]]
    """What outputs say, in words."""
    Progress = Callable[[str, int, int], None]
    """Called with what is being done, how much of it is done, and how much there is."""

CONTEXTS = "contexts"
"""Folder of kept contexts, in that of a selection."""
DOES_NOT_MATTER = {
    "asr": {"device", "threads", "keep_contexts_gb", "reader", "tokens_per_character"},
    "tts": {"device", "threads", "keep_contexts_gb", "reader", "tokens_per_second"},
}
"""Settings of the probe that leave its answers as they are, up to rounding. Readers are told apart by their weights."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the model made of one utterance: a line of a shard.

    Attributes:
        key: `pool.Item.key`.
        id: For people; rows are found by `key`.
        duration_s: Of the audio; of what a synthesiser says greedily.
        pause_s: `pool.longest_pause_s`; 0 for a synthesiser.
        audio: `pool.audio_digest`; empty for a synthesiser, whose audio is a voice that many texts share.
        hypothesis: Greedy; of a synthesiser, what the reader makes of it.
        ending: How it ended.
        length: Its tokens.
        samples: Texts.
        endings: How they ended.
        lengths: Their tokens.
        entropy: Mean -log p of all sampled tokens at temperature 1, the end tokens included, in nats. At temperature 1
            and without top-k and top-p an unbiased estimate of the entropy a token has.
        speech: Of a synthesiser, the speech tokens of the samples, without end tokens, as text: a pool has millions.
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
    speech: tuple[str, ...] = ()


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

    Shards are in `folder/probe/MODEL-SETTINGS/`, by the model's weights and the settings that matter, and for a
    synthesiser by its reader's weights; kept contexts in `folder/contexts/MODEL/`. The same pool, model and seed give
    the same shards, also across a kill. The encoder reads each utterance once; where contexts are to be kept, once more
    each that was decoded without.

    Args:
        model: A recogniser or a synthesiser.
        items: The pool.
        config: How to decode.
        seed: Of the samples.
        folder: Where shards are.
        device: Where to decode; the model is on the host before and after.
        progress: Is told after every batch.

    Returns:
        Item key -> what was heard.

    Raises:
        DataError: Audio cannot be loaded.
        ConfigError: Contexts of a synthesiser are to be kept.
        ModelError: There is no Token2Text to read a synthesiser's tokens, or it has another codebook.
    """
    if model.task == "tts" and config.keep_contexts_gb:
        raise ConfigError("probe.keep_contexts_gb: only contexts of recognisers can be kept; set it to 0")
    reader = _reader(model, config)
    read = _transcribe if reader is None else partial(_read_tokens, reader)
    name = fingerprint(model)
    parts = [name, _settings_hash(config, seed, model.task)]
    place = folder / "probe" / "-".join([*parts, *([weights_fingerprint(reader)[:8]] if reader else [])])
    shards = Shards(place)
    missing = [item for item in items if item.key not in shards.rows]
    known = [item for item in items if item.key in shards.rows]
    store = None
    if config.keep_contexts_gb:
        # At least a byte: with none it would be a store to read from.
        store = ContextStore(folder / CONTEXTS, name, max(1, round(config.keep_contexts_gb * 1e9)))
    if config.threads and (missing or store is not None):
        torch.set_num_threads(config.threads)
    if missing:
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / "settings.json", {"model": name, "seed": seed, **config.model_dump(mode="json")})
        prober = _Prober(model, read, config, seed, store, device)
        done = len(items) - len(missing)
        try:
            for start in range(0, len(missing), config.shard_size):
                rows: list[dict[str, Any]] = []
                # Of like length, so that a batch is little padding.
                part = sorted(missing[start : start + config.shard_size], key=_length(model.task))
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
        read: Reader,
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
            model.language_model,
            params,
            device,
            dtype,
            tokens_per_second=config.tokens_per_second,
            tokens_per_character=config.tokens_per_character,
        )
        self._read = read
        model.encoder.to(device)
        # Nothing is remembered in memory: an utterance comes once.
        self._model = EncodeOnce(model, max_bytes=0, store=store)

    def listen(self, items: Sequence[Item], shard: int) -> Iterator[list[dict[str, Any]]]:
        """Rows of the items, in batches."""
        for number, start in enumerate(range(0, len(items), self._config.batch_size)):
            batch = items[start : start + self._config.batch_size]
            yield self._listen(batch, _seed(self._seed, shard, number))

    def _listen(self, items: Sequence[Item], seed: int) -> list[dict[str, Any]]:
        prompts = [to_prompt(item.cut, task=self._model.task) for item in items]
        contexts = self._model.encode(prompts)
        greedy = self._engine.greedy(contexts, self._config.max_new_tokens)
        groups = self._engine.sample(contexts, prompts, self._config.samples, seed)
        alone = [Group(context, (first,)) for context, first in zip(contexts, greedy, strict=True)]
        rows = []
        spoken = self._model.decode(alone, audio=False), self._model.decode(groups, audio=False)
        for item, prompt, (best,), group, outputs in zip(
            items, prompts, spoken[0], groups, spoken[1], strict=True
        ):
            texts = self._read([best, *outputs])
            rows.append(asdict(_row(item, prompt, best, group.rollouts, outputs, texts)))
        return rows


def _row(
    item: Item,
    prompt: Prompt,
    best: Output,
    rollouts: Sequence[Rollout],
    outputs: Sequence[Output],
    texts: Sequence[str],
) -> Heard:
    assert prompt.audio is not None
    hears = prompt.task == "asr"
    logprobs = [logprob for rollout in rollouts for logprob in rollout.logprobs]
    return Heard(
        key=item.key,
        id=item.cut.id,
        duration_s=round(prompt.duration_s if hears else best.length / TOKENS_PER_SECOND, 4),
        pause_s=round(longest_pause_s(prompt.audio, prompt.sample_rate_hz), 2) if hears else 0.0,
        audio=audio_digest(prompt.audio) if hears else "",
        hypothesis=texts[0],
        ending=str(best.ending),
        length=best.length,
        samples=tuple(texts[1:]),
        endings=tuple(str(output.ending) for output in outputs),
        lengths=tuple(output.length for output in outputs),
        entropy=round(-sum(logprobs) / max(len(logprobs), 1), 5),
        speech=() if hears else tuple(" ".join(map(str, output.token_ids)) for output in outputs),
    )


def _reader(model: SpeechModel, config: ProbeConfig) -> Token2Text | None:
    """Who writes down what a synthesiser says; a recogniser writes by itself."""
    if model.task == "asr":
        return None
    token2text = load_token2text(config.reader)
    check_vocabulary(token2text, cast("SpeaksCodes", model), f"probe.reader, {config.reader}")
    return token2text


def _transcribe(outputs: Sequence[Output]) -> list[str]:
    return [output.text for output in outputs]


def _read_tokens(reader: Token2Text, outputs: Sequence[Output]) -> list[str]:
    return reader.transcribe([output.token_ids for output in outputs])


def _length(task: Task) -> Callable[[Item], float]:
    """How long decoding an item will take, on some scale."""
    return (lambda item: float(item.cut.duration)) if task == "asr" else (lambda item: len(item.text))


def _read(row: Mapping[str, Any]) -> Heard:
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    try:
        return Heard(**fields)
    except TypeError as error:
        raise DataError(
            f"the probe's row {row.get('id')!r} is not of this version of speechrl ({error}); remove the folder "
            "`probe` of --out, and it is made again"
        ) from error


def _settings_hash(config: ProbeConfig, seed: int, task: Task) -> str:
    settings = config.model_dump(mode="json", exclude=DOES_NOT_MATTER[task])
    return hashlib.sha256(repr((seed, sorted(settings.items()))).encode()).hexdigest()[:8]


def _seed(seed: int, shard: int, batch: int) -> int:
    """A hash of its arguments, so that a job that goes on samples as one that was never stopped."""
    return int(np.random.SeedSequence([seed, shard, batch]).generate_state(1)[0])
