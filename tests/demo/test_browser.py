"""The page in a real browser (Debian's chromium through playwright): what a visitor does and sees."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")
pytest.importorskip("plotly")
pytest.importorskip("playwright")

from playwright.sync_api import sync_playwright

from gradio_marks import GRADIO_MARKS
from mgm.demo.server import start

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

pytestmark = [
    pytest.mark.slow,
    *GRADIO_MARKS,
    pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="needs a browser: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def address(served, free_port):
    with start(served, "127.0.0.1", free_port()) as place:
        yield place


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield opened
        opened.close()


WIDE, NARROW = (1440, "light"), (390, "dark")


@pytest.fixture
def visit(request, browser, address):
    """The page with its first example, all requests that it made, and what went wrong in it."""
    width, scheme = getattr(request, "param", WIDE)
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    log = SimpleNamespace(page=page, requests=[], refused=[], faults=[])
    page.on("request", lambda sent: log.requests.append(sent.url))
    page.on("response", lambda answer: log.refused.append(answer.url) if answer.status >= 400 else None)
    page.on("pageerror", lambda fault: log.faults.append(str(fault)))
    page.goto(address)
    page.wait_for_selector("#mgm-predictions img", timeout=60_000)
    yield log
    context.close()


def reading(page) -> str:
    return page.locator("#mgm-reading").inner_text()


def place(page) -> tuple[int, int]:
    found = re.match(r"column (\d+), row (\d+) · ", reading(page))
    assert found, reading(page)
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("visit", [WIDE, NARROW], ids=["wide-light", "narrow-dark"], indirect=True)
def test_the_first_example_is_shown_and_nothing_is_fetched_from_elsewhere(visit, address):
    page = visit.page
    assert page.locator("#mgm-predictions .mgm-tile").count() == 8  # four, and as many with the truth
    page.wait_for_selector("#mgm-cloud .js-plotly-plot canvas", timeout=60_000)
    assert page.locator("#mgm-predictions img").first.evaluate("image => image.naturalWidth") == 512
    missing = page.evaluate("[...document.images].filter(image => !image.hasAttribute('alt')).length")
    assert page.locator("#mgm-predictions img:not([alt])").count() == 0, missing
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0  # nothing sticks out, also in a narrow window
    foreign = [url for url in visit.requests if not url.startswith((address, "data:", "blob:"))]
    assert foreign == []
    assert visit.refused == []
    assert visit.faults == []


def test_values_are_read_under_the_cursor_and_by_keyboard(visit):
    page = visit.page
    stack = page.locator("#mgm-predictions .mgm-stack").nth(2)
    stack.scroll_into_view_if_needed()
    box = stack.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
    page.wait_for_function("document.querySelector('#mgm-reading').innerText.startsWith('column')", timeout=60_000)
    assert place(page) == pytest.approx((64, 192), abs=2)
    assert re.search(r"depth: −?-?\d+\.\d\d m", reading(page))
    assert page.locator("#mgm-predictions .mgm-cross").first.is_visible()
    page.mouse.move(0, 0)
    stack.focus()
    for _ in range(10):
        page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("document.querySelector('#mgm-reading').innerText.startsWith('column 255')", timeout=60_000)


def test_the_slider_lets_the_photograph_show_through(visit):
    page = visit.page
    over = page.locator("#mgm-predictions .mgm-over").first
    assert over.evaluate("image => getComputedStyle(image).opacity") == "1"
    page.get_by_label("number input for Opacity of predictions [%]").fill("30")
    page.keyboard.press("Enter")
    page.wait_for_function("getComputedStyle(document.querySelector('.mgm-over')).opacity == 0.3", timeout=60_000)


def test_a_photograph_can_be_handed_in_and_a_bad_one_is_refused_in_words(visit, tmp_path):
    page = visit.page
    Image.fromarray(np.full((30, 60, 3), 90, np.uint8)).save(tmp_path / "mine.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page.get_by_label("Remove Image").or_(page.get_by_label("Clear")).first.click()
    page.wait_for_selector("#mgm-predictions img", state="detached", timeout=60_000)
    assert "Drop an image" in page.locator("#mgm-predictions").inner_text()
    page.locator("#mgm-source input[type=file]").first.set_input_files(tmp_path / "mine.png")
    page.wait_for_selector('#mgm-predictions [data-height="30"]', timeout=60_000)
    assert page.locator("#mgm-predictions .mgm-tile").count() == 4  # no truth for one's own photograph
    page.get_by_label("Remove Image").or_(page.get_by_label("Clear")).first.click()
    page.wait_for_selector("#mgm-predictions img", state="detached", timeout=60_000)
    page.locator("#mgm-source input[type=file]").first.set_input_files(tmp_path / "bad.png")
    refusal = page.locator("#mgm-predictions", has_text="bad.png: the file is not a readable image")
    refusal.wait_for(timeout=60_000)
    assert page.locator("#mgm-predictions img").count() == 0, "nothing of the photograph before"
    assert "Traceback" not in page.content()


def test_names_are_text_and_never_markup(visit):
    page = visit.page
    page.wait_for_selector("#mgm-legend .legend", timeout=60_000)
    assert page.locator("#mgm-legend b", has_text="thing").count() == 0


def test_confidence_is_shown_when_it_is_asked_for_and_follows_the_photograph(visit):
    page = visit.page
    assert page.locator("#mgm-confidence img").count() == 0
    page.get_by_label("Show the confidence of the predictions").check()
    page.wait_for_selector("#mgm-confidence img", timeout=60_000)
    assert page.locator("#mgm-confidence .mgm-tile").count() == 3
    under = "document.querySelector('#mgm-confidence .mgm-tiles')?.getAttribute('style')"
    first = page.evaluate(under)
    page.locator("#mgm-examples button").nth(1).click()
    page.wait_for_function(f"old => {under} && {under} !== old", arg=first, timeout=60_000)
    assert visit.faults == []


def test_images_are_generated_and_runs_compared(visit):
    page = visit.page
    page.get_by_role("tab", name="Generate").click()
    page.get_by_role("button", name="Generate").click()
    page.wait_for_selector(".mgm-strip img", timeout=60_000)
    assert page.locator(".mgm-strip img").count() == 4 * 4
    before = page.locator(".mgm-strip img").first.get_attribute("src")
    page.get_by_label("before joint training").click()
    page.wait_for_function(
        "old => document.querySelector('.mgm-strip img')?.getAttribute('src') !== old", arg=before, timeout=60_000
    )
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_selector("#mgm-comparison img", timeout=60_000)
    assert page.locator("#mgm-comparison .mgm-tile").count() == 3 * 4
    under = "document.querySelector('#mgm-comparison .mgm-tiles')?.getAttribute('style')"
    first = page.evaluate(under)
    page.locator("#mgm-examples button").nth(1).click()  # the comparison follows the photograph
    page.wait_for_function(f"old => {under} !== old", arg=first, timeout=60_000)
    assert visit.refused == []
    assert visit.faults == []


def test_files_can_be_downloaded(visit):
    page = visit.page
    page.get_by_role("button", name="Files").click()
    page.get_by_role("button", name="Make files").click()
    assert page.wait_for_selector("text=_depth_mm", timeout=60_000)
    assert visit.refused == []
