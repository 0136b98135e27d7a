"""Rates, intervals and the comparison of hand-made rows."""

import json
import random
from dataclasses import replace

import pytest

from speechrl.errors import DataError
from speechrl.evaluate.bootstrap import paired_difference
from speechrl.evaluate.results import Evaluation, assemble, read_evaluation
from speechrl.evaluate.tts_results import Heard, SpokenRow, SpokenSet


def heard(substitutions=0, deletions=0, insertions=0, words=10, character_errors=0, characters=40):
    return Heard("text", substitutions, deletions, insertions, words, character_errors, characters)


def row(name="a", seed=1, **changes):
    made = SpokenRow(
        id=name,
        seed=seed,
        language="en",
        text="a sentence",
        voice="00000000",
        judges={"one": heard(), "two": heard()},
        similarity=0.9,
        quality=4.0,
        dnsmos=None,
        log_f0_std=0.2,
        speaking_rate=15.0,
        duration_s=2.0,
        tokens=40,
        characters=10,
        no_stop=False,
        token_ids=(1, 2, 3),
        problems={},
    )
    return replace(made, **changes)


def test_rates_are_ratios_of_sums_and_means_are_over_what_is_known():
    found = SpokenSet(
        (
            row("a", judges={"one": heard(1, 0, 0, words=1), "two": None}, quality=3.0),
            row("b", judges={"one": heard(0, 1, 1, words=9), "two": heard(3)}, quality=None, no_stop=True),
            row("c", judges={"one": heard(0, 0, 0, words=10), "two": heard(1)}, tokens=100, characters=40),
        )
    )
    numbers = found.to_json(resamples=200)
    assert numbers["judge_wer"] == pytest.approx(3 / 20)
    assert numbers["judges"]["one"]["wer"] == numbers["judge_wer"]
    assert numbers["judges"]["two"]["wer"] == pytest.approx(4 / 20)  # the failed one is in neither sum
    assert [numbers[key] for key in ("substitutions", "deletions", "insertions", "words")] == [1, 1, 1, 20]
    assert numbers["quality"] == pytest.approx(3.5)
    assert numbers["tokens_per_char"] == pytest.approx(180 / 60)
    assert numbers["no_stop_rate"] == pytest.approx(1 / 3)
    assert numbers["dnsmos"] is None
    assert numbers["dnsmos_low"] is None
    assert numbers["judge_wer_low"] <= numbers["judge_wer"] <= numbers["judge_wer_high"]
    assert (numbers["sentences"], numbers["utterances"]) == (3, 3)
    json.dumps(numbers, allow_nan=False)


def test_silence_is_counted_whether_there_is_no_sound_or_nothing_sounds():
    short = row("a", duration_s=0.08, similarity=None, speaking_rate=90.0)
    nothing = row("b", duration_s=2.0, speaking_rate=None)
    numbers = SpokenSet((short, nothing, row("c"), row("d", duration_s=0.1))).to_json(resamples=50)
    assert numbers["silent_rate"] == pytest.approx(2 / 4)
    assert numbers["similarity"] == pytest.approx(0.9)  # of the others


def test_renderings_of_a_sentence_are_drawn_together():
    # Two seeds that agree entirely say no more than one: the interval must not shrink.
    generator = random.Random(0)
    once = [row(str(i), judges={"one": heard(generator.randint(0, 4))}) for i in range(60)]
    twice = [*once, *(replace(item, seed=2) for item in once)]
    first, second = (SpokenSet(tuple(rows)).to_json(resamples=400) for rows in (once, twice))
    for key in ("judge_wer", "judge_wer_low", "judge_wer_high"):
        assert second[key] == pytest.approx(first[key])
    assert (second["sentences"], second["utterances"]) == (60, 120)


def test_the_comparison_pairs_sentence_and_seed():
    before = SpokenSet(
        tuple(
            row(f"s{i}", seed, judges={"one": heard(2), "two": heard(4)})
            for i in range(30)
            for seed in (1, 2)
        )
    )
    after = SpokenSet(
        tuple(
            row(
                f"s{i}",
                seed,
                judges={"one": heard(1), "two": heard(4)},
                similarity=0.89,
                tokens=42,
                no_stop=i < 3,
            )
            for i in range(30)
            for seed in (2, 1)
        )
    )
    change = after.since(before, 300, 1)
    assert change is not None
    assert (change["measure"], change["relative_change"]) == ("judge_wer", pytest.approx(-0.5))
    assert change["low"] == change["high"] == pytest.approx(-0.5)
    assert change["p"] < 0.01
    assert change["judges"]["two"]["relative_change"] == 0.0
    assert change["judges"]["two"]["p"] == 1.0
    assert change["length_ratio"]["ratio"] == pytest.approx(1.05)
    assert change["differences"]["similarity"]["difference"] == pytest.approx(-0.01)
    assert change["differences"]["no_stop_rate"]["difference"] == pytest.approx(0.1)
    assert change["differences"]["tokens_per_char"]["difference"] == pytest.approx(0.2)
    assert change["differences"]["quality"]["p"] == 1.0
    assert "dnsmos" not in change["differences"]  # nobody measured it


def test_a_rendering_that_failed_once_is_left_out_on_both_sides():
    before = SpokenSet((row("a", judges={"one": heard(5)}), row("b", judges={"one": None})))
    after = SpokenSet((row("a", judges={"one": heard(5)}), row("b", judges={"one": heard(9)})))
    change = after.since(before, 100, 1)
    assert change is not None
    assert change["relative_change"] == 0.0


def test_nothing_in_common_is_no_comparison():
    assert SpokenSet((row("a"),)).since(SpokenSet((row("b"),)), 100, 1) is None
    alone = assemble(None, Evaluation({"test": SpokenSet((row("a"),))}, {"test": 1.0}))
    assert alone["paired"] == {}


def test_evaluation_json_has_the_promised_shape():
    before, after = (
        Evaluation(
            {"test": SpokenSet((row("a"), row("b", judges={"one": heard(n), "two": heard()})))}, {"test": 1.0}
        )
        for n in (4, 2)
    )
    content = assemble(before, after, resamples=100)
    promised = {"judge_wer", "similarity", "quality", "tokens_per_char", "no_stop_rate", "log_f0_std"}
    assert promised <= content["before"]["test"].keys()
    assert set(SpokenSet.CURVES) <= content["after"]["test"].keys()
    assert {"relative_change", "low", "high", "p", "measure"} <= content["paired"]["test"].keys()
    assert content["paired"]["test"]["relative_change"] == pytest.approx(-0.5)
    json.dumps(content, allow_nan=False)


def test_rows_survive_their_file(tmp_path):
    written = Evaluation(
        {
            "test": SpokenSet(
                (row("a", judges={"one": None, "two": heard()}, problems={"one": "hung"}), row("b"))
            )
        },
        {"test": 2.5},
    )
    written.write(tmp_path)
    assert read_evaluation(tmp_path) == written
    (tmp_path / "test.jsonl").write_text('{"judges": {}}\n')
    with pytest.raises(DataError, match="not a whole evaluation"):
        read_evaluation(tmp_path)


def test_a_difference_of_means_by_hand():
    got = paired_difference([1.0, 2.0, 3.0], [2.0, 2.0, 4.0], [1, 1, 2], resamples=500)
    assert got is not None
    assert got.difference == pytest.approx(2 / 4)
    assert got.low <= got.difference <= got.high
    assert paired_difference([1.0], [2.0], [0]) is None
    same = paired_difference([0.3, 0.1], [0.3, 0.1], [1, 1])
    assert same is not None
    assert (same.difference, same.p) == (0.0, 1.0)


def test_a_difference_has_the_spread_of_its_pairs():
    generator = random.Random(1)
    before = [generator.gauss(0, 10) for _ in range(300)]
    after = [value + generator.gauss(0.5, 1) for value in before]
    got = paired_difference(before, after, [1] * 300, resamples=2000)
    assert got is not None
    assert got.p < 0.01  # unpaired, a difference of .5 would be lost in a spread of 10
    assert (got.high - got.low) / 2 == pytest.approx(1.96 / 300**0.5, rel=0.15)
