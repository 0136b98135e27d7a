"""Contexts on disk: the same numbers, bounded, of one model, and whole after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toys import WIDTH, ToyRecogniser, context

from speechrl.errors import DataError
from speechrl.models.context_store import INDEX, ContextStore
from speechrl.models.encode_once import EncodeOnce
from speechrl.models.fingerprint import fingerprint
from speechrl.types import Context, Prompt

ROOM = 10**6


def prompt(name: str) -> Prompt:
    return Prompt(name, "asr", "text", audio=np.zeros(4, np.float32))


class Counting(ToyRecogniser):
    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode(self, prompts):
        self.encoded += [one.id for one in prompts]
        return super().encode(prompts)


def test_what_one_process_encodes_another_reads(tmp_path: Path) -> None:
    first, second = Counting(), Counting()
    made = EncodeOnce(first, 0, ContextStore(tmp_path, "m", ROOM)).encode([prompt("a"), prompt("b")])
    once = EncodeOnce(second, store=ContextStore(tmp_path, "m"))
    assert once.encoder_for([prompt("a"), prompt("b")]) is None
    read = once.encode([prompt("b"), prompt("a"), prompt("c")])
    assert first.encoded == ["a", "b"]
    assert second.encoded == ["c"]  # and it is not kept: the folder was opened to read
    assert torch.equal(read[0].embeddings_TD, made[1].embeddings_TD)
    assert [each.prompt_id for each in read] == ["b", "a", "c"]
    assert len(ContextStore(tmp_path, "m")) == 2


def test_it_never_grows_beyond_its_bound(tmp_path: Path) -> None:
    size = context("a").numel() * 4
    store = ContextStore(tmp_path, "m", size)
    for name in ("a", "b"):
        store.put(name, Context(name, context(name)))
    assert "a" in store
    assert "b" not in store
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.f32")) <= size


def test_contexts_of_another_model_are_refused(tmp_path: Path) -> None:
    ContextStore(tmp_path, "m", ROOM).put("a", Context("a", context("a")))
    with pytest.raises(DataError, match="those of m, which have other weights"):
        ContextStore(tmp_path, "n")
    with pytest.raises(DataError, match=r"no contexts of this model \(m\) there\. "):
        ContextStore(tmp_path / "empty", "m")
    assert len(ContextStore(tmp_path, "n", ROOM)) == 0  # beside them there is room for those of another
    assert len(ContextStore(tmp_path, "m")) == 1


def test_a_kill_between_numbers_and_index_costs_one_context(tmp_path: Path) -> None:
    store = ContextStore(tmp_path, "m", ROOM)
    for name in ("a", "b"):
        store.put(name, Context(name, context(name)))
    index = tmp_path / "m" / INDEX
    index.write_text(index.read_text()[:-7])
    again = ContextStore(tmp_path, "m", ROOM)
    assert again.get("b", "b") is None
    again.put("b", Context("b", context("b")))
    for name in ("a", "b"):
        assert torch.equal(ContextStore(tmp_path, "m").get(name, name).embeddings_TD, context(name))


def test_a_cut_file_of_numbers_is_found_out(tmp_path: Path) -> None:
    ContextStore(tmp_path, "m", ROOM).put("a", Context("a", context("a")))
    numbers = next(tmp_path.rglob("*.f32"))
    numbers.write_bytes(numbers.read_bytes()[:-4])
    with pytest.raises(DataError, match="shorter"):
        ContextStore(tmp_path, "m")


def test_a_garbled_index_names_its_row(tmp_path: Path) -> None:
    store = ContextStore(tmp_path, "m", ROOM)
    store.put("a", Context("a", context("a")))
    index = tmp_path / "m" / INDEX
    index.write_text(index.read_text() + '["b", 3\n')
    with pytest.raises(DataError, match=r"index\.jsonl, row 2: .*; remove the folder"):
        ContextStore(tmp_path, "m", ROOM)


def test_what_it_could_not_give_back_whole_it_does_not_keep(tmp_path: Path) -> None:
    store = ContextStore(tmp_path, "m", ROOM)
    store.put("a", replace(Context("a", context("a")), voice_D=torch.zeros(WIDTH)))
    store.put("b", Context("b", context("b").bfloat16()))
    assert len(store) == 0


def test_a_fingerprint_is_of_every_weight() -> None:
    model = ToyRecogniser()
    before = fingerprint(model)
    assert fingerprint(ToyRecogniser()) == before
    with torch.no_grad():
        next(reversed(list(model.language_model.parameters()))).view(-1)[0] += 1e-3
    assert fingerprint(model) != before
