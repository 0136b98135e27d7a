"""`speechrl train`: one run from a configuration."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from speechrl.cli.comparison import print_comparison
from speechrl.cli.output import hush_libraries, print_json, print_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.config.schema import RunConfig
    from speechrl.train.events import RunResult

EXIT_INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended."""


def train_command(
    config: Annotated[
        str, typer.Argument(help="YAML file; package:configs/asr/quickstart.yaml is one that ships")
    ],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="key=value ..., as in train.steps=10", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest whole checkpoint of `output`.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")
    ] = False,
) -> None:
    """Train a model with reinforcement learning, and compare it with what it was.

    Ctrl-C finishes the step, saves it, says how to go on, and ends with 130; a second Ctrl-C leaves at once.
    """
    from speechrl.config.load import load_config

    resolved = load_config(config, overrides or [])
    result = run_watched(resolved, resume=resume)
    if json:
        print_json(
            {
                "run_dir": result.run_dir,
                "steps": result.steps,
                "interrupted": result.interrupted,
                "model": result.model_dir,
                "evaluation": result.evaluation,
            }
        )
    finish(result, [config, *(overrides or [])], quiet=json)


def run_watched(config: RunConfig, *, resume: bool = False) -> RunResult:
    """Train under a live progress line on stderr, so that stdout stays free for the result; then write the report."""
    from speechrl.config.unread import unread_note
    from speechrl.train.preflight import (
        refuse_missing_extras,
        refuse_unfit_judges,
        refuse_unfit_rewards,
        refuse_used,
    )

    # Before the seconds that it takes to import what follows.
    refuse_unfit_rewards(config)
    refuse_unfit_judges(config)
    if note := unread_note(config):
        typer.echo(f"Note: {note}.", err=True)
    refuse_missing_extras(config.report)
    if not resume:
        refuse_used(Path(config.output).expanduser())

    from speechrl.report.page import write_report
    from speechrl.report.progress import ProgressListener
    from speechrl.train.run import train

    hush_libraries()
    with ProgressListener(Console(stderr=True)) as listener:
        result = train(config, resume=resume, listener=listener)
    write_report(result.run_dir)
    return result


def finish(result: RunResult, arguments: Sequence[str], *, quiet: bool) -> None:
    """Print what came out, or how an interrupted run goes on (`arguments` of `speechrl train`), which ends with 130."""
    if result.interrupted:
        command = shlex.join(["speechrl", "train", *arguments, "--resume"])
        typer.echo(f"Stopped after step {result.steps}, which is saved. Go on with:\n  {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    if quiet:
        return
    print_comparison(result.evaluation)
    page = result.run_dir / "report.html"
    print_plain(f"model   {result.model_dir}")
    print_plain(f"report  {page.resolve()}")
