"""The optimization lab in the browser: measured, drawn, and applied by a click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import Words, words
from tests.browser.test_story import drop, open_step
from tests.training.conftest import write_table

pytestmark = pytest.mark.browser

MEASURED_MS = 180_000


def open_lab(page: Page, t: Words) -> None:
    """Go to the options and open the lab."""
    open_step(page, "model")
    page.locator(".folded button.label-wrap:visible", has_text=t("lab.title")).click()
    expect(page.locator(f"#lab-{t.language}")).to_be_visible()


def test_ways_are_measured_drawn_and_applied(open_page: Callable[..., Page], tmp_path: Path) -> None:
    t = words("en")
    page = open_page()
    drop(page, write_table(tmp_path / "reviews.csv", 120))
    open_lab(page, t)
    for code in ("chosen", "auto", "length_grouped", "mixed_precision", "accumulation", "checkpointing"):
        box = page.get_by_label(t(f"lab.{code}"), exact=True)
        if box.count():
            box.uncheck()
    page.get_by_label(t("lab.steps"), exact=False).fill("2")
    page.locator("#lab-en").click()
    lines = page.locator("ul.lab > li")
    expect(lines).to_have_count(2, timeout=MEASURED_MS)
    expect(page.locator("ul.lab > li.best")).to_have_count(1, timeout=MEASURED_MS)
    expect(page.locator(".component-lab-bars .job-line button")).to_be_hidden()
    expect(lines.first.locator(".figure").first).to_contain_text("1.0×")
    lines.first.get_by_role("button", name=t("lab.apply")).click()
    page.locator(".folded button.label-wrap:visible", has_text=t("model.same")).click()
    expect(page.locator(".cm-content").first).to_contain_text("--padding longest")

    # A reload, or another tab, finds the figures again; so does a phone, in Chinese.
    address = page.url.partition("?")[2]
    phone = open_page(f"/zh?{address}", width=390, height=844)
    open_lab(phone, words("zh-CN"))
    expect(phone.locator("ul.lab > li").first).to_contain_text(words("zh-CN")("lab.plain"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
