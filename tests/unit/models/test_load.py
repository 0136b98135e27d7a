from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from speechrl.errors import ModelError
from speechrl.models.load import load_model

if TYPE_CHECKING:
    from pathlib import Path


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model there .*speechrl\.json is missing"):
        load_model(str(tmp_path))


@pytest.mark.parametrize(
    "content", ['{"model": "recog', "[]", '"recogniser"', '{"model": ["x"]}', '{"model": "x"}']
)
def test_a_damaged_description_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "speechrl.json").write_text(content)
    with pytest.raises(ModelError, match=r"speechrl\.json"):
        load_model(str(tmp_path))
