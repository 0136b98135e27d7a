"""The page and its parts, without a browser."""

import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from speechrl.errors import DataError
from speechrl.report import charts, diffs
from speechrl.report.page import write_report
from speechrl.report.timeline import duration
from speechrl.report.verdict import headline, verdicts


class Outline(HTMLParser):
    """Tags with their attributes, and whether every tag is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(run_dir, tmp_path_factory):
    copy = tmp_path_factory.mktemp("page") / "my-run"
    shutil.copytree(run_dir, copy)
    return write_report(copy).read_text()


def test_the_page_is_whole_and_stands_alone(page):
    outline = Outline(page)
    assert outline.open == []
    addresses = [value for _, attrs in outline.tags for key, value in attrs.items() if key in ("src", "href")]
    assert any(address.startswith("data:audio/flac;base64,") for address in addresses)
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"url\(|@import|https?://", page)


def test_every_section_is_there(page):
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["verdict", "alarms", "curves", "time", "rollouts", "utterances", "config"]
    assert "my-run" in page
    assert "errors on test, from" in page


def test_values_of_the_curves_can_be_read_by_the_script(page):
    values = [json.loads(attrs["data-values"]) for _, attrs in Outline(page).tags if "data-values" in attrs]
    assert len(values) >= 8
    assert {len(line) for line in values} == {24, 2}  # steps; evaluations before and after them


def test_an_unfinished_run_has_a_page(tmp_path, make):
    folder = make["make_run"](tmp_path / "half", steps=6, finished=False)
    text = write_report(folder).read_text()
    assert "step 3 of 6, not evaluated yet" in text
    assert 'id="verdict"' not in text
    assert 'id="curves"' in text


def test_a_run_before_its_first_step_has_a_page(tmp_path, make):
    folder = make["make_run"](tmp_path / "none", steps=1, finished=False)
    assert "step 0 of 1" in write_report(folder).read_text()


def test_what_users_wrote_cannot_become_markup(run_dir, tmp_path):
    copy = tmp_path / "<b>run"
    shutil.copytree(run_dir, copy)
    sample = next((copy / "samples").iterdir())
    row = json.loads(sample.read_text().splitlines()[0]) | {
        "id": "<script>alert(1)</script>",
        "reference": "<i>hi</i>",
    }
    for path in (copy / "samples").iterdir():
        path.write_text(json.dumps(row) + "\n")
    text = write_report(copy).read_text()
    assert "<script>alert" not in text
    assert "<i>hi" not in text
    assert "<b>run" not in text


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"config\.yaml is missing"):
        write_report(tmp_path)


def test_broken_json_is_named(run_dir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "evaluation.json").write_text("{")
    with pytest.raises(DataError, match=r"evaluation\.json"):
        write_report(copy)


def cells(reference, hypothesis, language="en"):
    return [(cell.kind, cell.said, cell.heard) for cell in diffs.read(reference, hypothesis, language).cells]


def test_a_reading_line_shows_each_kind_of_edit():
    assert cells("Press the pound key", "press a pound key again") == [
        ("equal", "press", "press"),
        ("substitute", "the", "a"),
        ("equal", "pound key", "pound key"),
        ("insert", "", "again"),
    ]
    assert cells("stop now", "stop") == [("equal", "stop", "stop"), ("delete", "now", "")]
    assert cells("今天好", "今日好", "zh") == [
        ("equal", "今", "今"),
        ("substitute", "天", "日"),
        ("equal", "好", "好"),
    ]


def test_a_reading_line_says_its_errors():
    assert diffs.read("yes", "yes", "en").described == "no errors"
    assert diffs.read("press the key", "press a key", "en").described == "1 error in 3 words"
    assert diffs.read("", "", "en").described == "silence kept"
    assert diffs.read("", "thank you", "en").described == "2 words out of nothing"


def numbers(wer, **more):
    return {
        "wer": wer,
        "wer_low": wer - 0.02,
        "wer_high": wer + 0.02,
        "words": 100,
        "utterances": 10,
        "unit": "word",
    } | more


@pytest.mark.parametrize(
    ("change", "low", "high", "p", "judgement", "sentence"),
    [
        (-0.36, -0.5, -0.2, 0.001, "better", "Better: 36% fewer errors"),
        (0.10, 0.02, 0.2, 0.02, "worse", "Worse: 10% more errors"),
        (-0.05, -0.2, 0.1, 0.4, "unclear", "No clear change in errors"),
        (0.0, 0.0, 0.0, 1.0, "same", "No change in errors"),
        (None, None, None, 0.001, "worse", "Worse: more errors"),
    ],
)
def test_verdicts_in_plain_words(change, low, high, p, judgement, sentence):
    paired = {"test": {"relative_change": change, "low": low, "high": high, "p": p}}
    (found,) = verdicts({"before": {"test": numbers(0.2)}, "after": {"test": numbers(0.1)}, "paired": paired})
    assert (found.judgement, found.sentence) == (judgement, sentence)
    assert headline([found]).endswith("from 20.0% to 10.0% word error rate.")


def test_a_set_of_silence_is_judged_by_its_answers():
    silent = {"wer": None, "words": 0, "utterances": 20, "non_empty_rate": 0.4, "insertions": 9}
    paired = {
        "silence": {"relative_change": -1.0, "low": -1.0, "high": -1.0, "p": 0.001, "measure": "insertions"}
    }
    (found,) = verdicts(
        {
            "before": {"silence": silent},
            "after": {"silence": silent | {"non_empty_rate": 0.0}},
            "paired": paired,
        }
    )
    assert found.before is not None
    assert found.before.text == "40.0%"
    assert found.sentence == "Better: 100% fewer words out of nothing"


def test_a_run_without_an_evaluation_before_is_not_compared():
    (found,) = verdicts({"before": {}, "after": {"test": numbers(0.1)}, "paired": {}})
    assert found.judgement == "unpaired"
    assert found.before is None
    assert verdicts({}) == []


def test_what_hardly_changes_is_drawn_flat() -> None:
    low, high = charts._range([0.87148, 0.87152])
    assert high - low == pytest.approx(0.08715, rel=1e-3)
    assert (low + high) / 2 == pytest.approx(0.8715)
    assert charts._range([0.0, 0.0]) == (-0.05, 0.05)
    assert charts._range([0.2, 0.9]) == (0.0, 0.9)


def test_ticks_of_a_narrow_range_are_told_apart() -> None:
    ticks = charts.nice_ticks(0.87148, 0.87152, 4)
    labels = charts.tick_labels(ticks)
    assert len(set(labels)) == len(ticks)
    assert [float(label) for label in labels] == pytest.approx(ticks, abs=1e-7)
    assert charts.tick_labels([0.0, 0.25, 0.5]) == ["0", "0.25", "0.5"]
    assert charts.tick_labels([0.0, 0.05], percent=True) == ["0%", "5%"]


def test_ticks_are_round_and_cover_the_range():
    assert charts.nice_ticks(0.0, 1.0, 4) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert charts.nice_ticks(1, 60, 5, whole=True) == [20, 40, 60]
    ticks = charts.nice_ticks(-0.013, 0.0071, 4)
    assert ticks[0] <= -0.013
    assert ticks[-1] >= 0.0071


def test_a_curve_spans_its_frame_and_lifts_its_pen_over_gaps():
    rows = [{"step": step, "kl": None if step == 3 else step / 10} for step in range(1, 6)]
    chart = charts.line_chart(rows, charts.Panel("KL", "", {"kl": "KL"}))
    assert chart is not None
    assert (chart.xs[0], chart.xs[-1]) == (chart.frame.left, chart.frame.width - chart.frame.right)
    path = chart.lines[0].path
    assert path.count("M") == 2
    heights = [float(word) for word in re.findall(r" (-?[\d.]+)", path)]
    assert heights == sorted(heights, reverse=True)
    assert all(chart.frame.top <= height <= chart.frame.height - chart.frame.bottom for height in heights)


def test_a_chart_of_nothing_is_none():
    assert charts.line_chart([], charts.Panel("KL", "", {"kl": "KL"})) is None
    assert charts.line_chart([{"step": 1, "kl": None}], charts.Panel("KL", "", {"kl": "KL"})) is None


def test_one_point_and_a_constant_can_be_drawn():
    for rows in ([{"step": 1, "kl": 0.0}], [{"step": step, "kl": 2.0} for step in (1, 2)]):
        assert charts.line_chart(rows, charts.Panel("KL", "", {"kl": "KL"})) is not None


def test_long_runs_are_merged():
    rows = [{"step": step, "kl": float(step)} for step in range(1, 1601)]
    chart = charts.line_chart(rows, charts.Panel("KL", "", {"kl": "KL"}))
    assert chart is not None
    assert len(chart.steps) == 400
    assert chart.steps[0] == 4
    assert chart.lines[0].labels[0] == "2.5"


def test_bars_stack_to_the_seconds_of_a_step():
    rows = [{"step": 1, "seconds/a": 1.0, "seconds/b": 3.0}]
    stack = charts.stage_stack(rows, ["a", "b"])
    assert stack is not None
    first, second = stack.bars
    assert second.height == pytest.approx(3 * first.height, abs=0.02)
    assert second.y + second.height == pytest.approx(first.y, abs=0.02)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1234, "0.123 s"), (61, "1 min 1 s"), (7500, "2 h 5 min"), (59.9, "59.9 s")]
)
def test_durations_for_people(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("text", ["", "- 1", "model: other", "task: asr\ntrain: 3\n"])
def test_the_configuration_of_another_program_is_refused(run_dir, tmp_path, text):
    copy = tmp_path / "run"
    shutil.copytree(run_dir, copy)
    (copy / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml: no configuration of a run"):
        write_report(copy)


def test_a_finished_run_without_sets_is_not_called_unfinished(tmp_path, make):
    folder = make["make_run"](tmp_path / "bare", steps=3, finished=False)
    (folder / "evaluation.json").write_text('{"before": null, "after": {}, "paired": {}}')
    assert "no set to evaluate on" in write_report(folder).read_text()
