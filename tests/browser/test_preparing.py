"""A table is mended by a click, the counts change, the click is undone; and a run learns from what was left."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import await_state, drop, open_step, start_training

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
WAIT_MS = 90_000


def spoiled(folder: Path) -> Path:
    """Reviews, of which some stand again with the other label, and one without any."""
    good, bad = ("很好吃", "味道不错", "送得很快", "分量十足"), ("太咸了", "非常难吃", "送得太慢", "已经凉了")
    lines = [f"{n % 2},{(good if n % 2 else bad)[n // 2 % 4]}，第{n}单" for n in range(120)]
    again = [f"{1 - n % 2},{(good if n % 2 else bad)[n // 2 % 4]}，第{n}单" for n in range(10)]
    path = folder / "reviews.csv"
    path.write_text("\n".join(["label,review", *lines, *again, ",没有标签"]) + "\n", "utf-8")
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
