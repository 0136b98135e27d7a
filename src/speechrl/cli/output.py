"""How verbs speak: results on stdout (JSON where a program reads them), everything else on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console


def console() -> Console:
    """A console on stdout for tables; piped output keeps its full width."""
    return Console() if sys.stdout.isatty() else Console(width=max(160, Console().width))


def print_plain(text: str) -> None:
    """Print text as it is: no wrapping, no markup."""
    print(text.rstrip("\n"))


def print_json(value: Any) -> None:
    """Print one JSON document. NaN and infinities are refused, since they are not JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 row`, `2 rows`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def hush_libraries() -> None:
    """Keep transformers from drawing bars and giving advice of its own while a model is loaded."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
