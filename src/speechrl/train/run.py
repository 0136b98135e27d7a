"""Puts a run together: from a configuration to a trained model and its run directory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from speechrl.algorithms import make_algorithm
from speechrl.data.curriculum import Curriculum, known_difficulties
from speechrl.data.derive import read_sets
from speechrl.data.fit import refuse_unfit, unfit_cuts, unfit_prompts
from speechrl.data.overlap import shared_rows
from speechrl.data.prompts import without_audio
from speechrl.data.stream import PromptStream, within_duration
from speechrl.errors import ConfigError
from speechrl.evaluate.sets import load_sets
from speechrl.evaluate.sound import Renderer
from speechrl.models.context_store import ContextStore
from speechrl.models.encode_once import EncodeOnce
from speechrl.models.fingerprint import fingerprint
from speechrl.models.load import load_model
from speechrl.report.run_writer import RunWriter
from speechrl.rewards.base import RewardMixer
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.teacher import TeacherRollouts, unwritable
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.train.checkpoint import Checkpoints
from speechrl.train.evaluations import Evaluations
from speechrl.train.events import RunResult, SilentListener, StopRequest
from speechrl.train.guards import Guards
from speechrl.train.learner import Learner
from speechrl.train.loop import Parts, run_steps
from speechrl.train.preflight import refuse_missing_extras, refuse_unfit_judges, refuse_used
from speechrl.train.randomness import seed_everything
from speechrl.train.speech_limits import refuse_cut_short
from speechrl.train.stages import choose_device
from speechrl.train.state import Keeper, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lhotse import CutSet

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import RunConfig
    from speechrl.models.base import SpeechModel
    from speechrl.rollout.base import Rollouts
    from speechrl.train.checkpoint import Loaded
    from speechrl.train.events import Listener
    from speechrl.types import Prompt, Score


def train(config: RunConfig, *, resume: bool = False, listener: Listener | None = None) -> RunResult:
    """Evaluate, train, evaluate again, and write the run directory `config.output`.

    Ctrl-C finishes the step and saves a checkpoint; when a step fails, the one before it is saved. A run that was
    interrupted or killed goes on from its newest whole checkpoint, or from the start if it has none, and logs the same
    numbers as one that was never stopped.

    Args:
        config: The run.
        resume: Go on in `config.output`; else it must hold no run yet.
        listener: Is told what happens.

    Raises:
        ConfigError: The run directory already holds a run, or the data and the model are of different tasks.
        DataError: A row cannot be read, or the model cannot take it.
        SpeechRLError: Everything else that can be expected to fail, each with its own class.
    """
    listener = listener or SilentListener()
    run_dir = Path(config.output).expanduser()
    checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
    refuse_missing_extras(config.report)
    refuse_unfit_judges(config)
    if not resume:
        refuse_used(run_dir)
    loaded = _find_checkpoint(checkpoints, run_dir, config, listener) if resume else None
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.seed)
    device = choose_device(config.train.device)
    with RewardMixer(config.rewards) as rewards:
        return _train(config, device, rewards, checkpoints, loaded, listener, resume=resume)


def _train(
    config: RunConfig,
    device: torch.device,
    rewards: RewardMixer,
    checkpoints: Checkpoints,
    loaded: Loaded | None,
    listener: Listener,
    *,
    resume: bool,
) -> RunResult:
    """`train`, once it is known where to begin and who judges."""
    run_dir = Path(config.output).expanduser()
    model, source, sets = _open(config, listener)
    contexts = _open_contexts(model, config)
    algorithm = make_algorithm(config.algorithm, seed=config.seed)
    algorithm.check(model)
    rewards.check(model)
    rollouts = _make_rollouts(model, algorithm, config)
    learner = Learner(model.language_model, algorithm, config.train, lora_rank=config.model.lora_rank)
    guards = Guards(config.guards, teacher=algorithm.teacher, speaks=config.task == "tts")
    once = EncodeOnce(model, store=contexts)
    # Of an evaluation of nothing nobody need be told.
    evaluations = Evaluations(once, sets, config, device, run_dir, listener if sets else SilentListener())
    before = evaluations.before(resume=resume)
    if before is not None:
        guards.begin(before.to_json(config.evaluation.bootstrap, config.seed))
    state = RunState(config, learner, source, guards)
    if loaded:
        state.restore(loaded)
        rollouts.load(learner.weights(), loaded.step)
    render = Renderer(once) if config.task == "tts" else None
    # Only now: a checkpoint that does not fit leaves the run directory as it is.
    resume_step = (loaded.step if loaded else 0) if resume else None
    first_step = (resume_step or 0) + 1
    with ExitStack() as stack:
        writer = stack.enter_context(RunWriter(run_dir, config, resume_step, render=render))
        listener.run_started(config, first_step)
        keeper = stack.enter_context(Keeper(checkpoints, state, first_step - 1, listener, run_dir))
        stop = stack.enter_context(StopRequest(listener))
        parts = Parts(
            model=once,
            source=source,
            rollouts=rollouts,
            rewards=rewards,
            algorithm=algorithm,
            learner=learner,
            guards=guards,
            writer=writer,
            listener=listener,
            stop=stop,
            between=evaluations.between,
            keeper=keeper,
        )
        done = run_steps(parts, config, device, first_step)
    if stop.requested or done < config.train.steps:
        return RunResult(run_dir, done, interrupted=True, evaluation={}, model_dir=None)
    learner.finish()
    # First, since a judge may fail.
    model.save(run_dir / "model")
    content = evaluations.after(before, guards.end, rewards.score, rewards.group_terms)
    return RunResult(run_dir, done, interrupted=False, evaluation=content, model_dir=run_dir / "model")


class StreamSource:
    """Prompts one by one from a stream, so that any number can be drawn and the position stays exact."""

    def __init__(self, stream: PromptStream) -> None:
        self._stream = stream

    def draw(self, count: int) -> list[Prompt]:
        """The next `count` prompts; more than an epoch has go on into the next."""
        return [prompt for _ in range(count) for prompt in self._stream.next_batch()]

    def learn(self, prompts: Sequence[Prompt], scores: Sequence[Sequence[Score]]) -> None:
        """Tell the stream how the model did on prompts."""
        self._stream.learn(prompts, scores)

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return self._stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._stream.load_state_dict(state)


def _find_checkpoint(
    checkpoints: Checkpoints, run_dir: Path, config: RunConfig, listener: Listener
) -> Loaded | None:
    """The newest whole checkpoint, or None; tells what was passed over and which settings differ."""
    loaded = checkpoints.load_latest()
    if loaded is None:
        listener.message(f"{run_dir} has no checkpoint: this run begins at step 1.")
        return None
    for note in loaded.notes:
        listener.message(f"checkpoint passed over: {note}", alarm=True)
    listener.message(f"going on after step {loaded.step}.")
    changed = _differences(loaded.state["config"], config.model_dump(mode="json"))
    if changed:
        listener.message("settings differ from those of the checkpoint: " + "; ".join(changed), alarm=True)
    return loaded


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        return [
            line
            for name in names
            for line in _differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{key} was {old!r} and is {new!r}"]


def _open(config: RunConfig, listener: Listener) -> tuple[SpeechModel, StreamSource, dict[str, list[Prompt]]]:
    """The model, what it practises on and what it is measured on, each held against the others."""
    manifests = [config.data.train] if isinstance(config.data.train, str) else config.data.train
    cuts = read_sets(manifests)
    kept = _practised(cuts, config, listener)
    source = _open_stream(kept, config, listener)
    sets = load_sets(config.evaluation.sets, config.task, config.evaluation.limit)
    model = load_model(config.model.path)
    if model.task != config.task:
        raise ConfigError(f"`task` is {config.task}, but {config.model.path} is a model for {model.task}.")
    unfit = [*unfit_cuts(model, cuts, manifests), *unfit_prompts(model, sets, config.evaluation.sets)]
    refuse_unfit(unfit, config.model.path)
    refuse_cut_short(model, cuts, manifests, sets, config)
    if config.algorithm.name == "sft" and config.task == "asr":
        _tell_unwritable(kept, model, listener)
    for name, shared in shared_rows(kept, sets).items():
        listener.message(
            f"{shared} of {len(sets[name])} rows of evaluation.sets.{name} say what training rows say, word for word: "
            "what is measured there may be memory. `speechrl data select --never` keeps such rows out of data.train.",
            alarm=True,
        )
    return model, source, sets


def _tell_unwritable(cuts: CutSet, model: SpeechModel, listener: Listener) -> None:
    """Say how many references the vocabulary cannot write."""
    tokenizer, tokenize = getattr(model, "tokenizer", None), getattr(model, "tokenize", None)
    if tokenizer is None or tokenize is None:
        return
    count, words = unwritable((without_audio(cut) for cut in cuts), tokenize, tokenizer.unk_token_id)
    if count:
        listener.message(
            f"{count} of {len(cuts)} references hold words that the model's vocabulary cannot write "
            f"({', '.join(words[:5])}): it would learn to write {tokenizer.unk_token} there. Spell them otherwise, or "
            "drop those rows.",
            alarm=True,
        )


def _practised(cuts: CutSet, config: RunConfig, listener: Listener) -> CutSet:
    """Without what is too short or too long; to speak, audio is a voice, however long."""
    if config.task == "tts":
        return cuts
    kept = within_duration(cuts, config.data.min_duration_s, config.data.max_duration_s)
    if kept.left_out:
        listener.message(
            f"{kept.left_out} of {len(cuts)} utterances are left out by data.min_duration_s, data.max_duration_s."
        )
    return kept.cuts


def _open_stream(cuts: CutSet, config: RunConfig, listener: Listener) -> StreamSource:
    wish = config.data.curriculum
    known = known_difficulties(cuts)
    if wish.order != "none" and not known and not wish.refresh:
        listener.message(
            f"data.curriculum.order is {wish.order}, but no row says how difficult it is, so the order stays random: "
            "train on a manifest that `speechrl data select` wrote, or set data.curriculum.refresh=true",
            alarm=True,
        )
    curriculum = Curriculum(wish.order, wish.bands, wish.refresh, known)
    return StreamSource(
        PromptStream(cuts, batch_size=1, seed=config.seed, task=config.task, curriculum=curriculum)
    )


def _open_contexts(model: SpeechModel, config: RunConfig) -> ContextStore | None:
    """The encoder's work that `data select` kept, if the run names a folder of it."""
    if config.data.contexts is None:
        return None
    return ContextStore(Path(config.data.contexts).expanduser(), fingerprint(model))


def _make_rollouts(model: SpeechModel, algorithm: Algorithm, config: RunConfig) -> Rollouts:
    """The engine with a copy of the policy as it is now, adapters not yet added; or the references, for a teacher.

    It begins on the host: its stages bring it onto the device.
    """
    if algorithm.teacher:
        # A synthesiser's manifest has the text and a voice, not the speech that a teacher would show.
        tokenize = getattr(model, "tokenize", None) if model.task == "asr" else None
        if tokenize is None:
            raise ConfigError(
                f"algorithm.name={config.algorithm.name} needs references to copy, which only a recogniser's data has: "
                "choose grpo, diffro or hybrid."
            )
        return TeacherRollouts(tokenize, model.language_model.end_token_id)
    rollout = config.rollout
    return TorchEngine(
        model.language_model,
        SamplingParams(rollout.temperature, rollout.top_k, rollout.top_p, rollout.max_new_tokens),
        "cpu",
        torch.bfloat16 if config.train.precision == "bf16" else torch.float32,
        rollout.tokens_per_second,
        rollout.tokens_per_character,
    )
