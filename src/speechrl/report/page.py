"""`report.html`: the whole run on one page that needs no network, made from the run directory, again at will."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from speechrl.errors import DataError
from speechrl.report import charts, listening, panels, verdict
from speechrl.report.metrics import merge
from speechrl.report.timeline import duration, stage_totals
from speechrl.report.writers import read_rows, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Rows = Sequence[Mapping[str, Any]]

ENDS = 0.1
"""Share of the steps that "first" and "last" in the tiles average over."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A number at the top of the page."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """A sentence of a guard, and the steps that raised it or the moment."""

    text: str
    when: str


def write_report(run_dir: Path) -> Path:
    """Make `report.html` from the other files of a run directory; a run that has not finished gives what there is.

    Raises:
        DataError: The directory is not one of a run, or one of its files is broken.
    """
    if not (run_dir / "config.yaml").is_file():
        raise DataError(
            f"{run_dir}: not a run directory (config.yaml is missing). Give the `output` of a run."
        )
    rows = read_rows(run_dir / "metrics.jsonl")
    config_text = (run_dir / "config.yaml").read_text(encoding="utf-8")
    config = _config(config_text, run_dir)
    evaluation = _json(run_dir / "evaluation.json")
    found = verdict.verdicts(evaluation)
    shelf = listening.AudioShelf(run_dir)
    changed = listening.changed_by_set(run_dir, [item.name for item in found], shelf)
    steps = listening.groups_by_step(run_dir, shelf)
    totals = stage_totals(rows)
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            title=run_dir.resolve().name,
            task=config["task"],
            status=_status(rows, config["train"]["steps"], evaluation),
            headline=verdict.headline(found),
            tiles=_tiles(rows, config, found),
            verdicts=found,
            evaluation_seconds=evaluation.get("seconds", {}),
            alarms=_alarms(rows, evaluation.get("alarms", ())),
            charts=panels.draw(rows, evaluation),
            stack=charts.stage_stack(rows, list(totals)),
            stages=totals,
            step_count=len(rows),
            steps=steps,
            changed=changed,
            voices=shelf.voices,
            audio_left_out=shelf.left_out,
            config_text=config_text,
            environment=_flat(_json(run_dir / "environment.json")),
            made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            css=_asset("report.css"),
            js=_asset("report.js"),
        )
    )
    write_atomically(run_dir / "report.html", page)
    return run_dir / "report.html"


def _config(text: str, run_dir: Path) -> dict[str, Any]:
    """The configuration of the run, as far as the page reads it."""
    place, mend = run_dir / "config.yaml", "Restore it from the run's configuration."
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataError(f"{place}: not YAML ({error}). {mend}") from error
    sections = ("data", "rollout", "algorithm", "train")
    if (
        not isinstance(config, dict)
        or "task" not in config
        or not all(isinstance(config.get(section), dict) for section in sections)
    ):
        raise DataError(f"{place}: no configuration of a run: it lacks task, {', '.join(sections)}. {mend}")
    return config


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("speechrl.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["duration"] = duration
    environment.filters["gibibytes"] = lambda size: "–" if size is None else f"{size / 2**30:.2f} GiB"
    return environment


def _asset(name: str) -> Markup:
    """A file of our own, put into the page as it is."""
    return Markup((resources.files("speechrl.report") / "assets" / name).read_text(encoding="utf-8"))  # noqa: S704


def _json(path: Path) -> dict[str, Any]:
    """The content of a JSON file, {} where there is none."""
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path}: not JSON ({error}). Remove the file, and the report leaves its part out."
        ) from error
    return content


def _status(rows: Rows, steps: int, evaluation: Mapping[str, Any]) -> str:
    done = int(rows[-1]["step"]) if rows else 0
    if evaluation.get("after"):
        return f"{done} steps, evaluated {'before and after' if evaluation.get('before') else 'after them'}"
    if evaluation:  # written at the end, even where there was nothing to evaluate
        return f"{done} steps, and no set to evaluate on"
    return f"step {done} of {steps}, not evaluated yet: still running, or stopped"


def _tiles(rows: Rows, config: Mapping[str, Any], found: Sequence[verdict.Verdict]) -> list[Tile]:
    tiles = []
    first = found[0] if found else None
    if first and first.before and first.after:
        p = f"p {first.p}" if first.p.startswith("<") else f"p = {first.p}"
        tiles.append(Tile(f"{first.short}, {first.name}", first.after.text, f"was {first.before.text}"))
        tiles.append(Tile("relative change", first.change, p))
    if rows:
        count = max(1, round(len(rows) * ENDS))
        start, end = merge(rows[:count]), merge(rows[-count:])
        if start.get("reward") is not None and end.get("reward") is not None:
            tiles.append(
                Tile("reward", f"{end['reward']:.3f}", f"was {start['reward']:.3f} in the first steps")
            )
        whole = merge(rows)
        if whole.get("zero_spread_share") is not None:
            tiles.append(
                Tile(
                    "groups without spread", f"{whole['zero_spread_share']:.0%}", "no advantage comes of them"
                )
            )
        total = sum(stage["seconds"] or 0.0 for stage in stage_totals(rows).values())
        tiles.append(
            Tile("training time", duration(total), f"{len(rows)} steps, {_seconds(total / len(rows))} each")
        )
        tiles.append(Tile("method", str(config["algorithm"]["name"]).upper(), _method(config)))
    return tiles


def _seconds(value: float) -> str:
    return f"{value:.2g} s" if value < 10 else duration(value)


def _method(config: Mapping[str, Any]) -> str:
    prompts, size = config["data"]["batch_size"], config["rollout"]["group_size"]
    return f"{prompts} prompts × {size} rollouts, lr {config['train']['learning_rate']:g}"


def _alarms(rows: Rows, after: Sequence[str] = ()) -> list[Alarm]:
    """What went wrong, each sentence once with its steps: guards, skipped updates, failed scores; then the end."""
    steps: dict[str, list[int]] = {}
    failed = sum(row.get("failed_scores") or 0 for row in rows)
    for row in rows:
        sentences = list(row.get("alarms", []))
        if row.get("updated") is False:
            sentences.append("The update was skipped.")
        if row.get("failed_scores"):
            sentences.append(
                f"{failed:g} scores failed; their rollouts were left out of statistics and loss."
            )
        for sentence in sentences:
            steps.setdefault(sentence, []).append(int(row["step"]))
    found = [Alarm(sentence, f"step {_ranges(numbers)}") for sentence, numbers in steps.items()]
    return found + [Alarm(sentence, "after training") for sentence in after]


def _ranges(numbers: Sequence[int], most: int = 8) -> str:
    """`3, 7–9, 12`: neighbours joined, long lists cut."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(first) if first == last else f"{first}–{last}" for first, last in runs]
    rest = len(words) - most
    return ", ".join(words[:most]) + (f" and {rest} more" if rest > 0 else "")


def _flat(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """`environment.json` as rows of a table."""
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = key.replace("_", " ")
        if key == "sessions":
            rows += [("session", f"{part['started']}, from step {part['from_step']}") for part in item]
        elif isinstance(item, dict):
            rows.append((name, ", ".join(f"{part} {version}" for part, version in item.items())))
        elif item not in (None, []):
            rows.append((name, ", ".join(map(str, item)) if isinstance(item, list) else str(item)))
    return rows
