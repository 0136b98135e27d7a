"""The report in a real browser: it opens from disk, asks no network for anything, and plays."""

import os
import runpy
import shutil
from pathlib import Path

import pytest

from speechrl.report.page import write_report

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    make = runpy.run_path(str(Path(__file__).parents[1] / "report_fixture.py"))
    return write_report(make["make_run"](tmp_path_factory.mktemp("runs") / "run", steps=30, utterances=24))


@pytest.fixture(scope="module")
def browser():
    in_ci = os.environ.get("CI") == "true"
    if CHROMIUM is None:
        reason = "no chromium on the PATH (apt-get install chromium)"
        pytest.fail(reason) if in_ci else pytest.skip(reason)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        reason = "playwright is not installed (pip install 'speechrl[test]')"
        pytest.fail(reason) if in_ci else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """The page, with what it complained about and what it asked for."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    page.close()


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
