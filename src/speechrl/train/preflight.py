"""What can be refused before torch is imported, data is read or a model is loaded."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from speechrl.errors import ConfigError, MissingExtraError
from speechrl.evaluate.ears import check_ears
from speechrl.report.writers import read_rows
from speechrl.rewards.base import check_rewards
from speechrl.rewards.scorers.recogniser import check_judges

if TYPE_CHECKING:
    from pathlib import Path

    from speechrl.config.schema import ReportConfig, RunConfig


def refuse_used(run_dir: Path) -> None:
    """A new run needs a directory of its own.

    Raises:
        ConfigError: This one holds metrics or checkpoints.
    """
    steps = len(read_rows(run_dir / "metrics.jsonl"))
    if steps or any((run_dir / "checkpoints").glob("step-*")):
        raise ConfigError(
            f"{run_dir} already holds a run ({steps} steps are logged). Resume it (--resume), choose another `output`, "
            "or remove it."
        )


def refuse_taken(output: Path) -> None:
    """A model that is written once, at the end, needs a folder that can be made, and holds nothing yet.

    Raises:
        ConfigError: It is a file, is not empty, or cannot be made where it is to be.
    """
    if output.is_dir() and any(output.iterdir()):
        raise ConfigError(f"output: {output} is not empty; choose another folder, or remove it")
    there = next(folder for folder in (output, *output.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise ConfigError(f"output: {there} is a file, where a folder is to be; choose another place")
    # The folder is replaced as a whole, so its neighbours are written too.
    above = there.absolute().parent if there == output else there
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(
            f"output: nothing can be written to {above}; choose another place, or mend its permissions"
        )


def refuse_missing_extras(config: ReportConfig) -> None:
    """A run that asks for an extra needs it installed.

    Raises:
        MissingExtraError: It is not.
    """
    if config.wandb_project is not None and find_spec("wandb") is None:
        raise MissingExtraError(
            f"report.wandb_project is {config.wandb_project!r}, but wandb is not installed: "
            "pip install 'speechrl[wandb]', or remove report.wandb_project from the configuration."
        )


def refuse_unfit_rewards(config: RunConfig) -> None:
    """Look at rewards without loading any; one of the user's own is met when it is started.

    Raises:
        ConfigError: A name or an option is unknown or unfit, or a reward is for the other task.
    """
    check_rewards(config.rewards, config.task)


def refuse_unfit_judges(config: RunConfig) -> None:
    """Look at who listens to a synthesiser's sets, without loading anybody.

    Raises:
        ConfigError: A recogniser is both a reward and a judge.
        SpeechRLError: A judge is unknown; or it, a measure or the vocoder is not installed.
    """
    if config.task == "tts" and config.evaluation.sets:
        check_judges(config.evaluation.judges, config.rewards)
        check_ears(config.evaluation.judges, config.evaluation.measures, config.evaluation.vocoder)
