"""Lines of a JSONL file, whatever stands in their texts."""

from __future__ import annotations


def json_lines(text: str) -> list[tuple[int, str]]:
    r"""The lines that are not blank, each with its number from 1.

    Only a line feed ends a line. `str.splitlines` also breaks at U+2028, U+0085 and others, which JSON allows inside a
    string and transcripts do have.

    Example: `json_lines('{"a": 1}\n\n{"a": 2}\n')` is `[(1, '{"a": 1}'), (3, '{"a": 2}')]`.
    """
    return [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
