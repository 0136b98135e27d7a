"""Judges that cannot judge are told before anything is decoded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from selection_toys import SIZE, Chooser, rules, write_pool

from speechrl.errors import ConfigError, DataError, ModelError
from speechrl.rewards.scorers.recogniser import whisper_language
from speechrl.selection import judges


def heard(path: Path, ids: list[str], words: str = "red") -> str:
    path.write_text("".join(json.dumps({"id": name, "hypothesis": words}) + "\n" for name in ids))
    return str(path)


class Deaf:
    def transcribe(self, clips):
        return ["red"] * len(clips)


def in_italian(pool: Path) -> Path:
    rows = [json.loads(line) | {"language": "it"} for line in pool.read_text().splitlines()]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return pool


def refused(kind, match: str, tmp_path: Path, pool: Path, load_judge=None, **changes) -> None:
    chooser = Chooser()
    options = {"load_judge": load_judge} if load_judge else {}
    with pytest.raises(kind, match=match):
        chooser(rules(**changes), pool, tmp_path / "out", **options)
    assert not chooser.told, "nothing may be decoded before"


def test_references_of_judges_need_two_that_hear_the_language(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    refused(ConfigError, "'en' is heard by nobody", tmp_path, pool, labels="judges")
    names = ["whisper-base", "moonshine-tiny"]
    refused(
        ConfigError, "'it' is heard by whisper-base;", tmp_path, in_italian(pool),
        judges={"recognisers": names}, labels="judges",
    )  # fmt: skip


def test_a_quorum_that_nobody_can_reach(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    one, two = (heard(tmp_path / f"{n}.jsonl", ["clip-1"]) for n in "ab")
    refused(
        ConfigError, "quorum is 3, but at most 2 judges", tmp_path, pool,
        judges={"hypotheses": {"a": one, "b": two}, "quorum": 3},
    )  # fmt: skip


def test_hypotheses_of_another_pool(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    other = heard(tmp_path / "other.jsonl", ["nobody"])
    refused(
        DataError, "no id of the pool .it has 'nobody', the pool 'clip-0'", tmp_path, pool,
        judges={"hypotheses": {"elsewhere": other}},
    )  # fmt: skip
    (tmp_path / "latin.jsonl").write_bytes('{"id": "clip-1", "hypothesis": "caffè"}\n'.encode("latin-1"))
    refused(
        DataError, "not UTF-8", tmp_path, pool, judges={"hypotheses": {"a": str(tmp_path / "latin.jsonl")}}
    )


def test_english_judges_are_not_asked_about_other_languages(tmp_path: Path) -> None:
    pool = in_italian(write_pool(tmp_path / "data"))
    asked = []
    Chooser()(
        rules(judges={"recognisers": ["whisper-tiny.en", "moonshine-tiny", "whisper-base", "some/hub"]}),
        pool, tmp_path / "out",
        load_judge=lambda name, **options: asked.append((name, options["language"])) or Deaf(),
    )  # fmt: skip
    assert set(asked) == {("whisper-base", "it"), ("some/hub", "it")}


def test_a_judge_that_does_not_know_the_language_is_named(tmp_path: Path) -> None:
    def load(name, **options):
        raise ModelError("this Whisper has no token <|xx|>; is its language right?")

    pool = write_pool(tmp_path / "data")
    refused(
        ModelError, f"judges.recognisers: some/hub, asked about {SIZE} utterances in 'en'", tmp_path, pool, load,
        judges={"recognisers": ["some/hub"]},
    )  # fmt: skip


def test_opinions_are_kept_by_the_weights_that_gave_them(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("whisper-base", "package:starter/asr", "some/hub")
    first = [judges._place(name, "en", "full") for name in names]
    assert len(set(first)) == 3
    assert [judges._place(name, "en", "full") for name in names] == first
    with monkeypatch.context() as patch:
        patch.setattr(judges, "weights_version", lambda name: "9.9")
        assert all(judges._place(name, "en", "full") != old for name, old in zip(names, first, strict=True))
    with monkeypatch.context() as patch:
        patch.setattr(judges, "resolve_path", lambda name: Path("nowhere"))
        changed = [judges._place(name, "en", "full") != old for name, old in zip(names, first, strict=True)]
    assert changed == [False, True, False]  # of a folder its files count


def test_a_whisper_of_the_hub_is_told_the_language() -> None:
    whisper = SimpleNamespace(generation_config=SimpleNamespace(lang_to_id={"<|en|>": 1, "<|it|>": 2}))
    told = whisper_language("w", whisper, "it")["generate_kwargs"]
    assert told == {"language": "it", "task": "transcribe"}
    assert whisper_language("w", whisper, None) == {}
    assert whisper_language("w", SimpleNamespace(generation_config=SimpleNamespace()), "it") == {}
    with pytest.raises(ModelError, match="'xx'"):
        whisper_language("w", whisper, "xx")
