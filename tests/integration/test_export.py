"""The model of a checkpoint, on a toy: with and without adapters, and what is wrong with a wish."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from safetensors.torch import load_file
from toys import ToyRecogniser, toy_config

from speechrl.errors import CheckpointError, ConfigError
from speechrl.train import export as export_module
from speechrl.train import run as run_module
from speechrl.train.export import export_model
from speechrl.train.run import train

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (run_module, export_module):
        monkeypatch.setattr(module, "load_model", lambda path: ToyRecogniser())


def weights(folder: Path) -> dict[str, list[float]]:
    (file,) = folder.rglob("*.safetensors")
    return {name: tensor.flatten().tolist() for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_a_checkpoint_gives_the_model_of_a_run_that_ended_there(tmp_path: Path, lora_rank: int) -> None:
    def run(steps: int) -> Path:
        config = toy_config(
            tmp_path,
            output=str(tmp_path / f"run-{steps}"),
            model={"path": "toy", "lora_rank": lora_rank},
            train__steps=steps,
            train__checkpoint_every=2,
            train__keep_checkpoints=9,
        )
        return train(config).run_dir

    short, long = run(2), run(4)
    assert export_model(long, tmp_path / "second", 2) == 2
    assert weights(tmp_path / "second") == weights(short / "model")
    assert export_model(long, tmp_path / "newest") == 4
    assert weights(tmp_path / "newest") == weights(long / "model")
    assert weights(short / "model") != weights(long / "model")


def test_what_cannot_be_exported_is_named(tmp_path: Path) -> None:
    run_dir = train(toy_config(tmp_path, train__checkpoint_every=2, train__keep_checkpoints=9)).run_dir
    with pytest.raises(ConfigError, match=r"no run here \(no config\.yaml\)"):
        export_model(tmp_path / "elsewhere", tmp_path / "out")
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; there are those of steps 2, 4, 6"):
        export_model(run_dir, tmp_path / "out", 3)
    with pytest.raises(ConfigError, match="is there already"):
        export_model(run_dir, run_dir / "model")
    (run_dir / "checkpoints" / "step-000004" / "tensors.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match=r"tensors\.safetensors: has 3 bytes"):
        export_model(run_dir, tmp_path / "out", 4)
    shutil.rmtree(run_dir / "checkpoints")
    with pytest.raises(CheckpointError, match=r"has no checkpoint.*train\.checkpoint_every"):
        export_model(run_dir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_verb_prints_where_the_model_is(tmp_path: Path, speechrl) -> None:
    run_dir = train(toy_config(tmp_path, train__checkpoint_every=3)).run_dir
    ended = speechrl("export", run_dir, "--step", 3, "--output", tmp_path / "out", "--json")
    assert ended.code == 0, ended.err
    assert '"step": 3' in ended.out
    assert weights(tmp_path / "out")
    ended = speechrl("export", run_dir, "--step", 5, "--output", tmp_path / "other")
    assert ended.code == 6
    assert "no checkpoint of step 5" in ended.err
