"""What a user's table says is text on every page: HTML and scripts in it never run, wherever it is shown."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.data.datasets import dataset_of, start_import, wait
from backend.settings import Home
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import await_state, drop, open_step, start_training

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]

IMAGE = "<img src=x onerror=\"window.ran='image'\">"
SCRIPT = "<script>window.ran='script'</script>"
DRAWING = "\"'><svg onload=\"window.ran='svg'\">"
LINK = "<a href=\"javascript:window.ran='link'\">press</a>"
TEMPLATE = "${window.ran='template'}{{window.ran='braces'}}`"
PAYLOADS = (IMAGE, SCRIPT, DRAWING, LINK, TEMPLATE)
LABELS = (IMAGE, SCRIPT, LINK)
FOREIGN_ELEMENTS = "img[src='x'], [onerror], [onload], a[href^='javascript'], svg a[*|href^='javascript']"


@pytest.fixture
def hostile_table(tmp_path: Path) -> Path:
    """A table whose file name, columns, labels and texts are all HTML and scripts, with something to find in it."""
    path = tmp_path / "x<img src=x onerror=window.ran='file'>${window.ran='name'}.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([f"text {IMAGE}", f"label {SCRIPT}", f"author {DRAWING}"])
        for n in range(40):
            for k, label in enumerate(LABELS):
                text = f"{PAYLOADS[(n + k) % len(PAYLOADS)]} number {n} of {k} {label}"
                writer.writerow([text, label, f"{PAYLOADS[n % 5]} {n % 7}"])
        writer.writerow([f"same {IMAGE}", LABELS[0], "a"])
        writer.writerow([f"same {IMAGE}", LABELS[1], "a"])
        writer.writerow([f"{LINK} mail <b>me@example.org</b> http://example.org/{IMAGE}", LABELS[2], ""])
        writer.writerow([f"no label {IMAGE}", "", ""])
        writer.writerow([f"a table of its own: {tmp_path.name}", LABELS[0], "a"])
        writer.writerows([[f"one more {n}", f"{LABELS[0].upper()}", "z"] for n in range(4)])
    return path


@pytest.fixture
def watched_page(open_page: OpenPage) -> Iterator[Callable[[str], Page]]:
    """Opens pages on which nothing may run that came with a table."""

    dialogs: list[str] = []

    def opened(path: str) -> Page:
        page = open_page(path)
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        return page

    yield opened
    assert dialogs == []


def nothing_ran(page: Page) -> None:
    """Nothing of the table has run, and none of it has become an element."""
    page.wait_for_timeout(300)
    assert page.evaluate("window.ran ?? null") is None
    assert page.locator(FOREIGN_ELEMENTS).count() == 0


def hover_bars(page: Page, chart: str) -> None:
    """Move over the middle of a chart, so that it says what stands there."""
    page.locator(f".live-root.{chart}").scroll_into_view_if_needed()
    drawn = page.locator(f".live-root.{chart} .nsewdrag").first
    box = drawn.bounding_box()
    assert box
    for share in (0.15, 0.5, 0.85):
        page.mouse.move(box["x"] + 12, box["y"] + share * box["height"])
        page.wait_for_timeout(250)
    nothing_ran(page)


@pytest.mark.parametrize("path", ["/", "/zh"])
def test_a_hostile_table_is_only_text_on_the_data_and_model_pages(
    watched_page: Callable[[str], Page], studio: StudioProcess, hostile_table: Path, path: str
) -> None:
    page = watched_page(path)
    t = words("zh-CN" if path == "/zh" else "en")
    if path == "/":
        drop(page, hostile_table)  # the upload itself takes brackets out of file names
        expect(page.locator(".file-head h2")).to_contain_text("img src=x onerror=")
    else:
        job = start_import(Home(studio.home), hostile_table)
        wait(job)
        page.goto(f"{studio.url}{path}?data={dataset_of(job)}")
        expect(page.locator(".file-head h2")).to_contain_text("<img src=x onerror=")
    nothing_ran(page)
    expect(page.locator(".findings li").first).to_be_visible()
    for summary in page.locator(".findings summary").all():
        summary.click()
    expect(page.locator(".findings td").filter(has_text="<img src=x").first).to_be_visible()
    hover_bars(page, "labels-chart")
    hover_bars(page, "lengths-chart")
    page.locator(".by-label button").first.click()
    hover_bars(page, "label-lengths-chart")

    # A name of a label, a column that does not exist (said in a message), and the name of a run.
    page.locator(".label-grid input").first.fill(DRAWING)
    page.locator(".label-grid input").first.blur()
    expect(page.locator(".live-root.labels-chart")).to_contain_text("<svg onload")
    nothing_ran(page)
    open_step(page, "model")
    page.locator("#step-model").get_by_label(t("setting.name.name"), exact=False).first.fill(f"{IMAGE}{SCRIPT}")
    page.wait_for_timeout(600)
    nothing_ran(page)
    open_step(page, "data")
    column = page.get_by_label(t("setting.data.text_column.name"))
    column.fill(f"none {IMAGE}")
    column.press("Enter")
    expect(page.locator(".banner.bad, .toast-body, .job .problem").first).to_contain_text("<img src=x")
    nothing_ran(page)


def test_a_run_on_a_hostile_table_is_only_text_up_to_its_predictions(
    watched_page: Callable[[str], Page], studio: StudioProcess, hostile_table: Path
) -> None:
    t = words("en")
    page = watched_page("/")
    drop(page, hostile_table)
    open_step(page, "model")
    page.locator("#step-model").get_by_label(t("setting.name.name"), exact=False).first.fill(f"{IMAGE} {SCRIPT}")
    run = start_training(page, t, epochs=1)
    expect(page.locator(".live-head h2")).to_contain_text("<img src=x")
    nothing_ran(page)
    await_state(page, t, "completed")
    page.locator(".ending a.primary").click()
    expect(page.locator(".sentence")).to_be_visible()
    nothing_ran(page)
    for chart in ("confusion-chart", "confusion"):
        if page.locator(f".live-root.{chart} .nsewdrag").count():
            hover_bars(page, chart)
    open_step(page, "try")
    page.locator("#try-en textarea").fill("\n".join(PAYLOADS))
    page.locator("#ask-en").click()
    expect(page.locator(".answers article")).to_have_count(len(PAYLOADS), timeout=90_000)
    nothing_ran(page)
    for step in ("share", "runs", "train", "data"):
        open_step(page, step)
        nothing_ran(page)
    second = watched_page(f"/zh?run={run}&step=runs")
    expect(second.locator("tr[data-run] td.name").first).to_contain_text("<img src=x")
    nothing_ran(second)
