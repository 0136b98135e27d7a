from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from speechrl.config.load import resolve_path
from speechrl.errors import ModelError
from speechrl.models.asr import recogniser
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


def test_a_recogniser_whose_weights_were_cut_short_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = resolve_path("package:starter/asr")
    for name in ("speechrl.json", "language_model", "tokenizer"):
        (tmp_path / name).symlink_to(starter / name)
    weights = (starter / "adapter.safetensors").read_bytes()
    (tmp_path / "adapter.safetensors").write_bytes(weights[:1000])
    monkeypatch.setattr(recogniser, "load_whisper_frames", lambda name: SimpleNamespace(width=384))
    with pytest.raises(ModelError, match="cannot load the recogniser"):
        load_model(str(tmp_path))
