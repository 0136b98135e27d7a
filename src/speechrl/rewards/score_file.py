"""The function behind `speechrl score FILE`: judge the output of any recogniser, without a model.

A row in is `{"id", "reference", "hypothesis", "language"?, "keywords"?, "audio"?}`; more keys are ignored. A
row out is `{"id", "status", "reason", "total", "terms", "counts", "flags"}`, where what could not be computed
is null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError, DataError
from speechrl.rewards.base import RewardMixer
from speechrl.rewards.registry import REWARDS, rewards_of
from speechrl.text.json_lines import json_lines
from speechrl.text.normalise import plain, primary_language
from speechrl.types import Ending, Output, Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from speechrl.types import Score

COUNTS = ("substitutions", "deletions", "insertions", "words")
FLAGS = ("hallucination", "loop", "wrong_language", "empty")
DEFAULT_LANGUAGE = "en"


def all_rewards() -> RewardsConfig:
    """Every built-in reward of recognisers that reads texts alone, weight 1; a failed one never stops the others."""
    names = filter(_reads_texts_alone, rewards_of("asr"))
    return RewardsConfig(terms=[RewardConfig(name=name) for name in names], max_failed_share=1.0)


def _reads_texts_alone(name: str) -> bool:
    return REWARDS[name].form == "output"


def score_file(path: Path, rewards: RewardsConfig | None = None) -> list[dict[str, Any]]:
    """Read a JSONL file of hypotheses and judge every row.

    Args:
        path: A JSON object a line; blank lines are skipped.
        rewards: What to judge with; `all_rewards()` when None.

    Raises:
        ConfigError: A reward needs more than texts, or as in `RewardMixer`.
        DataError: The file or a row cannot be used; the message names file, row, field and the mend.
        RewardError: More scores failed than `rewards` allows.
    """
    return _score(_read_lines(path), rewards or all_rewards(), str(path))


def score_rows(
    rows: Sequence[Mapping[str, Any]], rewards: RewardsConfig, *, source: str = "rows"
) -> list[dict[str, Any]]:
    """Judge rows; see the module for their shape.

    Args:
        rows: Rows in.
        rewards: What to judge with.
        source: Name of their file, for messages.

    Raises:
        ConfigError: A reward needs more than texts, or as in `RewardMixer`.
        DataError: A row cannot be used.
        RewardError: More scores failed than `rewards` allows.
    """
    return _score(list(enumerate(rows, start=1)), rewards, source)


def _score(numbered: Sequence[tuple[int, Any]], rewards: RewardsConfig, source: str) -> list[dict[str, Any]]:
    lines: dict[str, int] = {}
    ids, outputs, prompts = [], [], []
    for number, row in numbered:
        where = f"{source}, row {number}"
        prompt, hypothesis = _read_row(row, where)
        if (first := lines.setdefault(prompt.id, number)) != number:
            raise DataError(
                f"{where}: field `id`: {prompt.id!r} is already that of row {first}; make ids unique"
            )
        ids.append(row["id"])
        outputs.append([Output(hypothesis, Ending.STOP, length=len(hypothesis))])
        prompts.append(prompt)
    for term in rewards.terms:
        if term.name in rewards_of("asr") and not _reads_texts_alone(term.name):
            raise ConfigError(
                f"reward {term.name!r} listens to the recording, and here texts alone are judged: "
                f"take it out of rewards.terms; those that can judge {source}: "
                + ", ".join(filter(_reads_texts_alone, rewards_of("asr")))
            )
    with RewardMixer(rewards) as mixer:
        scores = mixer.score(outputs, prompts)
    return [_row_out(name, score) for name, (score,) in zip(ids, scores, strict=True)]


def _read_lines(path: Path) -> list[tuple[int, Any]]:
    """(line number, JSON value) of the lines that are not blank."""
    try:
        lines = json_lines(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist: check the path, relative to the working directory"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: `speechrl score` reads JSON lines, not audio") from error
    values = []
    for number, line in lines:
        try:
            values.append((number, json.loads(line)))
        except ValueError as error:
            raise DataError(
                f"{path}, row {number}: not JSON ({error}); write one JSON object a line"
            ) from error
    if not values:
        raise DataError(
            f"{path} has no rows: write one JSON object a line, with id, reference and hypothesis"
        )
    return values


def _read_row(row: Any, where: str) -> tuple[Prompt, str]:
    """The prompt and the hypothesis of a row; `where` names file and row. A number may be an id."""
    if not isinstance(row, Mapping):
        raise DataError(
            f'{where}: not a JSON object; write {{"id": ..., "reference": ..., "hypothesis": ...}}'
        )
    number = isinstance(row.get("id"), int) and not isinstance(row["id"], bool)
    name = str(row["id"]) if number else _text(row, "id", where, "give each row a name of its own")
    reference = _text(row, "reference", where, 'write the true transcript, "" for silence')
    hypothesis = _text(row, "hypothesis", where, 'write what was recognised, "" for nothing')
    language = DEFAULT_LANGUAGE
    if row.get("language") is not None:
        language = _text(row, "language", where, 'write an ISO 639-1 code such as "en"')
    try:
        primary_language(language)
    except DataError as error:
        raise DataError(f"{where}: field `language`: {error}") from error
    keywords = row.get("keywords") or []
    if not isinstance(keywords, list) or not all(isinstance(word, str) and plain(word) for word in keywords):
        raise DataError(
            f'{where}: field `keywords`: {keywords!r} is not a list of words; write ["one", "two words"]'
        )
    if not isinstance(row.get("audio"), str | None):
        raise DataError(
            f"{where}: field `audio`: {row['audio']!r} is not a path; write one, or leave the field out"
        )
    return Prompt(name, "asr", reference, language, tuple(keywords)), hypothesis


def _text(row: Mapping[str, object], field: str, where: str, mend: str) -> str:
    if field not in row:
        raise DataError(f"{where}: field `{field}` is missing; {mend}")
    value = row[field]
    if not isinstance(value, str):
        raise DataError(f"{where}: field `{field}`: {value!r} is not text; {mend}")
    if field == "id" and not value:
        raise DataError(f"{where}: field `id` is empty; {mend}")
    if any("\ud800" <= letter <= "\udfff" for letter in value):
        raise DataError(f"{where}: field `{field}` holds half a character (a lone surrogate); write it whole")
    return value


def _row_out(name: str | int, score: Score) -> dict[str, Any]:
    return {
        "id": name,
        "status": score.status.value,
        "reason": score.reason,
        "total": _or_null(score.total),
        "terms": {term: _or_null(value) for term, value in score.terms.items()},
        "counts": {count: int(score.metrics[count]) for count in COUNTS if count in score.metrics},
        "flags": {flag: bool(score.metrics[flag]) for flag in FLAGS if flag in score.metrics},
    }


def _or_null(value: float) -> float | None:
    """NaN is not JSON."""
    return None if math.isnan(value) else value
