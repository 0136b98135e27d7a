"""The speech that ships: no near copy crosses splits, the spans are right, the licence is there."""

import json
import re
from difflib import SequenceMatcher
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt

FOLDER = Path(__file__).parents[3] / "data" / "asterisk_en"
SPLITS = ("train", "dev", "test")


def rows(split):
    return [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()]


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


@pytest.mark.parametrize(("left", "right"), list(combinations(SPLITS, 2)))
def test_no_near_copy_crosses_splits(left, right):
    one, other = ({tuple(words(row["text"])) for row in rows(split)} for split in (left, right))
    assert not one & other
    for a, b in product(one, other):
        short, long = sorted((a, b), key=len)
        if len(short) >= 4:
            assert f" {' '.join(short)} " not in f" {' '.join(long)} ", (a, b)
        if len(short) >= 0.6 * len(long) and set(a) & set(b):
            assert SequenceMatcher(None, a, b, autojunk=False).ratio() < 0.8, (a, b)
            assert len(set(a) & set(b)) / len(set(a) | set(b)) < 0.8, (a, b)


@pytest.mark.parametrize(("left", "right"), list(combinations(SPLITS, 2)))
def test_no_sentence_of_four_words_crosses_splits(left, right):
    def sentences(split):
        parts = (tuple(words(part)) for row in rows(split) for part in re.split(r"[.?!;:]", row["text"]))
        return {part for part in parts if len(part) >= 4}

    assert not sentences(left) & sentences(right)


@pytest.mark.parametrize("split", SPLITS)
def test_counts_spans_and_texts(split):
    items = rows(split)
    counts = json.loads((FOLDER / "split.json").read_text())["splits"][split]
    assert len(items) == counts["utterances"]
    assert sum(len(words(row["text"])) for row in items) == counts["words"]
    length_s = sf.info(FOLDER / f"{split}.flac").duration
    assert length_s / 60 == pytest.approx(counts["minutes"], abs=0.01)
    end_s = 0.0
    for row in items:
        assert row["start"] == pytest.approx(end_s, abs=1e-9)
        assert 0.3 < row["duration"] <= 30
        end_s = row["start"] + row["duration"]
        assert re.fullmatch(r"[A-Z][A-Za-z ,;:?!'\"./-]*[.?!]", row["text"]), row["text"]
        assert all(word in words(row["text"]) for word in row.get("keywords", []))
    assert end_s == pytest.approx(length_s, abs=1e-9)
    assert len({row["id"] for row in items}) == len(items)


@pytest.mark.parametrize("split", SPLITS)
def test_audio_reads_and_is_speech(split):
    cuts = read_manifest(FOLDER / f"{split}.jsonl")
    for cut in list(cuts)[::10]:
        prompt = to_prompt(cut)
        assert len(prompt.audio) == round(cut.duration * 16_000)
        assert 0.005 < float(np.sqrt(np.mean(prompt.audio**2))) < 0.5


def test_licence_and_attribution_are_beside_the_audio():
    licence = (FOLDER / "LICENSE.txt").read_text(encoding="utf-8")
    assert "CC-BY-SA-3.0" in licence
    assert "Allison Smith" in licence
    assert "You must include a copy of" in licence
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "Allison Smith" in readme
    assert "Changes made" in readme
