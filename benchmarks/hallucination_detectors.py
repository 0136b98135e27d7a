"""Detectors of hallucination against each other, on a labelled set: precision, recall, F1, and what they cost.

    python benchmarks/hallucination_set.py --work DIR        # answers of the starter recogniser, once
    python benchmarks/hallucination_detectors.py --work DIR

writes `benchmarks/results/hallucination_detectors.json`. Two labelled sets, of the train and the dev split:

- natural: what the recogniser writes of prompts, of long items, of noisy ones and of silence, greedy and sampled.
  Labels come from an alignment with the reference (`evaluate.hallucinations.label_words`).
- made: thirty references in which a run of another item's words is put in, a phrase is looped, or the text of another
  whole item is added as if its audio had been cut away; labels by construction. Also references as they are, and items
  said three times with a text to match, of which nothing is made up.

Each detector's settings are those of the best F1 (hypotheses, natural and made together) on dev; the figures are on
train, which the recogniser never met either. A hypothesis counts as found when any of its words is. Intervals: 95 %,
resampling recordings.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import time
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from result_file import write_result
from transformers import PreTrainedTokenizerFast

from speechrl.config.load import resolve_path
from speechrl.evaluate.hallucinations import Labelled, grade, insert_loop, insert_run, label_words
from speechrl.rewards import asr_support
from speechrl.rewards.asr_detectors import (
    COMPRESSION_LIMIT,
    compression_ratio,
    inserted_words,
    long_runs,
    looping_words,
    unsupported_words,
    words_a_second,
)
from speechrl.rewards.asr_hallucination import find_hallucinations
from speechrl.text.made_up import made_up_words, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[1]
TOKENIZER = "package:starter/asr/tokenizer"
SEED = 5
BASE_WORDS = 4
BASES = 30
REPEATED = 3
Flags = tuple[bool, ...]


@cache
def read_json(file: Path) -> dict[str, Any]:
    """What hallucination_set.py noted of a set by item; nothing where it did not."""
    return json.loads(file.read_text()) if file.exists() else {}


@dataclass(frozen=True)
class Sound:
    """What was heard of a recording that is played some times over: CTC log-probabilities, and notes in files."""

    id: str
    logprobs_TV: np.ndarray
    speech_file: Path
    second_file: Path
    times: int = 1

    @property
    def speech_s(self) -> float | None:
        """Seconds of speech, where measured."""
        seconds = read_json(self.speech_file).get(self.id)
        return None if seconds is None else seconds * self.times

    @property
    def second(self) -> str | None:
        """A second recogniser's text, where it was asked."""
        text = read_json(self.second_file).get(self.id)
        return None if text is None else " ".join([text] * self.times)


@dataclass(frozen=True)
class Case:
    """A labelled hypothesis with its sound."""

    item: Labelled
    sound: Sound


@dataclass(frozen=True)
class Detector:
    """`judge(case, **settings)`: flags a word, or one for the whole; each combination of `grid` is tried on dev."""

    needs: str
    judge: Callable[..., Flags]
    grid: dict[str, list[float]]
    cost: str = ""
    by_word: bool = True
    wants: str = ""


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """That of the CTC head."""
    return PreTrainedTokenizerFast.from_pretrained(resolve_path(TOKENIZER), local_files_only=True)


@cache
def spell(word: str) -> tuple[int, ...]:
    """CTC symbols of a word; none if its alphabet lacks a letter."""
    return tuple(asr_support.spell(tokenizer(), word))


def ctc_text(logprobs_TV: np.ndarray) -> str:
    """What the CTC head writes by itself, greedily."""
    return asr_support.transcript(tokenizer(), logprobs_TV)


def either(*flags: Flags) -> Flags:
    """Flagged by any."""
    return tuple(any(column) for column in zip(*flags, strict=True))


def rules(case: Case, **options: Any) -> Flags:
    """The reward `hallucination` with some options."""
    return (bool(find_hallucinations(case.item.reference, case.item.hypothesis, **options)),)


def unlike(truth: str, case: Case, run: float) -> Flags:
    """Runs of words that are like none of the truth; every word where it has none."""
    return made_up_words(truth, case.item.hypothesis, int(run) if words_of(truth) else 1)


def supported(case: Case, price: float, run: float) -> Flags:
    """Words that the sound does not hold."""
    key = (id(case), price)
    if key not in _seen:
        _seen[key] = unsupported_words(case.item.hypothesis, case.sound.logprobs_TV, spell, price, 1)
    return _seen[key] if not ctc_text(case.sound.logprobs_TV) else long_runs(_seen[key], int(run))


_seen: dict[tuple[int, float], Flags] = {}


RUNS = {"run": [1, 2, 3, 4]}
DETECTORS: dict[str, Detector] = {
    "repeated n-grams": Detector("text", lambda c: looping_words(c.item.hypothesis), {}),
    "compression ratio": Detector(
        "text",
        lambda c, limit: (compression_ratio(c.item.hypothesis) > limit,),
        {"limit": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.8, 2.0, COMPRESSION_LIMIT]},
        by_word=False,
    ),
    "compression ratio, Whisper's limit": Detector(
        "text", lambda c: (compression_ratio(c.item.hypothesis) > COMPRESSION_LIMIT,), {}, by_word=False
    ),
    "repeated n-grams beyond the reference": Detector(
        "reference", lambda c: looping_words(c.item.hypothesis, c.item.reference), {}
    ),
    "insertion runs (exact words)": Detector(
        "reference",
        lambda c, run: inserted_words(c.item.reference, c.item.hypothesis, int(run)),
        {"run": [2, 3, 4]},
    ),
    "reward `hallucination` (`insertions: excess`, `min_run: 4`)": Detector(
        "reference", rules, {}, by_word=False
    ),
    "runs unlike the reference (defines the natural labels)": Detector(
        "reference",
        lambda c, run: unlike(c.item.reference, c, run),
        {"run": [2, 3, 4]},
    ),
    "words a second of speech": Detector(
        "sound",
        lambda c, limit: (words_a_second(c.item.hypothesis, c.sound.speech_s) > limit,),
        {"limit": [2, 2.5, 3, 3.5, 4, 4.5, 5, 6]},
        cost="speech",
        by_word=False,
        wants="speech_s",
    ),
    "CTC support": Detector("sound", supported, {"price": [0.5, 1, 2, 3, 4, 6, 8], **RUNS}, cost="support"),
    "unlike the CTC's own text": Detector(
        "sound",
        lambda c, run: unlike(ctc_text(c.sound.logprobs_TV), c, run),
        RUNS,
        cost="support",
    ),
    "unlike a second recogniser": Detector(
        "sound",
        lambda c, run: unlike(c.sound.second, c, run),
        RUNS,
        cost="moonshine-tiny",
        wants="second",
    ),
    "n-grams or insertion runs, or CTC support": Detector(
        "reference and sound",
        lambda c, price, run, excess: either(
            looping_words(c.item.hypothesis, c.item.reference),
            inserted_words(c.item.reference, c.item.hypothesis, int(excess)),
            supported(c, price, run),
        ),
        {"price": [1, 2, 3, 4, 6, 8], "run": [2, 3, 4], "excess": [3, 4]},
        cost="support",
    ),
}


def load(
    work: Path, split: str, kinds: Sequence[str], judge: str
) -> dict[str, list[tuple[dict[str, Any], Sound]]]:
    """Rows and sounds by set; `dev-long` and the like."""
    found = {}
    for name in (f"{split}-{kind}" for kind in kinds):
        rows = [json.loads(line) for line in (work / f"{name}.jsonl").read_text().splitlines()]
        notes = work / f"{name}.speech.json", work / f"{name}.{judge}.json"
        heard = np.load(work / f"{name}.npz")
        found[name] = [(row, Sound(row["id"], heard[row["id"]].astype(np.float32), *notes)) for row in rows]
    return found


def natural(sets: dict[str, list[tuple[dict[str, Any], Sound]]]) -> list[Case]:
    """What the recogniser wrote."""
    cases = []
    for name, rows in sets.items():
        for row, sound in rows:
            for how in ("greedy", "sampled"):
                if how in row:
                    labels = label_words(row["reference"], row[how])
                    kind = f"{name.partition('-')[2]}, {how}"
                    item = Labelled(row["id"], row["id"], kind, row["reference"], row[how], labels)
                    cases.append(Case(item, sound))
    return cases


def made(sets: dict[str, list[tuple[dict[str, Any], Sound]]], seed: int) -> list[Case]:
    """References with something put in, references as they are, and items said three times."""
    rng = random.Random(seed)
    rows = [pair for name in sets for pair in sets[name] if len(words_of(pair[0]["reference"])) >= BASE_WORDS]
    cases = []
    for row, sound in rng.sample(rows, min(BASES, len(rows))):
        reference, words = row["reference"], words_of(row["reference"])
        other = words_of(rng.choice([each["reference"] for each, _ in rows if each is not row]))
        start = rng.randrange(max(len(other) - 3, 1))
        run = other[start : start + rng.randint(3, 8)]
        at, size = rng.randrange(len(words)), rng.randint(1, 3)
        texts = {
            "as it is": (" ".join(words), (False,) * len(words)),
            "run put in": insert_run(reference, run, rng.randint(0, len(words))),
            "looped": insert_loop(reference, min(at, len(words) - size), size, rng.randint(3, 6)),
            "audio cut": insert_run(reference, other, rng.choice([0, len(words)])),
        }
        for kind, (text, labels) in texts.items():
            cases.append(Case(Labelled(row["id"], row["id"], kind, reference, text, labels), sound))
        thrice = replace(sound, logprobs_TV=np.concatenate([sound.logprobs_TV] * REPEATED), times=REPEATED)
        text = " ".join(words * REPEATED)
        labels = (False,) * len(words) * REPEATED
        cases.append(Case(Labelled(row["id"], row["id"], "said three times", text, text, labels), thrice))
    return cases


def usable(detector: Detector, cases: list[Case]) -> list[Case]:
    """The cases of which the detector knows what it wants to know."""
    return [case for case in cases if not detector.wants or getattr(case.sound, detector.wants) is not None]


def f1(detector: Detector, cases: list[Case], settings: dict[str, float]) -> float:
    """F1 over hypotheses."""
    right = flagged = wanted = 0
    for case in cases:
        found = any(detector.judge(case, **settings))
        right += found and case.item.hallucinated
        flagged += found
        wanted += case.item.hallucinated
    return 2 * right / max(flagged + wanted, 1)


def figures(detector: Detector, cases: list[Case], settings: dict[str, float]) -> dict[str, Any]:
    """Grades over hypotheses and words, and the CPU time of judging."""
    began = time.process_time()
    found = [detector.judge(case, **settings) for case in cases]
    seconds = time.process_time() - began
    clusters = [case.item.cluster for case in cases]
    whole = grade([(any(flags),) for flags in found], [(case.item.hallucinated,) for case in cases], clusters)
    content: dict[str, Any] = {"hypotheses": asdict(whole), "judging_seconds": round(seconds, 3)}
    if detector.by_word:
        content["words"] = asdict(grade(found, [case.item.labels for case in cases], clusters))
    kinds = sorted({case.item.kind for case in cases})
    content["found_by_kind"] = {
        kind: {
            "hypotheses": len(members := [i for i, case in enumerate(cases) if case.item.kind == kind]),
            "hallucinated": sum(cases[i].item.hallucinated for i in members),
            "found": sum(any(found[i]) and cases[i].item.hallucinated for i in members),
            "false_alarms": sum(any(found[i]) and not cases[i].item.hallucinated for i in members),
        }
        for kind in kinds
    }
    return content


def main() -> None:
    """Tune on dev, measure on train."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of hallucination_set.py")
    parser.add_argument("--sets", nargs="+", default=["human", "long", "noise", "silence"])
    parser.add_argument("--judge", default="moonshine-tiny")
    parser.add_argument("--seed", type=int, default=SEED, help="of the made hypotheses")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/hallucination_detectors.json")
    arguments = parser.parse_args()
    dev, train = (load(arguments.work, split, arguments.sets, arguments.judge) for split in ("dev", "train"))
    tuning = natural(dev) + made(dev, arguments.seed)
    held_out = {"natural": natural(train), "made": made(train, arguments.seed + 1)}
    rows: list[dict[str, Any]] = []
    for name, detector in DETECTORS.items():
        cases = usable(detector, tuning)
        choices = [
            dict(zip(detector.grid, values, strict=True))
            for values in itertools.product(*detector.grid.values())
        ]
        if not cases:
            continue
        best = max(choices, key=lambda settings: f1(detector, cases, settings))
        row: dict[str, Any] = {
            "detector": name,
            "needs": detector.needs,
            "settings": best,
            "dev_f1": f1(detector, cases, best),
        }
        for kind, members in held_out.items():
            own = usable(detector, members)
            row[kind] = (
                figures(detector, own, best) | {"judged": len(own), "of": len(members)} if own else None
            )
        rows.append(row)
        print(summary(row), flush=True)

    costs = read_json(arguments.work / "cost.json")
    for row in rows:
        ear = DETECTORS[row["detector"]].cost
        row["listening_seconds_an_hour"] = costs.get(ear) if ear else 0.0
    write_result(
        arguments.out,
        seeds=[arguments.seed],
        sets={name: len(found) for name, found in (dev | train).items()},
        rows=rows,
    )


def summary(row: dict[str, Any]) -> str:
    """A line to read while it runs."""
    parts = [f"{row['detector']} {row['settings']} dev {row['dev_f1']:.2f}"]
    for kind in ("natural", "made"):
        if row[kind]:
            grades = row[kind]["hypotheses"]
            shown = (
                f"{grades[name]['value']:.2f}" if grades[name] else "-"
                for name in ("precision", "recall", "f1")
            )
            parts.append(f"{kind} {' / '.join(shown)} of {row[kind]['judged']}")
    return " | ".join(parts)


if __name__ == "__main__":
    main()
