"""Which data, which reward: the ASR study of arXiv 2509.18569, section 3, with the starter recogniser.

    python benchmarks/asr_study.py

writes `benchmarks/results/asr_study.json`. First `speechrl data select` chooses subsets of one size from one pool: the
human train split as it is, joined to long audio, in noise, with long pauses, said several times, and clips in which
nobody speaks (`asr_study_data.yaml` has the rules). Then every row trains from the same start for as many steps: the
data rows with the rewards R1 (1 - WER) and R2 (hallucination), the reward rows on the mixed set. Every run is one
`speechrl train` whose folder is kept under `--work`, so the study goes on where it was interrupted. The result holds
every run that is finished, also when others failed (they are named at the end, with their logs) or after Ctrl-C.

`mixed, R1+R2+R4` equals `mixed, R1+R2` bit for bit as long as R4, the reward for the right language, never fires; the
starter answers 0.5 % of short prompts in another language.

    python benchmarks/asr_study.py --page

prints the tables of the result. Rules, sets and steps are not to be chosen on test: `--split dev --work ... --out ...`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from asr_study_folder import NOTE, START, claim, finished, folder_of, refuse_another, report, rows_of
from asr_study_table import COLUMNS, compare, line, page
from result_file import write_result
from training_runs import run_all, run_once, train_command

from speechrl.evaluate.sets import load_sets
from speechrl.models.context_store import ContextStore
from speechrl.models.encode_once import MAX_BYTES, EncodeOnce
from speechrl.models.fingerprint import fingerprint
from speechrl.models.load import load_model
from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "asr_study.yaml"
RULES = ROOT / "benchmarks" / "asr_study_data.yaml"
POOL = (
    *("", "#long@11", "#long@12", "#long@13", "#long@14"),
    *("#noise@11", "#pauses@11", "#repeated@11", "#silence@11"),
)
"""What is made of the train split to choose from; no seed of a held-out set."""
_DISTURBED = {name: f"#{name}" for name in ("noise", "telephone", "silence")}
SETS = {
    "test": {"human": "", "long": "#long", **_DISTURBED},
    # Nine long items would be too few: the same recordings are joined several times.
    "dev": {"human": "", **{f"long-{seed}": f"#long@{seed}" for seed in (21, 22, 23, 24)}, **_DISTURBED},
}
"""Held-out sets of a split; those that differ by what follows `-` are one column."""
R1 = {"name": "accuracy"}
# Two inserted words in a row are a finding: runs of four, the default, are rare in short answers.
R2 = {"name": "hallucination", "options": {"min_run": 2}}
R3 = {"name": "keywords", "weight": 0.5}
R4 = {"name": "language"}
# In the place of R2, without the reference: what the CTC head of the frozen starter does not hear. By length: in half a
# minute of speech nearly every sample of the starter has such words, and -1 for all of them would teach nothing.
UNSUPPORTED = {"name": "unsupported", "options": {"penalty": "span"}}


@dataclass(frozen=True)
class Recipe:
    """A row: on which subset, for which rewards, by which algorithm, from samples at which temperature."""

    data: str
    terms: tuple[dict[str, Any], ...]
    algorithm: str = "grpo"
    temperature: float = 1.0


MIXED, SFT, COOL = "mixed, R1+R2", "mixed, SFT continued", 0.7
ROWS = {
    "D0": Recipe("random", (R1, R2)),
    "D1": Recipe("hard", (R1, R2)),
    # Hard for the start, but not hopeless: D1 as it is has more wrong samples than right ones.
    "D1 in reach": Recipe("reachable", (R1, R2)),
    "D2 long": Recipe("long", (R1, R2)),
    "D2 short": Recipe("short", (R1, R2)),
    "D3": Recipe("keywords", (R1, R2)),
    # Speech on which the start is right more often than not.
    "regular": Recipe("regular", (R1, R2)),
    MIXED: Recipe("mixed", (R1, R2)),
    "mixed, R1": Recipe("mixed", (R1,)),
    "mixed, R1+R2+R3": Recipe("mixed", (R1, R2, R3)),
    "mixed, R1+R2+R4": Recipe("mixed", (R1, R2, R4)),
    SFT: Recipe("mixed", (R1,), "sft"),
    "mixed, R1+unsupported": Recipe("mixed", (R1, UNSUPPORTED)),
    # What the reward does where insertions are: on long audio alone. At temperature 1 most words of the starter's
    # samples are wrong there, and a reward against wrong words teaches it to say less (docs/log.md).
    "cool long, R1": Recipe("long", (R1,), temperature=COOL),
    "cool long, R1+R2": Recipe("long", (R1, R2), temperature=COOL),
    "cool long, R1+unsupported": Recipe("long", (R1, UNSUPPORTED), temperature=COOL),
    # The paper's claim about keywords is of data and reward together.
    "D3, R1+R2+R3": Recipe("keywords", (R1, R2, R3)),
}
PAIRS = (
    *((row, "D0") for row in ("D1", "D1 in reach", "D2 long", "D2 short", "D3", "regular", MIXED)),
    *(("D1 in reach", other) for other in ("D1", "regular")),
    *((row, "mixed, R1") for row in (MIXED, "mixed, R1+R2+R3", "mixed, R1+R2+R4", "mixed, R1+unsupported")),
    ("mixed, R1+unsupported", MIXED),
    *((row, "cool long, R1") for row in ("cool long, R1+R2", "cool long, R1+unsupported")),
    ("D3, R1+R2+R3", "D3"),
    (MIXED, SFT),
)
"""Rows that are compared with another than the start."""
RATES = {"grpo": 1e-4, "sft": 5e-5}
"""Learning rates, chosen on dev for asr_grpo.py."""


@dataclass(frozen=True)
class Study:
    """What all rows have in common: which model, speech, steps and held-out split."""

    start: str
    data: str
    split: str
    steps: int

    @property
    def sets(self) -> dict[str, str]:
        """The held-out sets."""
        return {name: f"{self.data}/{self.split}.jsonl{ending}" for name, ending in SETS[self.split].items()}

    def selection(self, folder: Path) -> list[str]:
        """The command that chooses the subsets."""
        first, *others = (f"{self.data}/train.jsonl{ending}" for ending in POOL)
        never = [f"{self.data}/{split}.jsonl" for split in SETS]
        also = [part for name in others for part in ("--also", name)]
        also += [part for name in never for part in ("--never", name)]
        command = [sys.executable, "-m", "speechrl.cli", "data", "select", self.start, first, *also]
        return [*command, "--config", str(RULES), "--out", str(folder)]

    def training(self, recipe: Recipe, seed: int, work: Path, folder: Path) -> list[str]:
        """The command of a run."""
        settings: dict[str, Any] = {
            "seed": seed,
            "data.train": str(work / "data" / "subsets" / f"{recipe.data}.jsonl"),
            "data.contexts": str(work / "data" / "contexts"),
            "rewards.terms": recipe.terms,
            "rollout.temperature": recipe.temperature,
            "train.steps": self.steps,
            "train.learning_rate": RATES[recipe.algorithm],
        }
        if recipe.algorithm == "sft":
            settings |= {"algorithm.name": "sft", "algorithm.loss_mean": "token"}
        return self._train(folder, settings)

    def evaluation(self, work: Path, folder: Path) -> list[str]:
        """The command that evaluates the start: a run whose one step is too small to change anything."""
        settings = {
            "data.train": f"{self.data}/train.jsonl",
            "data.contexts": str(work / "data" / "contexts"),
            "train.steps": 1,
            "train.learning_rate": 1e-12,
        }
        return self._train(folder, settings)

    def identity(self, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
        """All that decides what is chosen, trained and measured; of files what they say, whatever their comments."""
        files = {path.name: yaml.safe_load(path.read_text()) for path in (RULES, CONFIG)}
        digests = {name: hashlib.sha256(repr(says).encode()).hexdigest()[:12] for name, says in files.items()}
        rows = {row: asdict(recipe) | {"rate": RATES[recipe.algorithm]} for row, recipe in recipes.items()}
        identity = {**asdict(self), "sets": self.sets, "pool": POOL, **digests, "rows": rows}
        return dict(json.loads(json.dumps(identity)))

    def _train(self, folder: Path, settings: dict[str, Any]) -> list[str]:
        settings |= {"output": str(folder), "model.path": self.start, "evaluation.sets": self.sets}
        return train_command(CONFIG, settings)


def main() -> None:
    """Choose data, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/asr_study"), help="run directories of one study"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "asr_study.json")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--split", choices=SETS, default="test", help="held-out split")
    parser.add_argument("--start", default="package:starter/asr", help="the model that every row starts from")
    parser.add_argument(
        "--data", default="package:data/asterisk_en", help="folder of train, dev and test.jsonl"
    )
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument(
        "--page", action="store_true", help="only print the tables of the result that is there"
    )
    chosen = parser.parse_args()
    if chosen.page:
        print(page(json.loads(chosen.out.read_text())))
        return
    study = Study(chosen.start, chosen.data, chosen.split, chosen.steps)
    choose_data(study, ROWS, chosen.work)
    keep_contexts(study, chosen.work)
    recipes = {row: ROWS[row] for row in chosen.rows}
    train_and_write(study, recipes, chosen, lambda: collect(chosen.work, chosen.seeds))


def choose_data(study: Study, recipes: Mapping[str, Recipe], work: Path) -> None:
    """Choose the subsets, see that they fit, and only then note whose folder it is.

    Until it is noted, every call chooses anew: rules are mended meanwhile, and what was heard is not heard again.
    """
    card = work / "data" / "card.json"
    if (work / NOTE).is_file():
        refuse_another(work, study, recipes)
    else:
        card.unlink(missing_ok=True)
    run_once(study.selection(card.parent), card.parent, result=card.name, resumable=False)
    check_sizes(json.loads(card.read_text())["subsets"], recipes)
    claim(work, study, recipes)


def keep_contexts(study: Study, work: Path) -> None:
    """Encode the held-out sets once: no run changes the encoder, and every run would do so anew."""
    model = load_model(study.start)
    store = ContextStore(work / "data" / "contexts", fingerprint(model), MAX_BYTES)
    once = EncodeOnce(model, store=store)
    for prompts in load_sets(study.sets).values():
        once.encode(prompts)


def train_and_write(
    study: Study,
    recipes: Mapping[str, Recipe],
    chosen: argparse.Namespace,
    found: Callable[[], dict[str, Any]],
) -> None:
    """Train all rows, and write what is finished whatever happened.

    Args:
        study: Of the runs.
        recipes: Rows to train.
        chosen: Arguments of the command: `seeds`, `work`, `workers`, `out`.
        found: Collects the finished runs.

    Raises:
        SystemExit: Runs failed.
    """
    failures: list[str] = []
    try:
        failures = train_all(study, recipes, chosen.seeds, chosen.work, chosen.workers)
    finally:
        figures = found()
        if figures["rows"]:
            write_result(chosen.out, seeds=chosen.seeds, settings=asdict(study), **figures)
    if failures:
        told = [f"{len(failures)} runs failed; the same command tries them again:", *failures]
        sys.exit("\n".join(told))


def train_all(
    study: Study, recipes: Mapping[str, Recipe], seeds: list[int], work: Path, workers: int
) -> list[str]:
    """Evaluate the start, and train every recipe with every seed, so many at once; see `run_all`."""
    start = folder_of(work, START, 0)
    jobs = [(study.evaluation(work, start), start)]
    for seed in seeds:
        for name, recipe in recipes.items():
            folder = folder_of(work, name, seed)
            jobs.append((study.training(recipe, seed, work, folder), folder))
    return run_all(jobs, workers)


def check_sizes(subsets: Mapping[str, Mapping[str, Any]], recipes: Mapping[str, Recipe]) -> None:
    """See that all subsets that rows practise on have one size: equal steps are then equal data.

    Raises:
        SystemExit: They have not.
    """
    sizes = {
        recipe.data: subsets[recipe.data]["utterances"] if recipe.data in subsets else 0
        for recipe in recipes.values()
    }
    if len(set(sizes.values())) > 1 or not all(sizes.values()):
        sys.exit(
            f"the subsets differ in size, or are empty: {sizes}; enlarge POOL, or lower the sizes in {RULES.name}, "
            "and give the same command again: what was heard of the pool is kept"
        )


def composition(folder: Path) -> dict[str, Any]:
    """What each subset is made of, and what the start makes of it."""
    card = json.loads((folder / "card.json").read_text())
    utterances = list(read_rows(folder / "utterances.jsonl"))
    found = {
        "pool": card["kept"] | _made_of(one for one in utterances if one["dropped"] is None),
    }
    for name in dict.fromkeys(recipe.data for recipe in ROWS.values()):
        found[name] = card["subsets"][name] | _made_of(one for one in utterances if name in one["subsets"])
    return found


def _made_of(utterances: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many utterances are of which kind, and of which verdict."""
    kinds, verdicts = Counter[str](), Counter[str]()
    for one in utterances:
        kinds[one["source"].partition("#")[2].partition("@")[0] or "as it is"] += 1
        verdicts[one["verdict"]] += 1
    return {"made_of": dict(kinds.most_common()), "verdicts": dict(verdicts.most_common())}


def collect(work: Path, seeds: list[int]) -> dict[str, Any]:
    """What the rows practised on, every finished run, rows with spread and intervals, and pairs of rows."""
    done = finished(work, ROWS, seeds)
    systems = {row: [rows_of(folder_of(work, row, seed)) for seed in found] for row, found in done.items()}
    start = systems.pop(START, None)
    pairs = [
        {
            "row": row,
            "against": other,
            "columns": {column.title: compare(systems[other], systems[row], column) for column in COLUMNS},
        }
        for row, other in PAIRS
        if row in systems and other in systems
    ]
    return {
        "data": composition(work / "data"),
        "rows": [report(work, row, seed, ROWS) for row, found in done.items() for seed in found],
        "summary": [
            *([line(START, start, None)] if start else []),
            *(line(row, system, start) for row, system in systems.items()),
        ],
        "pairs": pairs,
    }


if __name__ == "__main__":
    main()
