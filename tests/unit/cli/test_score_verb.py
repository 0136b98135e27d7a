"""`speechrl score`: rewards on a file of hypotheses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROWS = [
    {
        "id": "loop",
        "reference": "please hold the line",
        "hypothesis": "please hold hold hold hold hold the line",
        "keywords": ["hold"],
    },
    {"id": "silence", "reference": "", "hypothesis": "thank you for watching"},
    {"id": "right", "reference": "Good morning!", "hypothesis": "good morning"},
]


@pytest.fixture
def hypotheses(tmp_path: Path) -> Path:
    path = tmp_path / "hypotheses.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_json_has_a_row_for_each_with_the_documented_keys(speechrl, hypotheses) -> None:
    ended = speechrl("score", hypotheses, "--json")
    assert ended.code == 0
    loop, silence, right = map(json.loads, ended.out.splitlines())
    assert [row["id"] for row in (loop, silence, right)] == ["loop", "silence", "right"]
    assert {"id", "status", "total", "terms", "counts", "flags"} <= loop.keys()
    assert loop["counts"] == {"substitutions": 0, "deletions": 0, "insertions": 4, "words": 4}
    assert loop["flags"]["loop"]
    assert loop["flags"]["hallucination"]
    assert silence["counts"]["insertions"] == 4
    assert silence["terms"]["accuracy"] == -1.0
    assert right["terms"]["accuracy"] == 1.0
    assert not any(right["flags"].values())


def test_people_see_the_worst_rows_and_the_sums(speechrl, hypotheses) -> None:
    out = speechrl("score", hypotheses).out
    assert "3 rows, 0 without a score" in out
    assert "error rate 133.33%: 0 substitutions, 0 deletions, 8 insertions, 6 words" in out
    assert "hallucination in 2 rows" in out
    assert out.index("silence ") < out.index("right ")


def test_rewards_of_a_configuration(speechrl, hypotheses) -> None:
    ended = speechrl("score", hypotheses, "--json", "--config", "package:configs/asr/grpo_starter.yaml")
    first = json.loads(ended.out.splitlines()[0])
    assert set(first["terms"]) == {"accuracy"}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"id": "a", "reference": "x", "hypothesis": "x"}\n{"id": "b", "reference": "x"}\n', "hypothesis"),
        ('{"id": "a", "reference": "x", "hypothesis": "x"}\nno json\n', "2"),
    ],
)
def test_a_bad_row_is_named(speechrl, tmp_path, content, what) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    ended = speechrl("score", path, "--json")
    assert ended.code == 3
    assert ended.out == ""
    assert str(path) in ended.err
    assert what in ended.err


def test_missing_file(speechrl, tmp_path) -> None:
    ended = speechrl("score", tmp_path / "none.jsonl")
    assert ended.code == 3
    assert "none.jsonl" in ended.err
