"""`speechrl evaluate`: a saved model on held-out sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from speechrl.cli.comparison import print_sets
from speechrl.cli.output import hush_libraries, print_json
from speechrl.errors import ConfigError
from speechrl.report.writers import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def evaluate_command(
    model: Annotated[
        str, typer.Argument(help="Folder of a saved model; package:starter/asr is one that ships")
    ],
    sets: Annotated[
        list[str], typer.Option("--set", metavar="NAME=MANIFEST", help="A held-out set; may be given again")
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json and a row per utterance", show_default=False),
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="Beam width; 1 is greedy")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances decoded at once")] = 32,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Token limit of a hypothesis")] = 128,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch")] = None,
    json: Annotated[bool, typer.Option("--json", help='Print {SET: {"wer", ...}}.')] = False,
) -> None:
    """Measure error rates with intervals, hallucination, loops and keywords, on a GPU if there is one."""
    import torch

    from speechrl.config.schema import EvaluationConfig
    from speechrl.evaluate.asr import evaluate_model
    from speechrl.evaluate.results import assemble
    from speechrl.evaluate.sets import load_sets
    from speechrl.models.load import load_model

    hush_libraries()
    if threads:
        torch.set_num_threads(threads)
    config = EvaluationConfig(
        sets=_named(sets),
        batch_size=batch_size,
        beam=beam,
        max_new_tokens=max_new_tokens,
    )
    prompts = load_sets(config.sets)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    evaluation = evaluate_model(load_model(model), prompts, config, device)
    found = assemble(None, evaluation, config.bootstrap)
    if output is not None:
        evaluation.write(output)
        write_json(output / "evaluation.json", found)
    if json:
        print_json(found["after"])
    else:
        print_sets(found["after"])


def _named(items: Sequence[str]) -> dict[str, str]:
    sets: dict[str, str] = {}
    for item in items:
        name, equals, manifest = item.partition("=")
        if not equals or not name or not manifest:
            raise ConfigError(
                f"--set {item}: expected NAME=MANIFEST, as in --set test=data/asterisk_en/test.jsonl"
            )
        if sets.setdefault(name, manifest) != manifest:
            raise ConfigError(f"--set {item}: {name} is already {sets[name]}; give each set its own name")
    return sets
