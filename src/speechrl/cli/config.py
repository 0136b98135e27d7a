"""`speechrl config show|check`: what a configuration means, and whether it is right."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer
from rich.markup import escape
from rich.table import Table

from speechrl.cli.output import console, print_json, print_plain
from speechrl.errors import SpeechRLError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

app = typer.Typer(help="Show or check a run's configuration.", no_args_is_help=True)


@app.command("show")
def show_command(
    config: Annotated[
        str | None,
        typer.Argument(help="YAML file; without one, every key with its default and meaning is listed"),
    ] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value ...", show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Print a whole configuration: the file, the overrides, and every default."""
    from speechrl.config import load

    if config is None:
        _list_keys(as_json=json)
        return
    resolved = load.load_any(config, overrides or [])
    if json:
        print_json(resolved.model_dump(mode="json"))
    else:
        print_plain(load.show(resolved))


@app.command("check")
def check_command(
    configs: Annotated[list[str], typer.Argument(help="YAML files")],
    json: Annotated[
        bool, typer.Option("--json", help='Print [{"file", "ok", "error", "note"}] instead of lines.')
    ] = False,
) -> None:
    """Check configuration files, and that rewards and judges exist and fit; ends as the first that is wrong would.

    Of runs, of Token2Text, and of `data select`. Data is not opened.
    """
    results: list[dict[str, Any]] = []
    code = 0
    for config in configs:
        try:
            note = _check(config)
        except SpeechRLError as error:
            code = code or error.exit_code
            told = str(error) if config in str(error) else f"{config}: {error}"
            results.append({"file": config, "ok": False, "error": told, "note": None})
        else:
            results.append({"file": config, "ok": True, "error": None, "note": note or None})
    if json:
        print_json(results)
    for result in results:
        if result["error"]:
            print(result["error"], file=sys.stderr)
        elif not json:
            note = f" ({result['note']})" if result["note"] else ""
            print_plain(f"{result['file']}: right{note}")
    if code:
        raise typer.Exit(code)


def _check(path: str) -> str:
    """What to say of a file that is right, if anything; raises SpeechRLError where one is wrong."""
    from speechrl.config.load import load_any
    from speechrl.config.schema import RunConfig
    from speechrl.config.token2text import Token2TextRun
    from speechrl.config.unread import unread_note
    from speechrl.rewards.base import RewardMixer
    from speechrl.train.preflight import refuse_unfit_judges, refuse_unfit_rewards

    config = load_any(path)
    if isinstance(config, Token2TextRun):
        return ""
    if isinstance(config, RunConfig):
        refuse_unfit_rewards(config)
        refuse_unfit_judges(config)
    with RewardMixer(config.rewards):
        return unread_note(config) if isinstance(config, RunConfig) else ""


def _list_keys(*, as_json: bool) -> None:
    from speechrl.config.schema import RunConfig

    rows = list(_keys(RunConfig))
    if as_json:
        print_json(rows)
        return
    table = Table("key", "default", "meaning", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(row["key"], escape(str(row["default"])), escape(row["meaning"]))
    console().print(table)


def _keys(section: type[BaseModel], prefix: str = "") -> Iterator[dict[str, Any]]:
    for name, field in section.model_fields.items():
        inner = _section_in(field.annotation)
        if inner is not None:
            numbered = "" if inner is field.annotation else "0."
            yield from _keys(inner, f"{prefix}{name}.{numbered}")
        else:
            default = "(required)" if field.is_required() else field.get_default(call_default_factory=True)
            choices = _choices(field.annotation)
            meaning = field.description or ""
            yield {
                "key": prefix + name,
                "default": default,
                "meaning": f"{meaning} ({' | '.join(choices)})" if choices else meaning,
                "choices": choices,
            }


def _choices(annotation: Any) -> list[str]:
    """The words that a key takes, of a choice or of a list of choices; none where it takes more than words."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    return [choice for inner in get_args(annotation) if inner is not annotation for choice in _choices(inner)]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    from speechrl.config.schema import Section

    candidates = (annotation, *get_args(annotation))
    return next((kind for kind in candidates if isinstance(kind, type) and issubclass(kind, Section)), None)
