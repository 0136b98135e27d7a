import json
from pathlib import Path
from typing import Any

import pytest

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError, DataError
from speechrl.rewards.score_file import all_rewards, score_file, score_rows

STRANGE = Path(__file__).parent / "strange_rewards.py"
GOOD = {"id": "a", "reference": "try again", "hypothesis": "try try try try again"}


def write(folder: Path, *lines: str) -> Path:
    path = folder / "hyp.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_shape_of_a_row_out(tmp_path: Path) -> None:
    (row,) = score_file(write(tmp_path, json.dumps(GOOD)))
    assert row == {
        "id": "a",
        "status": "ok",
        "reason": "",
        "total": -0.5,
        "terms": {"accuracy": -0.5, "hallucination": -1.0, "keywords": 1.0, "language": 0.0, "silence": 0.0},
        "counts": {"substitutions": 0, "deletions": 0, "insertions": 3, "words": 2},
        "flags": {"hallucination": True, "loop": True, "wrong_language": False, "empty": False},
    }
    json.dumps(row, allow_nan=False)
    assert all(type(value) is bool for value in row["flags"].values())
    assert all(type(value) is int for value in row["counts"].values())


def test_optional_fields_matter() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "zh", "reference": "你好世界", "hypothesis": "你好，世", "language": "zh", "audio": "a.wav"},
        {"id": "k", "reference": "call alice", "hypothesis": "call alex", "keywords": ["alice"], "extra": 1},
        {"id": "s", "reference": "", "hypothesis": "", "language": None, "keywords": None},
    ]
    zh, keyword, silent = score_rows(rows, all_rewards())
    assert (zh["terms"]["accuracy"], zh["counts"]["words"], zh["counts"]["deletions"]) == (0.75, 4, 1)
    assert keyword["terms"]["keywords"] == 0.0
    assert silent["terms"]["silence"] == 1.0
    assert silent["flags"]["empty"]


def test_blank_lines_are_skipped_and_still_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "", json.dumps(GOOD), "", '{"id": "b"}')
    with pytest.raises(DataError, match=r"hyp\.jsonl, row 4: field `reference` is missing"):
        score_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "field `id`: None is not text"),
        ({"id": 3.5}, "field `id`: 3.5 is not text; give each row a name"),
        ({"id": ""}, "field `id` is empty"),
        (
            {"reference": None},
            'field `reference`: None is not text; write the true transcript, "" for silence',
        ),
        ({"hypothesis": ["a"]}, "field `hypothesis`"),
        ({"language": "plain English"}, "field `language`.*ISO 639-1"),
        ({"language": 5}, "field `language`"),
        ({"keywords": "alice"}, "field `keywords`"),
        ({"keywords": ["alice", "!"]}, "field `keywords`"),
        ({"audio": 5}, "field `audio`"),
        ({"hypothesis": "\ud800"}, "field `hypothesis` holds half a character"),
    ],
)
def test_a_bad_row_is_named_with_its_mend(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=f"rows, row 2: {message}"):
        score_rows([GOOD, GOOD | {"id": "b"} | change], all_rewards())


def test_ids_are_unique() -> None:
    with pytest.raises(DataError, match="row 2: field `id`: 'a' is already that of row 1"):
        score_rows([GOOD, GOOD], all_rewards())


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "row 1: not JSON"), ("[1]", "row 1: not a JSON object"), ("", "has no rows")],
)
def test_a_file_that_is_no_jsonl(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_file(write(tmp_path, line))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        score_file(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        score_file(tmp_path)
    (tmp_path / "a.wav").write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 text"):
        score_file(tmp_path / "a.wav")


def test_failed_scores_are_null_with_a_reason() -> None:
    rewards = RewardsConfig(terms=[RewardConfig(name=f"{STRANGE}:raise_on_bad")], max_failed_share=1.0)
    (row,) = score_rows([GOOD | {"hypothesis": "bad"}], rewards)
    assert (row["status"], row["total"], row["terms"]) == ("failed", None, {"raise_on_bad": None})
    assert "no such word" in row["reason"]
    json.dumps(row, allow_nan=False)


def test_a_reward_that_listens_is_refused_before_its_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechrl.rewards.score_file.RewardMixer", lambda rewards: pytest.fail("was made"))
    rewards = RewardsConfig(terms=[RewardConfig(name="accuracy"), RewardConfig(name="unsupported")])
    with pytest.raises(ConfigError, match=r"'unsupported' listens .* take it out of rewards\.terms"):
        score_rows([GOOD], rewards)


def test_texts_may_hold_any_separator_and_the_file_a_byte_order_mark(tmp_path: Path) -> None:
    said = "try\u2028again\x85now"
    row = json.dumps({"id": "a", "reference": "x", "hypothesis": said}, ensure_ascii=False)
    (judged,) = score_file(write(tmp_path, "\ufeff" + row))
    assert judged["counts"]["words"] == 1
    assert judged["counts"]["insertions"] == 2


def test_a_number_may_be_an_id_and_comes_back_as_one() -> None:
    first, second = score_rows([GOOD | {"id": 7}, GOOD | {"id": "8"}], all_rewards())
    assert (first["id"], second["id"]) == (7, "8")
    with pytest.raises(DataError, match="already that of row 1"):
        score_rows([GOOD | {"id": 7}, GOOD | {"id": "7"}], all_rewards())
