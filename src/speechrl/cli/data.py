"""`speechrl data`: from other people's manifests to rows that a run can trust and learn from, and new data from old."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from speechrl.cli.output import count, hush_libraries, print_json, print_plain
from speechrl.cli.progress import progress_bars
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechrl.models.base import SpeechModel

SELECT_CONFIGS = {"asr": "package:configs/data/select.yaml", "tts": "package:configs/data/select_tts.yaml"}

app = typer.Typer(help="Import, check, choose and make data.", no_args_is_help=True)

Language = Annotated[str, typer.Option(help="Language of rows that do not say theirs (ISO 639-1)")]


@app.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="JSONL, NeMo manifest, Kaldi folder or lhotse CutSet")],
    manifest: Annotated[Path, typer.Argument(help="CutSet to write, .jsonl or .jsonl.gz")],
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help='Print {"manifest", "rows"}.')] = False,
) -> None:
    """Turn any manifest that speechrl reads into one lhotse CutSet with absolute audio paths."""
    from speechrl.config.load import resolve_path
    from speechrl.data.manifests import import_manifest

    rows = import_manifest(resolve_path(str(source)), manifest, language)
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
    min_duration: Annotated[float, typer.Option(min=0, help="Seconds of the shortest good row")] = 0.1,
    max_duration: Annotated[float, typer.Option(min=0, help="Seconds of the longest good row")] = 60.0,
    model: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="MODEL",
            help="Also find rows that this model cannot take, e.g. package:starter/tts",
        ),
    ] = None,
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help='Print {"ok", "rows", "good", "bad", ...}.')] = False,
) -> None:
    """Read every row and every sample, and say what would spoil a run; ends with 3 when a row is bad."""
    from speechrl.config.load import resolve_path
    from speechrl.data.checks import Limits, check_manifest
    from speechrl.data.manifests import refuse_sources

    source = resolve_path(str(manifest))
    refuse_sources([source], [good, bad])
    limits = Limits(allow_empty_text, min_duration_s=min_duration, max_duration_s=max_duration)
    report = check_manifest(source, limits, language, _loaded(model) if model else None)
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


@app.command("select")
def select_command(
    model: Annotated[
        str,
        typer.Argument(
            help="Folder of the model to be trained, as package:starter/asr or package:starter/tts"
        ),
    ],
    manifest: Annotated[
        str, typer.Argument(help="The pool: a manifest, or a set derived from one (m.jsonl#long)")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="key=value ..., as in probe.samples=4", show_default=False),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for subsets, card, and what a second call need not repeat")
    ] = ...,  # type: ignore[assignment]
    config: Annotated[
        str | None,
        typer.Option(help=f"YAML file with the rules; by default {', '.join(SELECT_CONFIGS.values())}"),
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="A further manifest of the pool; may be given again")
    ] = None,
    never: Annotated[
        list[str] | None,
        typer.Option(help="A test set: nothing with its id, text or sound is chosen; may be given again"),
    ] = None,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="References are what the judges agree on; rows need no text.")
    ] = False,
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help="Print the content of card.json.")] = False,
) -> None:
    """Choose data that is worth reinforcement learning: try the model on it, ask judges, apply rules, write a card.

    Ctrl-C loses at most a shard of decoding: the same command goes on. With other rules, nothing is decoded again.
    """
    from speechrl.config.load import load_as
    from speechrl.config.selection import SelectionConfig
    from speechrl.models.load import task_of
    from speechrl.selection.run import select
    from speechrl.train.stages import choose_device

    hush_libraries()
    rules = load_as(SelectionConfig, config or SELECT_CONFIGS[task_of(model)], overrides or [])
    changes: dict[str, Any] = {"never": [*rules.never, *(never or [])]}
    if unlabelled:
        changes["labels"] = "judges"
    rules = rules.model_copy(update=changes)
    with progress_bars() as progress:
        selection = select(
            rules,
            model,
            [manifest, *(also or [])],
            out,
            choose_device(rules.probe.device),
            progress,
            language=language,
        )
    if json:
        print_json(selection.card)
        return
    for line in _told(selection.card):
        print_plain(line)
    print_plain(f"card {out / 'card.md'}")


def _told(card: Mapping[str, Any]) -> list[str]:
    """The card in a few lines."""
    from speechrl.selection.card import ERRORS

    dropped = ", ".join(f"{reason} {row['utterances']}" for reason, row in card["dropped"].items())
    spread = card["kept"]["spread_share"]
    lines = [
        f"{card['kept']['utterances']} of {count(card['pool']['utterances'], 'utterance')} kept"
        + (f" (dropped: {dropped})" if dropped else "")
        + ("" if spread is None else f"; {spread:.0%} of them have spread"),
    ]
    for name, row in card["subsets"].items():
        wer = "" if row["wer"] is None else f", {ERRORS[card['task']]} {row['wer']:.1%}"
        lines.append(f"{name}: {count(row['utterances'], 'utterance')}, {row['minutes']:.1f} minutes{wer}")
    empty = [name for name in card["mix"] if not card["subsets"][name]["utterances"]]
    if empty:
        lines.append(
            f"the mix is small: nothing is in {', '.join(empty)}, which it is to have a share of; drop the share "
            "(mix.shares), or give mix.size"
        )
    kept, pool = card["contexts_kept"], card["pool"]["utterances"]
    if kept is not None and kept < pool:
        lines.append(
            f"contexts: there was room for {kept} of {count(pool, 'recording')}; training encodes the others, or "
            "raise probe.keep_contexts_gb"
        )
    if not card["never"]:
        lines.append("nothing was held out; name the test sets with --never")
    return lines


@app.command("augment")
def augment_command(
    manifest: Annotated[str, typer.Argument(help="Any manifest; `package:...` names one that ships")],
    out: Annotated[Path, typer.Option(help="New folder for manifest.jsonl, audio/ and recipe.json")],
    kind: Annotated[
        list[str],
        typer.Option(
            help="long, noise, babble, telephone, speed, pauses, repeated or silence; several times for several"
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn")] = 1,
    language: Language = "en",
    json: Annotated[bool, typer.Option("--json", help="Print what recipe.json holds.")] = False,
) -> None:
    """Make new audio from old: written out to listen to and to train on, each row with how it was made."""
    from speechrl.data.written import MANIFEST, write_derived

    recipe = write_derived(manifest, kind, seed, out, language)
    if json:
        print_json(recipe)
        return
    for name, counts in recipe["by_kind"].items():
        print_plain(f"{name}: {count(counts['rows'], 'row')}, {counts['seconds'] / 60:.1f} minutes")
    print_plain(f"{out / MANIFEST}: {count(recipe['rows'], 'row')}")


@app.command("texts")
def texts_command(
    pool: Annotated[str, typer.Argument(help="One text a line, or JSONL with `text`")],
    out: Annotated[Path, typer.Option(help="JSONL to write")],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="repetition, twister, digits, abbreviations, code_switching, long, or ordinary for none of these; "
            "by default the first five"
        ),
    ] = None,
    each: Annotated[int, typer.Option(min=1, help="Most texts of one kind")] = 100,
    without: Annotated[
        list[str] | None, typer.Option(help="Texts that may not be chosen (test sets); as POOL")
    ] = None,
    voices: Annotated[
        str, typer.Option(help="Manifest of reference voices, e.g. package:data/tts_en/voices.jsonl")
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="MODEL",
            help="Leave out what this synthesiser cannot speak, e.g. package:starter/tts",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of ties")] = 1,
    language: Annotated[str, typer.Option(help="Language of the texts (ISO 639-1)")] = "en",
    json: Annotated[
        bool, typer.Option("--json", help='Print {"texts", "rows", "by_kind", "left_out"}.')
    ] = False,
) -> None:
    """Choose texts by what makes them hard to speak: repetition, tongue twisters, digits ...; or ordinary ones."""
    from collections import Counter

    from speechrl.config.load import resolve_path
    from speechrl.data.manifests import refuse_sources
    from speechrl.data.texts import choose_texts, read_pool, write_texts
    from speechrl.text.hard import RULES

    refuse_sources([resolve_path(name) for name in (pool, *(without or []), voices) if name], [out])
    kinds = kind or [name for name in RULES if name != "long"]
    held_out = [text for path in without or [] for text in read_pool(path)]
    texts = read_pool(pool)
    left_out = 0
    if model:
        from speechrl.data.fit import fit_texts

        spoken = fit_texts(_loaded(model), texts, language)
        left_out, texts = len(texts) - len(spoken), spoken
    chosen = choose_texts(texts, kinds, each, seed, language, held_out)
    if not chosen:
        can = f" and can be spoken by {model}" if model else ""
        raise DataError(f"{pool}: no text is of the kinds {', '.join(kinds)}{can}; give a larger pool")
    write_texts(out, chosen, language, voices)
    by_kind = Counter(item.kind for item in chosen)
    if json:
        print_json({"texts": out, "rows": len(chosen), "by_kind": by_kind, "left_out": left_out})
        return
    if left_out:
        print_plain(f"{count(left_out, 'text')} of the pool left out: {model} cannot speak them")
    for name in kinds:
        print_plain(f"{name}: {count(by_kind[name], 'text')}")
    print_plain(f"{out}: {count(len(chosen), 'text')}")


def _loaded(model: str) -> SpeechModel:
    # Only where a model is named: it takes seconds to import what loads one.
    from speechrl.models.load import load_model

    hush_libraries()
    return load_model(model)
