"""`speechrl evaluate`: a saved model on held-out sets."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

from speechrl.cli.comparison import print_sets
from speechrl.cli.output import hush_libraries, print_json
from speechrl.errors import ConfigError
from speechrl.report.writers import write_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.evaluate.tts import Keep
    from speechrl.evaluate.tts_results import SpokenRow
    from speechrl.types import Output


def evaluate_command(
    model: Annotated[
        str, typer.Argument(help="Folder of a saved model; package:starter/asr and package:starter/tts ship")
    ],
    manifests: Annotated[
        list[str] | None, typer.Argument(help="Held-out sets, named after their files", show_default=False)
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=MANIFEST", help="A held-out set by name; may be given again"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Folder for evaluation.json, a row per utterance, and what was spoken", show_default=False
        ),
    ] = None,
    beam: Annotated[int, typer.Option(min=1, help="ASR: beam width; 1 is greedy")] = 1,
    temperature: Annotated[float, typer.Option(min=0, help="TTS: sampling temperature; 0 is greedy")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="TTS: sample among so many tokens; 0 is all")] = 25,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", min=0, help="TTS: sampling seed; given again, each sentence is spoken again"),
    ] = None,
    judges: Annotated[
        list[str] | None, typer.Option("--judge", help="TTS: a recogniser that listens; may be given again")
    ] = None,
    vocoder: Annotated[
        Literal["fast", "hifigan"], typer.Option(help="TTS: what makes the sound")
    ] = "hifigan",
    dnsmos: Annotated[bool, typer.Option("--dnsmos", help="TTS: also measure DNSMOS, which is slow")] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option(
            min=0.1, help="TTS: seconds a judge may take for a batch; by default 600", show_default=False
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Utterances decoded at once")] = 32,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Token limit; by default 128 for ASR, 600 for TTS", show_default=False),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch")] = None,
    json: Annotated[bool, typer.Option("--json", help='Print {SET: {"wer" or "judge_wer", ...}}.')] = False,
) -> None:
    """Measure a model on held-out sets, with intervals, on a GPU if there is one.

    A recogniser: error rates, hallucination, loops and keywords. A synthesiser: word error rate by judges, similarity
    to the reference voice, DistillMOS, tokens per character, missing stops and spread of log F0.
    """
    import torch

    from speechrl.config.schema import SPEECH_TOKENS, EvaluationConfig, Measure
    from speechrl.data.fit import refuse_unfit, unfit_prompts
    from speechrl.evaluate.dispatch import evaluate_model
    from speechrl.evaluate.ears import load_ears
    from speechrl.evaluate.results import Evaluation, assemble
    from speechrl.evaluate.sets import load_sets
    from speechrl.models.load import load_model

    hush_libraries()
    if threads:
        torch.set_num_threads(threads)
    named = _named([*(f"{_set_name(manifest)}={manifest}" for manifest in manifests or ()), *(sets or ())])
    loaded = load_model(model)
    prompts = load_sets(named, loaded.task)
    refuse_unfit(unfit_prompts(loaded, prompts, named), model)
    options: dict[str, object] = {
        "sets": named,
        "batch_size": batch_size,
        "beam": beam,
        "max_new_tokens": max_new_tokens or (SPEECH_TOKENS["evaluation"] if loaded.task == "tts" else None),
        "temperature": temperature,
        "top_k": top_k,
        "vocoder": vocoder,
        "seeds": seeds,
        "judges": judges,
        "timeout_s": timeout_s,
        "measures": list(get_args(Measure)) if dnsmos else None,
    }
    config = EvaluationConfig.model_validate(
        {key: value for key, value in options.items() if value is not None}
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    keep = None if output is None else _keeper(output)
    if output is not None:  # its numbers would be those of what was evaluated there before
        (output / "evaluation.json").unlink(missing_ok=True)
    evaluation = Evaluation({}, {})
    with ExitStack() as stack:
        ears = None
        if loaded.task == "tts":
            ears = stack.enter_context(
                load_ears(
                    config.judges,
                    measures=config.measures,
                    window=config.window,
                    timeout_s=config.timeout_s,
                    too_slow="raise --timeout-s, or lower --batch-size",
                )
            )
        for name, some in prompts.items():
            one = evaluate_model(loaded, {name: some}, config, device, ears=ears, keep=keep)
            evaluation = Evaluation({**evaluation.sets, **one.sets}, {**evaluation.seconds, **one.seconds})
            if output is not None:  # set by set: whatever stops the next, this one is measured
                evaluation.write(output)
    found = assemble(None, evaluation, config.bootstrap)
    if output is not None:
        write_json(output / "evaluation.json", found)
    if json:
        print_json(found["after"])
    else:
        print_sets(found["after"])


def _keeper(output: Path) -> Keep:
    """Writes what was spoken to `audio/SET/`, a file for every sentence and seed."""
    from speechrl.report.sounds import audio_name, keep_audio

    def keep(name: str, row: SpokenRow, spoken: Output) -> None:
        path = audio_name(f"{row.id}/{row.seed}", folder=f"audio/{name}")
        (output / path).unlink(missing_ok=True)  # of another model that was evaluated into this folder
        keep_audio(output, path, spoken.waveform, spoken.sample_rate_hz)

    return keep


def _set_name(manifest: str) -> str:
    """`test` of `data/tts_en/test.jsonl`, `test-long` of `data/asterisk_en/test.jsonl#long`."""
    path, _, ending = manifest.partition("#")
    return re.sub(r"[^\w.+-]", "-", f"{Path(path).name.partition('.')[0]}{'-' if ending else ''}{ending}")


def _named(items: Sequence[str]) -> dict[str, str]:
    sets: dict[str, str] = {}
    if not items:
        raise ConfigError("evaluate: name a held-out set, as in `speechrl evaluate MODEL data/test.jsonl`")
    for item in items:
        name, equals, manifest = item.partition("=")
        if not equals or not name or not manifest:
            raise ConfigError(
                f"--set {item}: expected NAME=MANIFEST, as in --set test=data/asterisk_en/test.jsonl"
            )
        if sets.setdefault(name, manifest) != manifest:
            raise ConfigError(f"--set {item}: {name} is already {sets[name]}; give each set its own name")
    return sets
