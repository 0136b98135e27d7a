"""`speechrl quickstart asr` and `tts`: the shipped model, the shipped data, training, and a table of what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from speechrl.cli.output import print_plain
from speechrl.cli.train import finish, run_watched
from speechrl.errors import ConfigError

CONFIG = "package:configs/{task}/quickstart.yaml"

app = typer.Typer(help="See it work, with what ships in the package.", no_args_is_help=True)

Output = Annotated[
    Path | None, typer.Option(help="Run directory; by default a new one under runs/", show_default=False)
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Training steps; by default those of the configuration")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of everything")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads of torch")]


@app.callback()
def quickstart() -> None:
    """See it work, with what ships in the package."""


@app.command("asr")
def asr_command(
    output: Output = None, steps: Steps = None, seed: Seed = None, threads: Threads = None
) -> None:
    """Train the starter recogniser on human speech with GRPO; measure it before and after on speech it never saw.

    The same as `speechrl train package:configs/asr/quickstart.yaml` with a new run directory.
    """
    _run("asr", output, steps, seed, threads)


@app.command("tts")
def tts_command(
    output: Output = None, steps: Steps = None, seed: Seed = None, threads: Threads = None
) -> None:
    """Train the starter synthesiser with GRPO + DiffRO, filtered; a judge outside the reward compares before and after.

    The same as `speechrl train package:configs/tts/quickstart.yaml` with a new run directory.
    """
    _run("tts", output, steps, seed, threads)


def _run(task: str, output: Path | None, steps: int | None, seed: int | None, threads: int | None) -> None:
    from speechrl.config.load import load_config

    name = CONFIG.format(task=task)
    chosen = {"train.steps": steps, "seed": seed, "train.threads": threads}
    overrides = [f"{key}={value}" for key, value in chosen.items() if value is not None]
    run_dir = output or _unused(Path(load_config(name).output))
    overrides.append(f"output={_as_yaml(str(run_dir))}")
    config = load_config(name, overrides)
    print_plain(f"Training {config.model.path} for {config.train.steps} steps; everything goes to {run_dir}/")
    finish(run_watched(config), [name, *overrides], quiet=False)


def _as_yaml(text: str) -> str:
    """A text as an override takes it: in quotes where YAML would read something else, such as the number 2026."""
    from speechrl.config.yaml_reader import parse_yaml

    try:
        same = parse_yaml(text, source="--output") == text
    except ConfigError:
        same = False
    return text if same else json.dumps(text)


def _unused(wanted: Path) -> Path:
    """`wanted`, or the first of `wanted-2`, `wanted-3` ... that does not exist: a quickstart may be run again."""
    candidates = (wanted, *(wanted.with_name(f"{wanted.name}-{number}") for number in range(2, 100)))
    return next((path for path in candidates if not path.exists()), wanted)
