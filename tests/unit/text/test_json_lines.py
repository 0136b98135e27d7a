"""JSONL whose texts hold what `splitlines` takes for ends of lines."""

import json

import pytest

from speechrl.text.json_lines import json_lines


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_only_a_line_feed_ends_a_line(separator: str) -> None:
    rows = [{"text": f"one{separator}two"}, {"text": ""}]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert [json.loads(line) for _, line in json_lines(text)] == rows


def test_blank_lines_count_and_are_left_out() -> None:
    assert json_lines("a\n\n \nb") == [(1, "a"), (4, "b")]
    assert json_lines("") == []
