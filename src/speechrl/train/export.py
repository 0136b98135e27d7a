"""The model of a run at one of its checkpoints: of a step before it went wrong, or of a run that is not over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.algorithms import make_algorithm
from speechrl.config.load import load_config
from speechrl.errors import CheckpointError, ConfigError
from speechrl.models.load import load_model
from speechrl.train.checkpoint import Checkpoints
from speechrl.train.learner import Learner

if TYPE_CHECKING:
    from pathlib import Path

    from speechrl.train.checkpoint import Loaded


def export_model(run_dir: Path, output: Path, step: int | None = None) -> int:
    """Write the model of a checkpoint as `train` writes that of the last step, adapters merged.

    Args:
        run_dir: Directory of a run.
        output: Folder of the model.
        step: A checkpoint that is there; by default the newest whole one.

    Returns:
        The step.

    Raises:
        ConfigError: `run_dir` holds no run, `output` is taken, or the run's configuration cannot be read.
        CheckpointError: There is no such checkpoint (the message lists those there are), or it is damaged.
        ModelError: The model that the run began with cannot be loaded.
    """
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError(f"{run_dir}: there is no run here (no config.yaml). Give the `output` of a run.")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output}: is there already. Choose another folder, or remove it.")
    config = load_config(run_dir / "config.yaml")
    loaded = _load(run_dir, step)
    model = load_model(config.model.path)
    # Only weights are read: no reference, and no reward model, which may have moved since.
    algorithm = make_algorithm(config.algorithm.model_copy(update={"name": "sft"}))
    learner = Learner(model.language_model, algorithm, config.train, lora_rank=config.model.lora_rank)
    try:
        learner.load_state_dict(loaded.state["learner"])
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint of step {loaded.step} does not fit {config.model.path} ({error}): the run began with "
            "another model."
        ) from error
    learner.finish()
    model.save(output)
    return loaded.step


def _load(run_dir: Path, step: int | None) -> Loaded:
    checkpoints = Checkpoints(run_dir / "checkpoints", keep=1)
    if step is not None:
        return checkpoints.load(step)
    loaded = checkpoints.load_latest()
    if loaded is None:
        raise CheckpointError(
            f"{run_dir}: has no checkpoint. They are written every train.checkpoint_every steps, and when a run is "
            "interrupted; the model of a finished run is in its folder `model`."
        )
    return loaded
