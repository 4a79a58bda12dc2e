"""The optimization lab in the browser: measured, drawn, and applied by a click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import Words, words
from tests.browser.test_story import drop, open_options, open_step
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
    applied = page.get_by_role("status").filter(has_text=t("lab.applied", way=t("lab.plain")))
    expect(applied.locator("li", has_text=t("choice.speed.padding.longest"))).to_be_visible()
    page.locator(".folded button.label-wrap:visible", has_text=t("model.same")).click()
    expect(page.locator(".cm-content").first).to_contain_text("--padding longest")

    lines.first.get_by_role("button", name=t("lab.apply")).click()
    expect(page.get_by_text(t("lab.applied_nothing", way=t("lab.plain")))).to_be_visible()

    # A reload, or another tab, finds the figures again; so does a phone, in Chinese.
    address = page.url.partition("?")[2]
    phone = open_page(f"/zh?{address}", width=390, height=844)
    open_lab(phone, words("zh-CN"))
    expect(phone.locator("ul.lab > li").first).to_contain_text(words("zh-CN")("lab.plain"))
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_time_and_memory_are_estimated_by_a_click_and_follow_the_settings(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "estimated.csv", 122))
    page.locator("#estimate-en").click()
    estimate = page.get_by_role("status").filter(
        has_text=t("model.estimated").partition("{time} ")[2].partition("{")[0]
    )
    expect(estimate).to_be_visible(timeout=MEASURED_MS)
    once = estimate.inner_text()
    epochs = page.locator("label:visible", has_text=t("setting.training.epochs.help")).locator("input")
    epochs.fill("900")  # nothing to the speed: there is more to do
    expect(estimate).to_be_visible()
    expect(estimate).not_to_have_text(once)
    epochs.fill("1")
    expect(estimate).to_have_text(once)
    length = page.locator("label:visible", has_text=t("setting.training.max_length.help")).locator("input")
    length.fill("16")  # other steps, which nobody has measured
    expect(estimate).to_have_count(0)
    expect(page.get_by_text(t("model.estimated_other"))).to_be_visible()
    length.fill("256")
    expect(estimate).to_have_text(once)
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(estimate).to_have_text(once)
    open_lab(page, t)
    expect(page.locator("ul.lab > li")).to_have_count(0)  # that is what the lab has measured

    page.locator("button.label-wrap:visible", has_text=t("model.group.compute")).click()
    processes = page.locator("label:visible", has_text=t("setting.compute.processes.help")).locator("input")
    processes.fill("2")
    expect(estimate).to_have_count(0)
    expect(page.get_by_text(t("model.estimated_other"))).to_have_count(0)  # it cannot be
    page.locator("#estimate-en").click()
    expect(page.get_by_role("alert").filter(has_text=t("errors.lab.processes_not_estimated.next"))).to_be_visible()


def test_estimate_that_is_cancelled_leaves_the_bar_as_it_was(open_page: Callable[..., Page], tmp_path: Path) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "cancelled.csv", 131))
    bar = page.locator(".in-sight")
    page.locator("#estimate-en").click()
    cancel = bar.get_by_role("button", name=t("job.cancel"))
    expect(cancel).to_be_visible()
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(cancel).to_be_visible()  # it goes on, and is followed again
    cancel.click()
    expect(cancel).to_have_count(0, timeout=MEASURED_MS)
    expect(bar.get_by_role("alert")).to_have_count(0)
    expect(bar.get_by_role("status")).to_have_count(0)
    expect(page.locator("#estimate-en")).to_be_enabled()
