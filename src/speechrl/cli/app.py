"""The program `speechrl`: its verbs, and how failures leave it (one message, one exit code, no traceback)."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from speechrl import __version__
from speechrl.cli import config, data, doctor, evaluate, export, quickstart, report, score, token2text, train
from speechrl.cli.train import EXIT_INTERRUPTED
from speechrl.errors import SpeechRLError

DEBUG_VARIABLE = "SPEECHRL_DEBUG"
TOKEN2TEXT = "train token2text"
VERBS = (
    "quickstart",
    "train",
    TOKEN2TEXT,
    "evaluate",
    "export",
    "report",
    "score",
    "data",
    "config",
    "doctor",
)


class _Verbs(TyperGroup):
    """Lists the verbs as one meets them, not commands before groups; a verb may be two words."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=VERBS.index)

    def resolve_command(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, Any, list[str]]:
        """`train token2text ...` is a verb of its own, beside `train CONFIG ...`."""
        both = " ".join(args[:2])
        command = self.get_command(ctx, both) if len(args) > 1 else None
        return (both, command, args[2:]) if command else super().resolve_command(ctx, args)


app = typer.Typer(
    name="speechrl",
    cls=_Verbs,
    help="Post-train speech LLMs with reinforcement learning.",
    epilog="Exit codes: 0 done, 1 failed, 2 configuration or usage, 3 data, 4 model, 5 rewards, 6 checkpoint, "
    "7 training, 8 missing extra, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(quickstart.app, name="quickstart")
app.command(name="train")(train.train_command)
app.command(name=TOKEN2TEXT)(token2text.token2text_command)
app.command(name="evaluate")(evaluate.evaluate_command)
app.command(name="export")(export.export_command)
app.command(name="report")(report.report_command)
app.command(name="score")(score.score_command)
app.add_typer(data.app, name="data")
app.add_typer(config.app, name="config")
app.command(name="doctor")(doctor.doctor_command)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"speechrl {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Post-train speech LLMs with reinforcement learning."""


def main() -> None:
    """Run the command line and end the process.

    An expected failure is printed to stderr as one message and ends with the `exit_code` of its class; so does a
    failure of the operating system (a full disk, a forbidden folder), with 1. `SPEECHRL_DEBUG=1` shows the traceback.
    """
    try:
        app()
    except (SpeechRLError, OSError) as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        Console(stderr=True, soft_wrap=True).print("error:", style="bold red", end=" ")
        print(error, file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, SpeechRLError) else 1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
