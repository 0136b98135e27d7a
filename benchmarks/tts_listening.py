"""What the TTS benchmarks share: how a model is listened to, and how two are compared.

Sentences of `data/tts_en` are spoken once per sampling seed at temperature 1, as in training, so that what runs away is
heard too. Two recognisers that no reward listened with judge the sound, and `token2text_judge`, which learned from
other sentences than the reward model and has another architecture, the tokens. DistillMOS, which takes as long as both
judges, hears the first hundred of the test sentences with their first sampling seed: it hardly varies.

    python benchmarks/tts_listening.py runs/some/model runs/some/heard

writes a JSONL of rows per set, once, and prints the rates.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechrl.config.schema import EvaluationConfig
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.evaluate.bootstrap import paired, paired_difference
from speechrl.evaluate.ears import load_ears
from speechrl.evaluate.results import Evaluation, read_evaluation
from speechrl.evaluate.tts import evaluate_model
from speechrl.evaluate.tts_results import SpokenRow, SpokenSet
from speechrl.models.load import load_model
from speechrl.models.tts.token2text import load_token2text
from speechrl.text.alignment import align_texts

JUDGES = ("whisper-tiny.en", "moonshine-tiny")
PLAN: Mapping[str, Sequence[int]] = {"test": (1, 2), "hard": (1,)}
"""Sampling seeds of each set."""
SENTENCES = 400
INDEPENDENT_TOKEN2TEXT = "package:starter/token2text_judge"
QUALITY_SENTENCES = 100
RESAMPLES = 5000
MEASURES = ("similarity", "quality", "log_f0_std", "no_stop", "tokens")
RUNAWAY = 2.0
"""A rendering runs away from this many times the usual length on: of its sentence, over all systems of a table."""
RUNS_AWAY = "runs_away"
IN_TIME = {f"{judge}, in time": judge for judge in JUDGES}
"""Word errors in the renderings that do not run away, by name -> judge."""
Count = Callable[[Sequence[SpokenRow]], list[tuple[float, float]]]
"""What is summed above and below the line of a rate, for each row."""


def listen(
    model: str, out: Path, *, seeds: Mapping[str, Sequence[int]] = PLAN, sentences: int = SENTENCES
) -> dict[str, SpokenSet]:
    """Speak and judge once; the rows are kept in `out`, and read from there the next time.

    Args:
        model: Folder or `package:` path of a synthesiser.
        out: Folder for a JSONL of rows per set.
        seeds: Of sampling, by name of a set of `data/tts_en`. DistillMOS hears the beginning of the first set, with its
            first seed.
        sentences: The first so many of each set.
    """
    found = read_evaluation(out)
    if found is None:
        synthesiser = load_model(model)
        config = EvaluationConfig(
            temperature=1.0, top_k=0, judges=list(JUDGES), vocoder="fast", max_new_tokens=400
        )
        rounds = [(name, seed) for name, several in seeds.items() for seed in several]
        rows: dict[str, list[SpokenRow]] = {name: [] for name in seeds}
        seconds = dict.fromkeys(seeds, 0.0)
        with load_ears(config.judges, measures=config.measures, window="short", precision="bf16") as ears:
            quick = replace(ears, scorers={k: v for k, v in ears.scorers.items() if k != "quality"})
            for number, (name, seed) in enumerate(rounds):
                prompts = [
                    to_prompt(cut) for cut in read_set(f"package:data/tts_en/{name}.jsonl")[:sentences]
                ]
                rated = 0 if number else QUALITY_SENTENCES
                for start, part, who in ((0, prompts[:rated], ears), (rated, prompts[rated:], quick)):
                    # Draws depend on a sentence's place in its part, so parts need seeds of their own.
                    settings = config.model_copy(update={"seeds": [seed + start]})
                    heard = evaluate_model(
                        synthesiser, {name: part}, settings, torch.device("cpu"), "bf16", ears=who
                    )
                    rows[name] += heard.sets[name].rows
                    seconds[name] += heard.seconds[name]
        found = Evaluation({name: SpokenSet(tuple(spoken)) for name, spoken in rows.items()}, seconds)
        found.write(out)
    return {name: result for name, result in found.sets.items() if isinstance(result, SpokenSet)}


def listen_side_by_side(
    models: Iterable[tuple[str, Path]],
    workers: int,
    *,
    seeds: Mapping[str, Sequence[int]] = PLAN,
    sentences: int = SENTENCES,
) -> None:
    """`listen` to several models at once, each in a process of one thread (and its judges')."""
    plan = ["--plan", json.dumps(dict(seeds)), "--sentences", str(sentences)]

    def one(pair: tuple[str, Path]) -> None:
        command = [sys.executable, __file__, pair[0], str(pair[1]), *plan]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, [(model, out) for model, out in models if read_evaluation(out) is None]))


class TokenJudge:
    """Wrong letters that the independent Token2Text finds in the tokens of a row."""

    def __init__(self, model: str = INDEPENDENT_TOKEN2TEXT) -> None:
        self._model = load_token2text(model)

    def __call__(self, rows: Sequence[SpokenRow]) -> list[tuple[float, float]]:
        """Errors and letters of each row."""
        heard = self._model.transcribe([row.token_ids for row in rows])
        aligned = [
            align_texts(row.text, text, row.language, "letter") for row, text in zip(rows, heard, strict=True)
        ]
        return [(one.errors, one.words) for one in aligned]


def word_errors(judge: str) -> Count:
    """Word errors and words of each row, by a recogniser; 0 of 0 where it failed."""

    def count(rows: Sequence[SpokenRow]) -> list[tuple[float, float]]:
        heard = [row.judges[judge] for row in rows]
        return [(0.0, 0.0) if one is None else (float(one.errors), float(one.words)) for one in heard]

    return count


def value(name: str) -> Count:
    """A measure of each row; 0 of 0 where it could not be measured."""

    def read(rows: Sequence[SpokenRow]) -> list[tuple[float, float]]:
        return [(float(v), 1.0) if (v := getattr(row, name)) is not None else (0.0, 0.0) for row in rows]

    return read


def by_sentence(parts: Sequence[Sequence[tuple[float, float]]], ids: Sequence[str]) -> np.ndarray:
    """Sums above and below the line of each sentence over sampling seeds and training seeds, shape (sentences, 2)."""
    names = list(dict.fromkeys(ids))
    row = {name: place for place, name in enumerate(names)}
    sums = np.zeros((len(names), 2))
    for run in parts:
        for name, (above, below) in zip(ids, run, strict=True):
            sums[row[name]] += (above, below)
    return sums / len(parts)


def compare(before: np.ndarray, after: np.ndarray, *, rate: bool) -> dict[str, Any]:
    """Paired bootstrap over sentences of two systems, each given as `by_sentence`.

    A sentence that was not measured for one of them is left out. Where less of it was measured for one, its rate counts
    with the weight that it has in `after`.

    Args:
        before: The system that `after` is compared with.
        after: The other.
        rate: True compares rates by their ratio, False means by their difference.
    """
    known = (before[:, 1] > 0) & (after[:, 1] > 0)
    second, below = after[known, 0], after[known, 1]
    first = before[known, 0] * below / before[known, 1]
    if rate:
        moved = paired(first, second, below, resamples=RESAMPLES, seed=1)
        assert moved is not None
        return {"relative_change": moved.relative_change, "low": moved.low, "high": moved.high, "p": moved.p}
    shifted = paired_difference(first, second, below, resamples=RESAMPLES, seed=1)
    assert shifted is not None
    return {"difference": shifted.difference, "low": shifted.low, "high": shifted.high, "p": shifted.p}


class Table:
    """Rows of one comparison: what was heard of every system, training seeds together."""

    def __init__(self, systems: dict[str, list[dict[str, Any]]]) -> None:
        self._systems = systems
        self._counters: dict[str, Count] = {judge: word_errors(judge) for judge in JUDGES}
        self._counters |= {"token_cer": TokenJudge(), **{name: value(name) for name in MEASURES}}
        self._counters[RUNS_AWAY] = lambda rows: [(float(self._runs_away(row)), 1.0) for row in rows]
        self._counters |= {name: self._in_time(judge) for name, judge in IN_TIME.items()}
        lengths: dict[str, list[int]] = {}
        for runs in systems.values():
            for heard in runs:
                for spoken in heard.values():
                    for row in spoken.rows:
                        lengths.setdefault(row.id, []).append(row.tokens)
        self._usual = {name: float(np.median(found)) for name, found in lengths.items()}
        self._runs: dict[tuple[str, str, str], list[list[tuple[float, float]]]] = {}

    def _runs_away(self, row: SpokenRow) -> bool:
        return row.tokens >= RUNAWAY * self._usual[row.id]

    def _in_time(self, judge: str) -> Count:
        every = word_errors(judge)

        def count(rows: Sequence[SpokenRow]) -> list[tuple[float, float]]:
            return [
                (0.0, 0.0) if self._runs_away(row) else errors
                for row, errors in zip(rows, every(rows), strict=True)
            ]

        return count

    def runs(self, system: str, part: str, measure: str) -> list[list[tuple[float, float]]]:
        """What a measure counts in each row of a set, by training seed."""
        key = (system, part, measure)
        if key not in self._runs:
            count = self._counters[measure]
            self._runs[key] = [count(heard[part].rows) for heard in self._systems[system]]
        return self._runs[key]

    def counts(self, system: str, part: str, measure: str) -> np.ndarray:
        """`by_sentence` of a measure on a set."""
        ids = [row.id for row in self._systems[system][0][part].rows]
        return by_sentence(self.runs(system, part, measure), ids)

    def row(self, system: str, part: str) -> dict[str, Any]:
        """Numbers of a system on a set, by training seed, and against the base; None where nobody measured."""
        found: dict[str, Any] = {"system": system, "set": part, "training_seeds": len(self._systems[system])}
        for measure in (*JUDGES, "token_cer", *MEASURES, RUNS_AWAY, *IN_TIME):
            runs = self.runs(system, part, measure)
            if not any(below for run in runs for _, below in run):
                found[measure] = None
                continue
            each = [_mean(run) for run in runs]
            found[measure] = {"mean": float(np.mean(each)), "by_training_seed": each}
            if system != "base":
                rate = measure in (*JUDGES, *IN_TIME, "token_cer", "tokens")
                found[measure]["against_base"] = compare(
                    self.counts("base", part, measure), self.counts(system, part, measure), rate=rate
                )
        return found


def main() -> None:
    """Listen to one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="folder or package: path of a synthesiser")
    parser.add_argument("out", type=Path, help="folder for the rows")
    parser.add_argument(
        "--plan", type=json.loads, default=PLAN, help='JSON: {"dev": [1]}, sampling seeds by set'
    )
    parser.add_argument("--sentences", type=int, default=SENTENCES, help="the first so many of each set")
    chosen = parser.parse_args()
    heard = listen(chosen.model, chosen.out, seeds=chosen.plan, sentences=chosen.sentences)
    token_judge = TokenJudge()
    for name, spoken in heard.items():
        counts = {judge: word_errors(judge) for judge in JUDGES} | {"token CER": token_judge}
        rates = {key: f"{_mean(count(spoken.rows)):.1%}" for key, count in counts.items()}
        others = {measure: round(_mean(value(measure)(spoken.rows)), 3) for measure in ("no_stop", "tokens")}
        print(name, rates, others)


def _mean(pairs: Sequence[tuple[float, float]]) -> float:
    above, below = np.array(pairs).sum(0)
    return float(above / below)


if __name__ == "__main__":
    main()
