"""The report of a synthesiser: its sounds, its curves and its verdict."""

import json
import random
import re
import shutil

import pytest
import soundfile as sf
from speech_report_fixture import RATE_HZ, hum, make_speech_run, render, reward, say, speech_config, voiced

from speechrl.report import listening
from speechrl.report.held_out import evaluation_audio_name, keep_evaluation_audio, most_changed, unchosen
from speechrl.report.measures import what_else_changed
from speechrl.report.metrics import make_row, step_metrics
from speechrl.report.page import write_report
from speechrl.report.panels import draw
from speechrl.report.run_writer import RunWriter
from speechrl.report.samples import HEARD_GROUPS
from speechrl.report.verdict import verdicts
from speechrl.report.writers import read_rows
from speechrl.types import Ending, Output, Score, StepReport


def step(listens=True, sound=True, groups=8, size=3):
    generator = random.Random(1)
    prompts = [voiced(f"p{index}", index) for index in range(groups)]
    outputs = [[say(item, generator, sound=sound) for _ in range(size)] for item in prompts]
    scores = [[reward(item, generator, 0.5, listens=listens) for _ in range(size)] for item in prompts]
    return prompts, outputs, scores


def log(folder, parts, **options):
    with RunWriter(folder, speech_config(folder, 1), **options) as writer:
        writer.log(make_row(1, *parts, StepReport({}), {}, {}), *parts)
    return read_rows(folder / "samples" / "step_000001.jsonl")


def sounds_of(rows):
    return [
        (row["id"], place, item["audio"])
        for row in rows
        for place, item in enumerate(row["rollouts"])
        if "audio" in item
    ]


def test_best_and_worst_of_the_groups_that_differ_most_are_kept_as_sound(tmp_path):
    prompts, outputs, scores = step()
    rows = log(tmp_path, (prompts, outputs, scores))
    kept = sounds_of(rows)
    assert len(kept) == 2 * HEARD_GROUPS
    spreads = {
        item.id: max(s.total for s in group) - min(s.total for s in group)
        for item, group in zip(prompts, scores, strict=True)
    }
    assert {name for name, _, _ in kept} == set(
        sorted(spreads, key=lambda name: -spreads[name])[:HEARD_GROUPS]
    )
    for name, place, path in kept:
        index = int(name[1:])
        totals = [score.total for score in scores[index]]
        assert totals[place] in (min(totals), max(totals))
        samples, rate = sf.read(tmp_path / path)
        assert rate == RATE_HZ
        assert len(samples) == len(outputs[index][place].waveform)


def test_where_no_reward_listens_the_few_that_are_kept_are_made_into_sound(tmp_path):
    asked = []

    def counting(prompts, outputs):
        asked.append(len(outputs))
        return render(prompts, outputs)

    parts = step(listens=False, sound=False)
    rows = log(tmp_path / "heard", parts, render=counting)
    assert asked == [2 * HEARD_GROUPS]
    assert all((tmp_path / "heard" / path).is_file() for _, _, path in sounds_of(rows))
    assert sounds_of(log(tmp_path / "silent", parts)) == []


def test_what_the_reward_heard_is_the_hypothesis(tmp_path):
    parts = step()
    rows = log(tmp_path / "a", parts)
    assert [item["hypothesis"] for item in rows[0]["rollouts"]] == [score.heard for score in parts[2][0]]
    silent = log(tmp_path / "b", step(listens=False))
    assert {item["hypothesis"] for row in silent for item in row["rollouts"]} == {None}


def test_silence_that_was_heard_is_not_the_same_as_nobody_listening(tmp_path):
    prompts, outputs, _ = step(groups=1, size=2)
    scores = [[Score(1.0, {}, heard="hello"), Score(0.0, {}, heard="")]]
    (row,) = log(tmp_path, (prompts, outputs, scores))
    assert [item["hypothesis"] for item in row["rollouts"]] == ["hello", ""]


def test_resuming_forgets_the_sounds_of_steps_that_come_again(speech_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(speech_dir, copy)
    sounds = copy / "audio" / "rollouts"
    (copy / "samples" / "step_000010.jsonl").unlink()  # a kill between its sounds and its rows
    assert {path.name for path in sounds.iterdir()} == {"step_000001", "step_000010", "step_000012"}
    RunWriter(copy, speech_config(copy, 12), resume_step=9).close()
    assert {path.name for path in sounds.iterdir()} == {"step_000001"}


def test_tensorboard_hears_best_and_worst(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = speech_config(tmp_path, 1)
    config = config.model_copy(update={"report": config.report.model_copy(update={"tensorboard": True})})
    with RunWriter(tmp_path, config) as writer:
        parts = step(groups=2)
        writer.log(make_row(1, *parts, StepReport({}), {}, {}), *parts)
    tags = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Tags()["audio"]
    assert sorted(tags) == ["best/0", "best/1", "worst/0", "worst/1"]


def test_a_voice_is_kept_once_however_many_prompts_have_it(speech_dir):
    voices = {row["audio"] for path in (speech_dir / "samples").iterdir() for row in read_rows(path)}
    assert len(voices) <= 3
    assert all((speech_dir / voice).is_file() for voice in voices)


def test_tokens_per_character_is_a_ratio_of_sums():
    prompts = [voiced("a", 9), voiced("b", 0)]
    outputs = [[Output("", Ending.STOP, 70)], [Output("", Ending.LENGTH, 7)]]
    row = step_metrics(prompts, outputs, [[Score(0, {})], [Score(0, {})]])
    assert row["tokens_per_char"] == pytest.approx(77 / (len("goodbye") + len(prompts[1].text)))
    assert row["length_cut_share"] == 0.5


def test_the_same_sentences_are_kept_before_and_after(speech_dir):
    improved, worsened = most_changed(speech_dir, "test")
    pairs = improved + worsened + unchosen(speech_dir, "test")
    assert pairs
    for before, after in pairs:
        assert (before["id"], before["seed"]) == (after["id"], after["seed"])
        for moment, row in (("before", before), ("after", after)):
            samples, rate = sf.read(speech_dir / evaluation_audio_name("test", row, moment))
            assert len(samples) / rate == pytest.approx(row["duration_s"], abs=1e-3)
    kept = list((speech_dir / "audio" / "evaluation").rglob("*.flac"))
    rows = sum(len(read_rows(path)) for path in (speech_dir / "evaluation").rglob("*.jsonl"))
    assert len(kept) <= rows


def test_a_run_that_ends_again_is_heard_as_it_speaks_now(speech_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(speech_dir, copy)
    path = copy / "evaluation" / "after" / "test.jsonl"
    rows = [row | {"token_ids": row["token_ids"][:5]} for row in read_rows(path)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = {"test": [voiced(row["id"], 0) for row in rows]}

    def frames():
        return [
            [sf.info(copy / evaluation_audio_name("test", row, moment)).frames for row in shown]
            for moment, shown in zip(
                ("before", "after"), zip(*unchosen(copy, "test"), strict=True), strict=True
            )
        ]

    before, after = frames()
    keep_evaluation_audio(copy, sets)
    assert frames() == [before, after]
    keep_evaluation_audio(copy, sets, render)
    assert frames() == [before, [len(hum([0] * 5))] * len(after)]


def test_the_unchosen_are_spread_over_the_set_and_do_not_look_at_errors(speech_dir):
    rows = read_rows(speech_dir / "evaluation" / "after" / "test.jsonl")
    places = [rows.index(after) for _, after in unchosen(speech_dir, "test")]
    assert places == [2, 7, 12, 17]  # the middles of four quarters of 20 renderings


def test_rows_that_the_judge_failed_on_are_not_shown(speech_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(speech_dir, copy)
    path = copy / "evaluation" / "after" / "test.jsonl"
    rows = read_rows(path)
    for row in rows[1:]:
        row["judges"]["whisper-tiny.en"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    improved, worsened = most_changed(copy, "test")
    assert {after["id"] for _, after in improved + worsened} <= {rows[0]["id"]}
    keep_evaluation_audio(copy, {"test": [voiced(row["id"], 0) for row in rows[:10]]}, render)
    write_report(copy)


@pytest.fixture(scope="module")
def page(speech_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp("page") / "my-voice"
    shutil.copytree(speech_dir, copy)
    return write_report(copy).read_text()


def test_every_shown_sentence_tells_what_the_rewards_made_of_it(page, speech_dir):
    rewards = json.loads((speech_dir / "evaluation" / "rewards.json").read_text())
    shown = [moments for places in rewards.values() for moments in places.values()]
    # What failed is left out, and so is what compares the outputs of a group, which these two are not.
    assert {"before": {"token_accuracy": 0.25}} in shown
    assert {"before": {"token_accuracy": 0.25}, "after": {"token_accuracy": 0.75}} in shown
    for moment, value in (("before", "+0.25"), ("after", "+0.75")):
        told = page.count(f"reward: token_accuracy {value}")
        assert told >= sum(moment in moments for moments in shown) > 0


def test_every_shown_sentence_has_two_players_and_two_pictures(page):
    cards = re.findall(r'<article class="card">.*?</article>', page[page.index('id="utterances"') :], re.S)
    assert len(cards) >= 8
    for card in cards:
        assert card.count("<audio") == 2
        assert card.count('src="data:image/png;base64,') == 2
        assert "reference voice" in card


def test_reference_voices_are_on_the_page_once(page):
    assert len(re.findall(r'<figure id="voice-\d+">', page)) == 3
    links = set(re.findall(r'href="#(voice-\d+)"', page))
    assert links <= {"voice-1", "voice-2", "voice-3"}


def test_the_page_speaks_of_synthesis(page):
    assert "speech synthesis" in page
    assert "word error rate heard by whisper-tiny.en" in page
    assert "What else changed on test" in page
    assert "same sentence" in page


def test_a_run_without_sound_or_transcripts_has_a_page(tmp_path):
    folder = make_speech_run(tmp_path / "quiet", steps=2, sentences=3, listens=False)
    shutil.rmtree(folder / "audio")
    text = write_report(folder).read_text()
    assert "not transcribed" in text
    assert "<audio" not in text


def test_curves_of_hacking(speech_dir):
    titles = [chart.title for chart in draw(read_rows(speech_dir / "metrics.jsonl"))]
    wanted = {
        "Held-out error rate by the judge",
        "Held-out similarity",
        "Held-out quality",
        "Held-out speaking time",
        "Held-out missing stops",
        "Held-out liveliness",
        "Held-out speaking rate",
        "Reward against judge",
        "Speaking time",
    }
    assert wanted <= set(titles)
    assert len(titles) == len(set(titles))


def test_a_single_evaluation_is_a_dot(speech_dir):
    rows = read_rows(speech_dir / "metrics.jsonl")
    (chart,) = [chart for chart in draw(rows) if chart.title == "Held-out quality"]
    assert chart.steps == (10,)
    assert chart.lines[0].path.endswith("h0")


def test_evaluations_before_and_after_are_points_of_their_curves_where_there_are_none_between():
    rows = [{"step": step, "token_cer": 0.2 - 0.01 * step, "wer": None} for step in range(1, 6)]
    evaluation = {
        "before": {"test": {"quality": 3.5, "judge_cer": 0.25, "judges": {}}},
        "after": {"test": {"quality": 3.75, "judge_cer": 0.2, "similarity": None}, "hard": {"quality": 3.0}},
    }
    charts = {chart.title: chart for chart in draw(rows, evaluation)}
    assert charts.keys() == {"Held-out quality", "Reward against judge", "Token2Text on rollouts"}
    quality, gap = charts["Held-out quality"], charts["Reward against judge"]
    assert quality.steps == gap.steps == (0, 5)
    assert {line.name: line.labels for line in quality.lines} == {"test": ("3.5", "3.75"), "hard": ("–", "3")}
    assert {line.name: line.labels for line in gap.lines} == {
        "Token2Text": ("19%", "15%"),  # before any update is what the first step sampled
        "judge, test": ("25%", "20%"),
    }
    assert charts["Token2Text on rollouts"].steps == (1, 2, 3, 4, 5)
    assert [chart.title for chart in draw(rows)] == ["Token2Text on rollouts"]
    assert draw([], evaluation) == []


def test_the_verdict_is_the_first_judges_and_the_rest_stands_beside(speech_dir):
    found = verdicts(json.loads((speech_dir / "evaluation.json").read_text()))
    assert [item.name for item in found] == ["test", "hard"]
    assert found[0].judgement == "better"
    names = [row.name for row in found[0].beside]
    assert names[0] == "word error rate heard by moonshine-tiny"
    assert {"similarity to the reference voice", "quality, DistillMOS", "spread of log F0"} <= set(names)
    assert not any(name.endswith(("_low", "_high")) for name, _, _ in found[0].details)


def test_differences_are_written_for_people():
    paired = {
        "length_ratio": {"ratio": 1.0312, "low": 1.02, "high": 1.04, "p": 0.001},
        "differences": {"no_stop_rate": {"difference": -0.015, "low": -0.03, "high": 0.0, "p": 0.2}},
    }
    length, stops = what_else_changed({"no_stop_rate": 0.02}, {"no_stop_rate": 0.005}, paired)
    assert (length.change, length.interval, length.clear) == ("1.031", "1.020 to 1.040", True)
    assert (stops.before, stops.after, stops.change) == ("2.0%", "0.5%", "−1.5 pp")
    assert stops.interval == "−3.0 pp to +0.0 pp"
    assert not stops.clear
    assert what_else_changed({}, {}, {}) == ()


def test_clips_that_do_not_fit_are_counted(speech_dir, monkeypatch):
    monkeypatch.setattr(listening, "AUDIO_BUDGET_BYTES", 1)
    shelf = listening.AudioShelf(speech_dir)
    listening.groups_by_step(speech_dir, shelf)
    assert shelf.left_out > 0
    assert shelf.voices == []


def test_silence_changed_only_where_there_was_any():
    moved = {"differences": {"silent_rate": {"difference": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}}}
    assert what_else_changed({"silent_rate": 0.0}, {"silent_rate": 0.0}, moved) == ()
    (row,) = what_else_changed({"silent_rate": 0.0}, {"silent_rate": 0.02}, moved)
    assert (row.name, row.after) == ("silent", "2.0%")
