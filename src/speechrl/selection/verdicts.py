"""What other recognisers say about an utterance, the model and the label: pure functions of texts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from speechrl.text.alignment import align_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.config.selection import Verdict
    from speechrl.text.normalise import Unit


@dataclass(frozen=True, slots=True)
class Consensus:
    """What judges agree on.

    Attributes:
        judges: Those that agree, each with each.
        text: The words of the one among them that is nearest to the others.
        spread: The largest mutual error rate among them.
    """

    judges: tuple[str, ...]
    text: str
    spread: float


def mutual_error_rate(first: str, second: str, language: str = "en", unit: Unit = "auto") -> float:
    """Edits between two texts / tokens of the shorter one (at least 1), so the same in either direction; 0 if equal.

    The rule that this serves (arXiv 2509.18569 and its sibling) does not say which side divides; the shorter one is
    the stricter choice.
    """
    alignment = align_texts(first, second, language, unit)
    return alignment.errors / max(min(len(alignment.reference), len(alignment.hypothesis)), 1)


def find_consensus(
    opinions: Mapping[str, str], language: str = "en", agree: float = 0.05, quorum: int | None = None
) -> Consensus | None:
    """The largest set of judges of whom each agrees with each; None where there are too few.

    Args:
        opinions: Judge -> what it heard.
        language: ISO 639-1 code.
        agree: Two judges agree up to this mutual error rate.
        quorum: Least size of the set; None is all, and at least two.
    """
    names = list(opinions)
    rates = {
        frozenset(pair): mutual_error_rate(opinions[pair[0]], opinions[pair[1]], language)
        for pair in combinations(names, 2)
    }
    for size in range(len(names), max(2, len(names) if quorum is None else quorum) - 1, -1):
        sets = [(_spread(judges, rates), judges) for judges in combinations(names, size)]
        spread, judges = min(sets, key=lambda found: found[0])
        if spread <= agree:
            centre = min(judges, key=lambda one: sum(rates[frozenset((one, o))] for o in judges if o != one))
            return Consensus(judges, opinions[centre], spread)
    return None


def find_verdict(
    hypothesis: str,
    label: str | None,
    opinions: Mapping[str, str],
    consensus: Consensus | None,
    language: str = "en",
    differ: float = 0.10,
) -> Verdict:
    """Where the fault lies.

    - `unjudged`: fewer than two judges heard it.
    - `ambiguous`: the judges do not agree with each other.
    - `label_suspect`: they agree, and the label differs from them by more than `differ`.
    - `hard`: they agree, and the model differs from them by more than `differ`.
    - `easy`: they agree, and so does the model.
    """
    if len(opinions) < 2:
        return "unjudged"
    if consensus is None:
        return "ambiguous"
    if label is not None and mutual_error_rate(label, consensus.text, language) > differ:
        return "label_suspect"
    return "hard" if mutual_error_rate(hypothesis, consensus.text, language) > differ else "easy"


def _spread(judges: Sequence[str], rates: Mapping[frozenset[str], float]) -> float:
    return max(rates[frozenset(pair)] for pair in combinations(judges, 2))
