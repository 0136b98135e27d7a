"""The data card: what the pool was, what was kept, what was dropped and why, as JSON, Markdown and pictures."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean
from typing import TYPE_CHECKING, Any

from speechrl.report.histogram import Distribution, histogram
from speechrl.report.writers import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from speechrl.config.selection import SelectionConfig
    from speechrl.selection.pool import Item
    from speechrl.selection.utterances import Utterance
    from speechrl.types import Task

POOL = "pool"
ERRORS = {"asr": "WER", "tts": "CER read in tokens"}
PICTURES = (
    ("duration_s", "Duration", "seconds", False, None),
    ("difficulty", "Difficulty", "mean error rate of the samples", True, None),
    ("wer", "Error rate", "of the greedy hypothesis", True, 1.0),
    ("reward_mean", "Reward", "mean of the samples", False, None),
    ("reward_std", "Spread of the reward", "sample standard deviation", False, None),
    ("entropy", "Entropy", "nats a token", False, None),
)
"""Measure, title, axis, percent, end of the axis."""


def make_card(
    config: SelectionConfig,
    task: Task,
    model_path: str,
    manifests: Sequence[str],
    pool: Sequence[Item],
    utterances: Sequence[Utterance],
    dropped: Mapping[str, str],
    subsets: Mapping[str, Sequence[Utterance]],
) -> tuple[dict[str, Any], dict[str, str]]:
    """The content of `card.json`, and the pictures: file name -> SVG.

    Error rates of sets are ratios of sums; `spread_share` is the share of utterances whose samples earn different
    rewards, of those with rewards.
    """
    kept = [one for one in utterances if one.key not in dropped]
    by_key = {one.key: one for one in utterances}
    reasons: defaultdict[str, list[Utterance]] = defaultdict(list)
    for key, reason in dropped.items():
        reasons[reason].append(by_key[key])
    ends = [0.0, *config.bands, 1.0]
    bands = [
        {
            "band": number,
            "from": ends[number],
            "to": ends[number + 1],
            **figures([one for one in kept if one.band == number]),
        }
        for number in range(len(ends) - 1)
    ]
    card = {
        "task": task,
        "model": model_path,
        "manifests": list(manifests),
        "never": list(config.never),
        "labels": config.labels,
        "judges": [judge.name for judge in config.judges.recognisers] + list(config.judges.hypotheses),
        "reader": config.probe.reader if task == "tts" else None,
        "seed": config.seed,
        "pool": figures(utterances),
        "kept": figures(kept),
        "dropped": {reason: figures(ones) for reason, ones in sorted(reasons.items())},
        "verdicts": dict(Counter(one.verdict for one in utterances).most_common()),
        "kinds": {
            kind: figures([one for one in kept if kind in one.kinds])
            for kind in sorted({kind for one in kept for kind in one.kinds})
        },
        "bands": bands,
        "subsets": {name: figures(chosen) for name, chosen in subsets.items()},
        "mix": _mix(config, subsets),
        "licences": _licences(pool, subsets),
    }
    return card, _pictures(kept, subsets)


def figures(ones: Sequence[Utterance]) -> dict[str, Any]:
    """Numbers of a set; a rate that does not exist is null."""
    scored = [one for one in ones if one.spread is not None]
    words = sum(one.words for one in ones if one.words is not None)
    errors = sum(one.errors for one in ones if one.errors is not None)
    return {
        "utterances": len(ones),
        "minutes": round(sum(one.duration_s for one in ones) / 60, 3),
        "wer": _round(errors / words) if words else None,
        "difficulty": _mean([one.difficulty for one in ones if one.difficulty is not None]),
        "reward_mean": _mean([one.reward_mean for one in ones if one.reward_mean is not None]),
        "spread_share": _mean([float(bool(one.spread)) for one in scored]),
        "hallucination_rate": _mean([float(one.hallucination) for one in ones]),
        "keywords": sum(one.keyword_count for one in ones),
    }


def _not_made_of(rows: Mapping[str, int]) -> list[str]:
    told = [f"{count} of `{source}`" for source, count in rows.items() if count]
    return [f"Nothing was made of rows that are held out: {', '.join(told)}."] if told else []


def write_card(folder: Path, card: Mapping[str, Any], pictures: Mapping[str, str]) -> None:
    """Write `card.md` and the pictures that it shows."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for name, svg in pictures.items():
        write_atomically(folder / "pictures" / name, svg)
    write_atomically(folder / "card.md", markdown(card, list(pictures)))


def markdown(card: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The card for people."""
    pool, kept = card["pool"], card["kept"]
    task: Task = card["task"]
    held_out = f"Held out: {_codes(card['never'])}. " if card["never"] else ""
    parts = [
        "# Data card",
        f"Chosen for `{card['model']}` from {_codes(card['manifests'])} with seed {card['seed']}. "
        f"{_who_heard(card)} {held_out}"
        "The rules are in `selection.yaml`, every utterance with all that is known of it in `utterances.jsonl`.",
        *([] if card["never"] else ["**Nothing was held out.** Name the test sets with `--never`."]),
        *_not_made_of(card.get("held_out_rows", {})),
        f"{pool['utterances']} utterances ({pool['minutes']:.1f} min) were {_DONE[task]}, {kept['utterances']} "
        f"({kept['minutes']:.1f} min) are kept to choose from. {_signal(kept)}",
        "## Subsets",
        _table({POOL: pool, "kept": kept, **card["subsets"]}, "set", task),
    ]
    if card["mix"]:
        rows = [
            f"| {name} | {_percent(row['wished'])} | {_percent(row['has'])} | {row['utterances']} |"
            for name, row in card["mix"].items()
        ]
        parts += [
            "## The mix",
            "`has` counts everything in the mix that is also in the subset, so it may exceed what was wished.",
            "\n".join(["| subset | wished | has | utterances |", "|---|---|---|---|", *rows]),
        ]
    parts += ["## Dropped", _table(card["dropped"], "reason", task) if card["dropped"] else "Nothing."]
    if task == "asr":
        verdicts = [f"| {name} | {count} |" for name, count in card["verdicts"].items()]
        parts += [
            "## Verdicts of the judges",
            "\n".join(["| verdict | utterances |", "|---|---|", *verdicts]),
        ]
    if card["kinds"]:
        parts += ["## Texts that are hard to speak", _table(card["kinds"], "kind", task)]
    bands = {f"{row['band']}: {row['from']:.0%} to {row['to']:.0%}": row for row in card["bands"]}
    parts += ["## Difficulty", _table(bands, "band", task)]
    parts += ["## Distributions", *(f"![{name.partition('.')[0]}](pictures/{name})" for name in pictures)]
    parts += ["## Licences", _licence_table(card["licences"])]
    return "\n\n".join(parts) + "\n"


_WRONG = {"asr": "hallucinations", "tts": "loops"}
_DONE = {"asr": "listened to", "tts": "spoken"}


def _who_heard(card: Mapping[str, Any]) -> str:
    if card["task"] == "tts":
        return f"What was spoken is read by `{card['reader']}`."
    judges = ", ".join(card["judges"]) or "none"
    references = "the manifest" if card["labels"] == "given" else "what the judges agree on"
    return f"References: {references}. Judges: {judges}."


def _signal(kept: Mapping[str, Any]) -> str:
    if kept["spread_share"] is None:
        return "No samples were scored."
    return (
        f"Of the kept ones, {kept['spread_share']:.0%} have samples that earn different rewards: "
        "only from those can a group learn."
    )


def _table(rows: Mapping[str, Mapping[str, Any]], head: str, task: Task) -> str:
    measured = (ERRORS[task], "difficulty", "reward", "with spread", _WRONG[task])
    lines = [
        f"| {' | '.join((head, 'utterances', 'minutes', *measured, 'keywords'))} |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        reward = "–" if row["reward_mean"] is None else f"{row['reward_mean']:+.3f}"
        lines.append(
            f"| {name} | {row['utterances']} | {row['minutes']:.1f} | {_percent(row['wer'])} | "
            f"{_percent(row['difficulty'])} | {reward} | {_percent(row['spread_share'])} | "
            f"{_percent(row['hallucination_rate'])} | {row['keywords']} |"
        )
    return "\n".join(lines)


def _licence_table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| licence | said by | pool | in subsets | minutes in subsets |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['licence']} | {row['said_by']} | {row['pool']} | {row['chosen']} | {row['minutes']:.1f} |"
        for row in rows
    ]
    if any(row["licence"] == "unknown" for row in rows):
        lines.append(
            "\nWhere the licence is unknown, find out before you pass the data, or a model made from it, on."
        )
    return "\n".join(lines)


def _mix(config: SelectionConfig, subsets: Mapping[str, Sequence[Utterance]]) -> dict[str, Any]:
    """What each share was to be, and how much of the mix its subset has."""
    if config.mix is None:
        return {}
    mixed = subsets["mixed"]
    found = {}
    for name, share in config.mix.shares.items():
        keys = {one.key for one in subsets[name]}
        count = sum(one.key in keys for one in mixed)
        found[name] = {
            "wished": share,
            "has": _round(count / len(mixed)) if mixed else None,
            "utterances": count,
        }
    return found


def _licences(pool: Sequence[Item], subsets: Mapping[str, Sequence[Utterance]]) -> list[dict[str, Any]]:
    chosen = {one.key: one for ones in subsets.values() for one in ones}
    groups: defaultdict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in pool:
        groups[item.licence.name, item.licence.said_by].append(item)
    return [
        {
            "licence": name,
            "said_by": said_by,
            "pool": len(items),
            "chosen": sum(item.key in chosen for item in items),
            "minutes": round(sum(chosen[i.key].duration_s for i in items if i.key in chosen) / 60, 3),
        }
        for (name, said_by), items in sorted(groups.items())
    ]


def _pictures(kept: Sequence[Utterance], subsets: Mapping[str, Sequence[Utterance]]) -> dict[str, str]:
    """One picture a measure: all that is kept, beside the mix or the first subset."""
    name = "mixed" if "mixed" in subsets else next(iter(subsets))
    found = {}
    for measure, title, axis, percent, high in PICTURES:
        values = {
            label: [float(value) for one in ones if (value := getattr(one, measure)) is not None]
            for label, ones in (("kept", kept), (name, subsets[name]))
        }
        svg = histogram(Distribution(title, axis, values, percent, high))
        if svg is not None:
            found[f"{measure}.svg"] = svg
    return found


def _codes(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _mean(values: Sequence[float]) -> float | None:
    return _round(fmean(values)) if values else None


def _round(value: float) -> float:
    return round(value, 6)
