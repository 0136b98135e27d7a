"""`speechrl export`: the model of a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechrl.cli.output import hush_libraries, print_json, print_plain


def export_command(
    run_dir: Annotated[Path, typer.Argument(help="Run directory: the `output` of a configuration")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the model; must not exist yet")],
    step: Annotated[
        int | None,
        typer.Option(min=1, help="Of a checkpoint; by default the newest", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help='Print {"model": PATH, "step": N} instead of the path.')
    ] = False,
) -> None:
    """Write the model of a checkpoint, to evaluate it or to train on from it.

    Checkpoints are kept by train.checkpoint_every and train.keep_checkpoints.
    """
    from speechrl.train.export import export_model

    hush_libraries()
    exported = export_model(run_dir, output, step)
    if json:
        print_json({"model": output, "step": exported})
    else:
        print_plain(str(output))
