"""The tables that `tts_table2.py --page` prints of its result, in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from result_file import markdown_table
from tts_listening import IN_TIME, JUDGES, RUNS_AWAY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PERCENT = (*JUDGES, "token_cer", RUNS_AWAY, *IN_TIME)
TITLES = {
    "whisper-tiny.en": "WER, Whisper tiny.en", "moonshine-tiny": "WER, Moonshine", "token_cer": "CER, tokens",
    "runs_away": "runs away", "whisper-tiny.en, in time": "in time, Whisper",
    "moonshine-tiny, in time": "in time, Moonshine",
    "similarity": "similarity", "quality": "DistillMOS", "log_f0_std": "log-F0 spread", "no_stop": "no stop",
    "tokens": "length",
}  # fmt: skip


def page(content: Mapping[str, Any]) -> str:
    """Tables of a result: every comparison on the test and the hard sentences, then the paper's order."""
    parts = []
    for comparison in dict.fromkeys(row["comparison"] for row in content["rows"]):
        for part in ("test", "hard"):
            rows = [one for one in content["rows"] if (one["comparison"], one["set"]) == (comparison, part)]
            parts.append(f"**{comparison.capitalize()}, {part} sentences**\n\n{_systems(rows)}")
        pairs = [one for one in content["order"] if one["comparison"] == comparison]
        parts.append(f"**{comparison.capitalize()}, the paper's order**\n\n{_order(pairs)}")
    return "\n\n".join(parts)


def _systems(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per system: mean and range over training seeds; bold where its interval against the base is off zero."""
    measures = [name for name in TITLES if all(row.get(name) for row in rows)]
    base = next(row for row in rows if row["system"] == "base")
    lines = [
        [row["system"], *(_cell(name, row[name], base[name]["mean"]) for name in measures)] for row in rows
    ]
    return markdown_table(["", *(TITLES[name] for name in measures)], lines)


def _cell(measure: str, found: Mapping[str, Any], base: float) -> str:
    several = found["by_training_seed"]
    each = [value / base for value in several] if measure == "tokens" else several

    def show(value: float) -> str:
        return f"{100 * value:.1f}" if measure in PERCENT or measure == "no_stop" else f"{value:.3f}"

    text = show(sum(each) / len(each))
    if len(each) > 1:
        text += f" ({show(min(each))}–{show(max(each))})"
    against = found.get("against_base")
    return f"**{text}**" if against and against["low"] * against["high"] > 0 else text


def _order(pairs: Sequence[Mapping[str, Any]]) -> str:
    """A line per pair of systems that the paper ranks: how the errors of the second stand to those of the first."""
    lines = []
    for worse, better in dict.fromkeys(
        (one["worse_in_the_paper"], one["better_in_the_paper"]) for one in pairs
    ):
        by_judge = {
            one["judge"]: f"{one['relative_change']:+.1%} [{one['low']:+.1%}, {one['high']:+.1%}]"
            for one in pairs
            if (one["worse_in_the_paper"], one["better_in_the_paper"]) == (worse, better)
        }
        lines.append([f"{better} against {worse}", *by_judge.values()])
    judges = list(dict.fromkeys(one["judge"] for one in pairs))
    return markdown_table(["", *(TITLES[judge] for judge in judges)], lines)
