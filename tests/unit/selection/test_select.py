"""The whole selection on a toy: resumed, cached, without leaks, with judges, and for pools without labels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from selection_toys import SIZE, Chooser, Counting, rules, text, write_pool
from toys import WORDS, context, toy_config

from speechrl.cli.data import _told
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import ConfigError, DataError, MissingExtraError
from speechrl.rewards.registry import REWARDS
from speechrl.rewards.verdict import Verdict, failed
from speechrl.selection import utterances
from speechrl.train import run
from speechrl.types import Context


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stop", [2, 4, 10])
def test_a_killed_selection_goes_on_to_the_same_files(tmp_path: Path, stop: int) -> None:
    pool = write_pool(tmp_path / "data")
    whole = Chooser()(rules(), pool, tmp_path / "whole")
    killed, again = Chooser(), Chooser()
    killed.stop_at = ("decode", stop)
    with pytest.raises(KeyboardInterrupt):
        killed(rules(), pool, tmp_path / "killed")
    done = again(rules(), pool, tmp_path / "killed")
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert again.told[0][1] == (stop - 1) // 4 * 4 + 2  # whole shards are not decoded again
    assert done.card == whole.card


def test_the_encoder_reads_each_utterance_once_and_nothing_is_decoded_twice(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    first, second = Chooser(), Chooser()
    first(rules(), pool, tmp_path / "out")
    assert sorted(first.model.encoded) == sorted(f"clip-{index}" for index in range(SIZE))
    found = second(rules(subsets={"long": {"any": [{"duration_s": {"min": 0.15}}]}}), pool, tmp_path / "out")
    assert second.model.encoded == []
    assert second.told == []
    assert {one.id for one in found.subsets["long"]} == {f"clip-{index}" for index in range(5, SIZE)}


def test_contexts_are_kept_of_what_was_heard_before_until_the_store_is_full(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")

    def kept(gigabytes: float) -> tuple[list[str], int]:
        chooser = Chooser()
        config = rules()
        probe = config.probe.model_copy(update={"keep_contexts_gb": gigabytes})
        chooser(config.model_copy(update={"probe": probe}), pool, tmp_path / "out")
        assert all(name == "encode" for name, _, _ in chooser.told) or gigabytes == 0
        indices = list((tmp_path / "out" / "contexts").rglob("index.jsonl"))
        return chooser.model.encoded, sum(len(path.read_text().splitlines()) for path in indices)

    five_gb = sum(context(f"clip-{index}").numel() for index in range(5)) * 4 / 1e9
    assert kept(0)[1] == 0
    assert kept(five_gb + 4e-9) == ([f"clip-{index}" for index in range(6)], 5)  # the sixth does not fit
    assert kept(1) == ([f"clip-{index}" for index in range(5, SIZE)], SIZE)
    assert kept(1) == ([], SIZE)


def test_a_corrected_label_is_not_listened_to_again_and_other_weights_are(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    Chooser()(rules(), pool, tmp_path / "out")
    pool.write_text(pool.read_text().replace(text(3), "moon moon moon"))
    relabelled = Chooser()
    found = relabelled(rules(), pool, tmp_path / "out")
    assert relabelled.told == []
    assert next(one for one in found.utterances if one.id == "clip-3").reference == "moon moon moon"
    trained = Chooser()
    with torch.no_grad():
        next(trained.model.language_model.parameters()).mul_(1.5)
    trained(rules(), pool, tmp_path / "out")
    assert trained.told[-1] == ("decode", SIZE, SIZE)
    assert len(list((tmp_path / "out" / "probe").iterdir())) == 2


def test_utterances_that_sound_alike_get_samples_of_their_own(tmp_path: Path) -> None:
    """In the same place of another batch or shard too: else every shard would repeat the luck of the first."""
    chooser = Chooser()
    chooser.model.encode = lambda prompts: [Context(prompt.id, context("same")) for prompt in prompts]
    chooser(rules(), write_pool(tmp_path / "data"), tmp_path / "out")
    shards = sorted((tmp_path / "out" / "probe").rglob("shard-*.jsonl"))
    rows = [json.loads(line) for shard in shards for line in shard.read_text().splitlines()]
    assert len({row["hypothesis"] for row in rows}) == 1
    for places in ([0, 2], [0, 4], [0, 8], [2, 6]):
        assert len({tuple(rows[place]["samples"]) for place in places}) == len(places)


def test_what_is_measured_follows_from_the_texts(tmp_path: Path) -> None:
    found = Chooser()(rules(), write_pool(tmp_path / "data"), tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "utterances.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"clip-{index}" for index in range(SIZE)]
    for one in found.utterances:
        assert one.wer == pytest.approx(one.errors / one.words)
        assert one.spread == (len(set(one.rewards)) > 1)
        assert (one.reward_std == 0) == (not one.spread)
        assert 0 <= one.difficulty <= 1
        assert 0 < one.entropy < np.log(len(WORDS) + 1) * 1.6
    share = np.mean([one.spread for one in found.utterances if one.key not in found.dropped])
    assert found.card["kept"]["spread_share"] == pytest.approx(share, abs=1e-6)


def test_no_test_sentence_is_chosen_by_id_by_text_or_by_sound(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    held = tmp_path / "held"
    held.mkdir()
    sounds = {"clip-0": 0.9, "other-1": 0.91, "other-2": 0.02 * 3}
    for name, level in sounds.items():
        sf.write(held / f"{name}.wav", np.full(1600 + 160 * 2, level), 16_000)
    texts = {"clip-0": "nothing alike", "other-1": text(1).capitalize() + ".", "other-2": "not the same"}
    rows = [json.dumps({"id": n, "audio": f"{n}.wav", "text": texts[n]}) for n in sounds]
    (held / "test.jsonl").write_text("\n".join(rows) + "\n")
    found = Chooser()(rules(never=[str(held / "test.jsonl")]), pool, tmp_path / "out")
    named = {one.key: one.id for one in found.utterances}
    assert {named[key]: reason for key, reason in found.dropped.items()} == {
        "clip-0": "held_out_id",
        "clip-1": "held_out_text",
        "clip-2": "held_out_audio",
    }
    for path in (tmp_path / "out" / "subsets").glob("*.jsonl"):
        assert not {"clip-0", "clip-1", "clip-2"} & {cut.id for cut in read_manifest(path)}


def test_subsets_are_manifests_that_carry_what_was_found(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    (tmp_path / "data" / "LICENSE.txt").write_text("License: CC0-1.0\nNo rights reserved.\n")
    found = Chooser()(rules(keywords={"manifest": False, "extract": ["rare"]}), pool, tmp_path / "out")
    cuts = {cut.id: cut for cut in read_manifest(tmp_path / "out" / "subsets" / "every.jsonl")}
    before = {cut.id: cut for cut in read_manifest(pool)}
    assert set(cuts) == set(before)
    for one in found.subsets["every"]:
        prompt, custom = to_prompt(cuts[one.id]), cuts[one.id].supervisions[0].custom
        assert (prompt.text, prompt.keywords) == (one.label, one.keywords)
        assert np.array_equal(prompt.audio, to_prompt(before[one.id]).audio)
        assert (custom["difficulty"], custom["licence"]) == (one.difficulty, "CC0-1.0")
    (licence,) = found.card["licences"]
    assert (licence["licence"], licence["pool"]) == ("CC0-1.0", SIZE)


def test_derived_sound_is_written_to_files(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    chooser = Chooser()
    found = chooser(rules(), f"{pool}#telephone", tmp_path / "out")
    (tmp_path / "data").rename(tmp_path / "gone")
    cuts = read_manifest(tmp_path / "out" / "subsets" / "every.jsonl")
    assert len(cuts) == len(found.subsets["every"])
    assert all(to_prompt(cut).duration_s == pytest.approx(cut.duration) for cut in cuts)


class Attentive:
    """A reward that hears prompts, in the way of `unsupported`."""

    def __init__(self, *, model: str = "") -> None:
        pass

    def judge(self, outputs, prompts):
        return [
            Verdict(-float(prompt.audio[0])) if prompt.audio is not None else failed("has no audio")
            for prompt in prompts
        ]


def test_audio_is_read_for_rewards_that_hear_the_prompt_and_for_no_others(
    tmp_path: Path, monkeypatch
) -> None:
    unsupported = replace(REWARDS["unsupported"], function=Attentive)
    monkeypatch.setitem(REWARDS, "unsupported", unsupported)
    pool = write_pool(tmp_path / "data")
    read: list[str] = []

    def reading(cut):
        read.append(cut.id)
        return to_prompt(cut)

    monkeypatch.setattr(utterances, "to_prompt", reading)
    Chooser()(rules(), pool, tmp_path / "out")
    assert read == []
    terms = {"rewards": {"terms": [{"name": "unsupported"}]}}
    found = Chooser()(rules(**terms), pool, tmp_path / "out")
    assert read == [f"clip-{index}" for index in range(SIZE)]
    assert [one.reward_mean for one in found.utterances] == [
        pytest.approx(-0.02 * (index + 1), abs=1e-4) for index in range(SIZE)
    ]


class Echo:
    """A judge that knows what was said from the level of the sound."""

    def __init__(self, wrong: str = "") -> None:
        self.wrong = wrong
        self.clips = 0

    def transcribe(self, clips):
        self.clips += len(clips)
        return [self.wrong or text(round(float(audio[0]) / 0.02) - 1) for audio, _ in clips]


def test_judges_are_asked_once_and_label_a_pool_without_labels(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data", labelled=False)
    heard = [{"id": f"clip-{index}", "hypothesis": text(index)} for index in range(SIZE - 2)]
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_text("".join(json.dumps(row) + "\n" for row in heard))
    judges = {"recognisers": [{"name": "echo"}], "hypotheses": {"elsewhere": str(elsewhere)}}
    config = rules(judges=judges, labels="judges")
    echo = Echo()
    found = Chooser()(config, pool, tmp_path / "out", load_judge=lambda name, **options: echo)
    assert echo.clips == SIZE
    Chooser()(config, pool, tmp_path / "out", load_judge=lambda name, **options: pytest.fail("asked again"))
    other = rules(judges=judges | {"window": "short"}, labels="judges")
    Chooser()(other, pool, tmp_path / "out", load_judge=lambda name, **options: echo)
    assert echo.clips == 2 * SIZE
    assert {one.verdict for one in found.utterances} <= {"hard", "easy", "unjudged"}
    assert sorted(found.dropped.values()) == ["no_reference"] * 2
    cuts = read_manifest(tmp_path / "out" / "subsets" / "every.jsonl")
    assert {cut.id: to_prompt(cut).text for cut in cuts} == {row["id"]: row["hypothesis"] for row in heard}


def test_a_pool_without_labels_is_refused_where_labels_are_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="text"):
        Chooser()(rules(), write_pool(tmp_path / "data", labelled=False), tmp_path / "out")


def test_a_suspect_label_is_excluded_by_a_rule(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    pool.write_text(pool.read_text().replace(text(5), "moon sun dog"))
    judges = {"recognisers": [{"name": "one"}, {"name": "two"}]}
    exclude = {"suspect": {"verdict": ["label_suspect"]}}
    config = rules(judges=judges, exclude=exclude)
    found = Chooser()(config, pool, tmp_path / "out", load_judge=lambda name, **options: Echo())
    named = {one.key: one.id for one in found.utterances}
    assert {named[key]: reason for key, reason in found.dropped.items()} == {"clip-5": "suspect"}
    assert found.card["verdicts"]["label_suspect"] == 1


def test_a_judge_that_is_missing_is_told_before_anything_is_decoded(tmp_path: Path) -> None:
    def load(name: str, **options: object) -> Echo:
        raise MissingExtraError(f"{name} is not installed")

    chooser = Chooser()
    judges = {"recognisers": [{"name": "far away"}]}
    with pytest.raises(MissingExtraError, match="far away"):
        chooser(rules(judges=judges), write_pool(tmp_path / "data"), tmp_path / "out", load_judge=load)
    assert chooser.model.encoded == []


def test_a_judge_listens_only_in_its_languages_and_twice_is_refused(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    judges = {"recognisers": [{"name": "one", "languages": ["de"]}]}
    found = Chooser()(
        rules(judges=judges), pool, tmp_path / "out", load_judge=lambda *a, **o: pytest.fail("asked")
    )
    assert {one.verdict for one in found.utterances} == {"unjudged"}
    twice = {"recognisers": [{"name": "one"}, {"name": "one"}]}
    with pytest.raises(ConfigError, match="twice"):
        Chooser()(rules(judges=twice), pool, tmp_path / "out")


def test_the_card_adds_up(tmp_path: Path) -> None:
    config = rules(mix={"shares": {"every": 0.5, "short": 0.5}}, max_per_text=1)
    pool = write_pool(tmp_path / "data")
    pool.write_text(pool.read_text().replace(text(9), text(8)))
    card = Chooser()(config, pool, tmp_path / "out").card
    assert card["pool"]["utterances"] == SIZE
    dropped = sum(row["utterances"] for row in card["dropped"].values())
    assert card["kept"]["utterances"] + dropped == SIZE
    assert card["dropped"]["same_text"]["utterances"] == 1
    assert sum(row["utterances"] for row in card["bands"]) == card["kept"]["utterances"]
    shown = (tmp_path / "out" / "card.md").read_text()
    pictures = {path.name for path in (tmp_path / "out" / "pictures").iterdir()}
    assert pictures == {name for name in pictures if f"(pictures/{name})" in shown}
    assert "difficulty.svg" in pictures


def test_where_nothing_was_held_out_the_card_says_so(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    never = write_pool(tmp_path / "held")
    never.write_text(never.read_text().splitlines()[0] + "\n")
    for named, says in (([], True), ([str(never)], False)):
        card = Chooser()(rules(never=named), pool, tmp_path / "out").card
        shown = (tmp_path / "out" / "card.md").read_text()
        assert ("Nothing was held out" in shown, "Held out: `" in shown) == (says, not says)
        assert any("nothing was held out" in line and "--never" in line for line in _told(card)) == says


def test_a_run_trains_on_a_subset_with_its_contexts_in_order_of_difficulty(
    tmp_path: Path, monkeypatch
) -> None:
    pool, chooser = write_pool(tmp_path / "data"), Chooser()
    found = chooser(rules(), pool, tmp_path / "out")
    contexts = tmp_path / "out" / "contexts"
    model = Counting()
    monkeypatch.setattr(run, "load_model", lambda path: model)
    data = {
        "train": str(tmp_path / "out" / "subsets" / "every.jsonl"),
        "batch_size": 2,
        "contexts": str(contexts),
        "curriculum": {"order": "easy_first", "bands": 7, "refresh": True},
    }
    seen: list[str] = []
    draw = run.StreamSource.draw

    def watched(self, count):
        prompts = draw(self, count)
        seen.extend(prompt.id for prompt in prompts)
        return prompts

    monkeypatch.setattr(run.StreamSource, "draw", watched)
    run.train(toy_config(tmp_path, data=data, train__steps=7, evaluation={"sets": {}}))
    assert model.encoded == []
    difficulty = {one.id: one.difficulty for one in found.utterances}
    drawn = [difficulty[name] for name in seen]
    assert sorted(seen) == sorted(difficulty)
    assert np.mean(drawn[:7]) < np.mean(drawn[7:])
