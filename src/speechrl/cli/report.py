"""`speechrl report`: the HTML page of a run, made (again) from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechrl.cli.output import print_json, print_plain
from speechrl.errors import DataError


def report_command(
    run_dir: Annotated[Path, typer.Argument(help="Run directory: the `output` of a configuration")],
    json: Annotated[bool, typer.Option("--json", help='Print {"report": PATH} instead of the path.')] = False,
) -> None:
    """Write RUN_DIR/report.html from the other files of the run; it opens without a network."""
    if not run_dir.is_dir():
        raise DataError(f"{run_dir}: there is no such run directory. Give the `output` of a run.")
    from speechrl.report.page import write_report

    page = write_report(run_dir)
    if json:
        print_json({"report": page})
    else:
        print_plain(str(page))
