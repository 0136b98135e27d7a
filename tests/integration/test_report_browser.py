"""The reports of both tasks in a real browser: they open from disk, ask no network for anything, and play."""

import pytest
from browser import fresh_page, open_browser
from report_fixture import make_run
from speech_report_fixture import make_speech_run

from speechrl.report.page import write_report


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {
        "asr": write_report(make_run(folder / "heard", steps=30, utterances=24)),
        "tts": write_report(make_speech_run(folder / "spoken", steps=12, sentences=8)),
    }


@pytest.fixture(scope="module")
def browser():
    yield from open_browser()


@pytest.fixture(params=["asr", "tts"])
def report(request, reports):
    return reports[request.param]


@pytest.fixture
def opened(browser, report):
    yield from fresh_page(browser, report)


@pytest.fixture
def heard(browser, reports):
    yield from fresh_page(browser, reports["asr"])


@pytest.fixture
def spoken(browser, reports):
    yield from fresh_page(browser, reports["tts"])


def test_it_opens_without_complaint_and_without_a_network(opened, report):
    opened.wait_for_function("[...document.querySelectorAll('audio')].some(a => a.readyState > 0)")
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [report.as_uri()]
    assert opened.title() == f"{report.parent.name} · speechrl"


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_no_width_scrolls_sideways(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints(opened, tmp_path):
    opened.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000


def test_a_sound_plays(heard):
    played = heard.evaluate(
        """async () => {
            const audio = document.querySelector('audio');
            await audio.play();
            await new Promise(done => audio.addEventListener('timeupdate', done, {once: true}));
            return {duration: audio.duration, time: audio.currentTime, error: audio.error};
        }"""
    )
    assert played["error"] is None
    assert played["duration"] > 0.4
    assert heard.complaints == []


def test_pointing_at_a_curve_reads_its_value(heard):
    figure = heard.locator("figure.chart").first
    assert figure.locator(".at").inner_text() == "step 30"
    last = figure.locator("[data-values]").first.inner_text()
    figure.locator("svg").scroll_into_view_if_needed()
    box = figure.locator("svg").bounding_box()
    heard.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    assert figure.locator(".at").inner_text() == "step 1"
    assert figure.locator("[data-values]").first.inner_text() != last
    heard.mouse.move(0, 0)
    assert figure.locator(".at").inner_text() == "step 30"
    figure.locator("svg").focus()
    heard.keyboard.press("ArrowLeft")
    assert figure.locator(".at").inner_text() == "step 29"


def test_the_theme_button_changes_the_colours(heard):
    paper = "getComputedStyle(document.body).backgroundColor"
    before = heard.evaluate(paper)
    heard.click("#theme")
    assert heard.evaluate(paper) != before


def test_before_and_after_play_and_one_silences_the_other(spoken):
    heard = spoken.evaluate(
        """async () => {
            const [before, after] = document.querySelectorAll('#utterances .sides')[0].querySelectorAll('audio');
            const found = [];
            for (const audio of [before, after]) {
                await audio.play();
                await new Promise(done => audio.addEventListener('timeupdate', done, {once: true}));
                found.push({duration: audio.duration, error: audio.error});
            }
            return {found, firstIsSilent: before.paused};
        }"""
    )
    assert [part["error"] for part in heard["found"]] == [None, None]
    assert all(part["duration"] > 0.3 for part in heard["found"])
    assert heard["firstIsSilent"]
    assert spoken.complaints == []


def test_every_sound_can_be_loaded(spoken):
    durations = spoken.evaluate(
        """async () => Promise.all([...document.querySelectorAll('audio')].map(audio => new Promise(done => {
            audio.addEventListener('error', () => done(0));
            if (audio.readyState > 0) done(audio.duration);
            else { audio.addEventListener('loadedmetadata', () => done(audio.duration)); audio.load(); }
        })))"""
    )
    assert len(durations) > 20
    assert all(duration > 0.1 for duration in durations)


def test_pictures_are_drawn_side_by_side_on_one_scale_of_time(spoken):
    spoken.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    sizes = spoken.evaluate(
        """() => [...document.querySelectorAll('#utterances .side')].map(side => {
            const image = side.querySelector('img'), audio = side.querySelector('audio');
            const width = image.complete ? image.naturalWidth : 0;
            return {width, box: side.getBoundingClientRect(), duration: audio.duration};
        })"""
    )
    assert all(size["width"] for size in sizes)
    before, after = sizes[:2]
    assert before["box"]["top"] == after["box"]["top"]
    assert before["box"]["left"] < after["box"]["left"]
    known = [size for size in sizes if size["duration"]]
    assert all(size["width"] == pytest.approx(100 * size["duration"], rel=0.02, abs=3) for size in known)
