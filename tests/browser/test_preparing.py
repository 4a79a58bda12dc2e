"""A table is mended by a click, the counts change, the click is undone; and a run learns from what was left."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import await_state, drop, open_step, start_training

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
WAIT_MS = 90_000
SHOWN_MS = 3_000
"""In which an answer is surely shown."""


def spoiled(folder: Path) -> Path:
    """Reviews, of which some stand again with the other label, and one without any.

    The last text is each test's own: one and the same table would come with the choices of the test before.
    """
    good, bad = ("很好吃", "味道不错", "送得很快", "分量十足"), ("太咸了", "非常难吃", "送得太慢", "已经凉了")
    lines = [f"{n % 2},{(good if n % 2 else bad)[n // 2 % 4]}，第{n}单" for n in range(120)]
    again = [f"{1 - n % 2},{(good if n % 2 else bad)[n // 2 % 4]}，第{n}单" for n in range(10)]
    path = folder / "reviews.csv"
    path.write_text("\n".join(["label,review", *lines, *again, f",没有标签：{folder.name}"]) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/zh", "zh-CN")])
def test_a_repair_changes_the_counts_and_is_undone(
    open_page: OpenPage, tmp_path: Path, path: str, language: str
) -> None:
    t = words(language)  # type: ignore[arg-type]
    page = open_page(path)
    drop(page, spoiled(tmp_path))
    counts = page.locator(".parts-counts")
    expect(counts).to_be_visible(timeout=WAIT_MS)
    start = counts.inner_text()
    repair = t("repair.resolve_conflicts.drop")
    page.get_by_role("button", name=repair).click()
    step = page.locator('.steps-list li[data-step-kind="resolve_conflicts"]')
    expect(step.locator(".said")).to_contain_text(
        t("data.step_touched", touched=20, before=131, after=111), timeout=WAIT_MS
    )
    expect(step.locator("input[type=checkbox]")).to_be_checked()
    expect(counts).not_to_have_text(start)
    expect(page.get_by_role("button", name=repair)).to_have_count(0)

    # Off and on again, then another way to resolve them, then gone.
    step.locator("input[type=checkbox]").uncheck()
    expect(counts).to_have_text(re.compile(re.escape(start.splitlines()[0])), timeout=WAIT_MS)
    page.reload()
    expect(step.locator("input[type=checkbox]")).not_to_be_checked()
    step.get_by_role("button", name=re.compile(re.escape(t("data.step_remove")))).click()
    expect(page.locator(".live-root.step-list")).to_contain_text(t("data.step_none"), timeout=WAIT_MS)
    expect(page.get_by_role("button", name=repair)).to_be_visible(timeout=WAIT_MS)


def test_a_run_learns_from_what_the_steps_left(open_page: OpenPage, studio: StudioProcess, tmp_path: Path) -> None:
    t = words("en")
    page = open_page("/")
    drop(page, spoiled(tmp_path))
    page.get_by_role("button", name=t("repair.resolve_conflicts.drop")).click()
    expect(page.locator(".steps-list .said")).to_contain_text("20 touched", timeout=WAIT_MS)
    page.locator(".division > button").click()
    share = page.get_by_label(t("setting.split.test_share.name"), exact=False).first
    share.fill("0.2")
    share.blur()
    expect(page.locator(".parts-counts")).to_contain_text("22 test", timeout=WAIT_MS)
    counted = page.locator(".parts-counts").inner_text().splitlines()[0]

    page.locator("#export-csv-en").click()
    ready = page.locator('.component-job-progress a[href$="prepared.zip"]')
    expect(ready).to_be_visible(timeout=WAIT_MS)
    with page.expect_download() as download:
        ready.click()
    archive = tmp_path / "prepared.zip"
    download.value.save_as(archive)
    with zipfile.ZipFile(archive) as packed:
        rows = json.loads(packed.read("prepared.json"))["rows"]
    assert t("data.parts_counts", **rows) == counted

    open_step(page, "model")
    expect(page.locator(".start")).to_contain_text(counted, timeout=WAIT_MS)
    run = start_training(page, t, epochs=1)
    expect(page.locator("section.live .notes")).to_contain_text("131 → 111", timeout=WAIT_MS)
    await_state(page, t, "completed")
    report = json.loads((studio.home / "runs" / run / "report.json").read_text("utf-8"))
    assert report["rows"] == rows
    assert [done["step"]["kind"] for done in report["prepared"]["steps"]] == ["resolve_conflicts"]


def test_the_slider_of_a_threshold_stands_where_the_threshold_is(open_page: OpenPage, tmp_path: Path) -> None:
    t = words("en")
    page = open_page("/")
    drop(page, spoiled(tmp_path))
    page.locator("#add-step-en input").click()
    page.get_by_role("option", name=t("steps.drop_duplicates.near")).click()
    slider = page.locator(".steps-list input[type=range]")
    expect(slider).to_have_value("0.9", timeout=WAIT_MS)
    slider.press("ArrowLeft")
    expect(page.locator(".steps-list output")).to_have_text("0.89")


class SlowNetwork:
    """Holds back what the page sends, as a slow line does, until it is let go; a request that names ``text``."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._held: list[Route] = []
        self._text = ""
        page.route("**/queue/join*", self._sent)

    def hold(self, text: str) -> None:
        """From now on hold back requests that contain the text."""
        self._text = text

    def await_held(self) -> None:
        """Wait until there is one."""
        while not self._held:
            self._page.wait_for_timeout(20)

    def let_go(self) -> None:
        """Send them."""
        self._text = ""
        for route in self._held:
            route.continue_()
        self._held.clear()

    def _sent(self, route: Route) -> None:
        if self._text and self._text in (route.request.post_data or ""):
            self._held.append(route)
        else:
            route.continue_()


def open_division(page: Page) -> Locator:
    """Open the settings of the division; gives the field of the test share."""
    page.locator(".division > button").click()
    share = page.get_by_label(words("en")("setting.split.test_share.name"), exact=False).first
    expect(share).to_be_visible()
    return share


def test_train_takes_what_the_fields_show_even_before_the_studio_has_heard_of_it(
    open_page: OpenPage, studio: StudioProcess, samples: Path
) -> None:
    page = open_page("/")
    drop(page, samples / "support_tickets_en.csv")
    share = open_division(page)
    network = SlowNetwork(page)
    network.hold(",0.23,")
    share.fill("0.23")
    share.blur()
    network.await_held()
    network.hold(',0.23,0.1,42,0,"none",0,1],')  # the edit itself, and not what Train sends
    run = start_training(page, words("en"), epochs=1)
    network.let_go()
    spec = json.loads((studio.home / "runs" / run / "spec.json").read_text("utf-8"))
    assert spec["split"]["test_share"] == 0.23


def test_an_answer_that_comes_late_leaves_what_was_typed_since(
    open_page: OpenPage, studio: StudioProcess, tmp_path: Path
) -> None:
    t = words("en")
    page = open_page("/")
    drop(page, spoiled(tmp_path))
    share = open_division(page)
    network = SlowNetwork(page)
    network.hold("resolve_conflicts")
    page.get_by_role("button", name=t("repair.resolve_conflicts.drop")).click()
    network.await_held()
    share.fill("0.25")
    network.let_go()
    expect(page.locator(".steps-list .said")).to_contain_text("20 touched", timeout=WAIT_MS)
    expect(share).to_have_value("0.25")

    # The address, shown once more, writes every field.
    network.hold('"at')
    page.evaluate("() => Studio.go(location.search)")
    network.await_held()
    share.fill("0.3")
    with page.expect_response("**/queue/join*"):
        network.let_go()
    page.wait_for_timeout(SHOWN_MS)
    expect(share).to_have_value("0.3")
    share.blur()
    expect(page.locator(".parts-counts")).to_contain_text("33 test", timeout=WAIT_MS)
