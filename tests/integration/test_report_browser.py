"""The report in a real browser: it opens from disk, asks no network for anything, and plays."""

import pytest
from browser import fresh_page, open_browser
from report_fixture import make_run

from speechrl.report.page import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(make_run(tmp_path_factory.mktemp("runs") / "run", steps=30, utterances=24))


@pytest.fixture(scope="module")
def browser():
    yield from open_browser()


@pytest.fixture
def opened(browser, report):
    yield from fresh_page(browser, report)


def test_it_opens_without_complaint_and_without_a_network(opened, report):
    opened.wait_for_function("[...document.querySelectorAll('audio')].some(a => a.readyState > 0)")
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [report.as_uri()]
    assert opened.title() == "run · speechrl"


def test_a_sound_plays(opened):
    heard = opened.evaluate(
        """async () => {
            const audio = document.querySelector('audio');
            await audio.play();
            await new Promise(done => audio.addEventListener('timeupdate', done, {once: true}));
            return {duration: audio.duration, time: audio.currentTime, error: audio.error};
        }"""
    )
    assert heard["error"] is None
    assert heard["duration"] > 0.4
    assert opened.complaints == []


def test_pointing_at_a_curve_reads_its_value(opened):
    figure = opened.locator("figure.chart").first
    assert figure.locator(".at").inner_text() == "step 30"
    last = figure.locator("[data-values]").first.inner_text()
    figure.locator("svg").scroll_into_view_if_needed()
    box = figure.locator("svg").bounding_box()
    opened.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] / 2)
    assert figure.locator(".at").inner_text() == "step 1"
    assert figure.locator("[data-values]").first.inner_text() != last
    opened.mouse.move(0, 0)
    assert figure.locator(".at").inner_text() == "step 30"
    figure.locator("svg").focus()
    opened.keyboard.press("ArrowLeft")
    assert figure.locator(".at").inner_text() == "step 29"


def test_the_theme_button_changes_the_colours(opened):
    paper = "getComputedStyle(document.body).backgroundColor"
    before = opened.evaluate(paper)
    opened.click("#theme")
    assert opened.evaluate(paper) != before


@pytest.mark.parametrize("width", [390, 768, 1400])
def test_no_width_scrolls_sideways(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    opened.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints(opened, tmp_path):
    opened.pdf(path=tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 20_000
