"""`speechrl data import|check`: from other people's manifests to rows that a run can trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speechrl.cli.output import count, print_json, print_plain
from speechrl.errors import DataError

app = typer.Typer(help="Import and check data.", no_args_is_help=True)

Language = Annotated[str, typer.Option(help="Language of rows that do not say theirs (ISO 639-1)")]


@app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="JSONL, NeMo manifest, Kaldi folder or lhotse CutSet")],
    manifest: Annotated[Path, typer.Argument(help="CutSet to write, .jsonl or .jsonl.gz")],
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help='Print {"manifest", "rows"}.')] = False,
) -> None:
    """Turn any manifest that speechrl reads into one lhotse CutSet with absolute audio paths."""
    from speechrl.data.manifests import import_manifest

    rows = import_manifest(source, manifest, language)
    if json:
        print_json({"manifest": manifest, "rows": rows})
    else:
        print_plain(f"{manifest}: {count(rows, 'row')}")


@app.command("check")
def check_command(
    manifest: Annotated[Path, typer.Argument(help="JSONL, NeMo manifest, Kaldi folder or lhotse CutSet")],
    good: Annotated[Path | None, typer.Option(help="Write the rows that can be used here")] = None,
    bad: Annotated[Path | None, typer.Option(help="Write the others here, with reasons")] = None,
    allow_empty_text: Annotated[
        bool, typer.Option("--allow-empty-text", help="Empty text means that nobody speaks, not a mistake.")
    ] = False,
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help='Print {"ok", "rows", "good", "bad", ...}.')] = False,
) -> None:
    """Read every row and every sample, and say what would spoil a run; ends with 3 when a row is bad."""
    from speechrl.data.checks import Limits, check_manifest

    report = check_manifest(manifest, Limits(allow_empty_text=allow_empty_text), language)
    if good is not None:
        report.write_good(good)
    if bad is not None:
        report.write_bad(bad)
    if json:
        print_json(report.to_json())
    else:
        for line in (*map(str, report.bad), *(f"note: {note}" for note in report.notes)):
            print_plain(line)
        duration = f"{report.duration_s / 60:.1f} minutes"
        print_plain(
            f"{count(len(report.good), 'good row')} ({duration}), {count(len(report.bad), 'bad row')}"
        )
    if not report.ok:
        raise typer.Exit(DataError.exit_code)
