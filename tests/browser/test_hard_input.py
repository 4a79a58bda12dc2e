"""What a page must bear: names that look like code, labels that clash, narrow windows, pages older than the server."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import await_state, drop, open_step, start_training

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]
MARKUP = '<img src=x onerror="window.broken=1">{value} `x` ${y}'
LABELS = ("__proto__", "constructor", "None", MARKUP)


@pytest.fixture
def odd_table(tmp_path: Path) -> Path:
    """A table whose file name, columns, texts and labels all look like code."""
    path = tmp_path / "odd <b>${name}.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow([f"text {MARKUP}", f"label {MARKUP}"])
        writer.writerows([f"{label} number {n} {MARKUP}", label] for n in range(30) for label in LABELS)
    return path


def test_names_that_look_like_code_are_only_names(open_page: OpenPage, odd_table: Path) -> None:
    page = open_page("/zh")
    drop(page, odd_table)
    fields = page.locator(".label-grid input")
    expect(fields).to_have_count(len(LABELS))
    assert {field.get_attribute("placeholder") for field in fields.all()} == set(LABELS)
    assert {field.input_value() for field in fields.all()} == {""}
    for label in LABELS[:2]:
        field = page.locator(f'.label-grid input[placeholder="{label}"]')
        field.fill("same")
        field.blur()

    # The clash is said at once and again on Train; no run is made, and the names are kept.
    clash = words("zh-CN")("errors.data.label_names_clash.next")
    expect(page.locator(".banner.bad").first).to_contain_text(clash)
    open_step(page, "model")
    page.locator("#train-zh-CN").click()
    expect(page.locator(".banner.bad:visible")).to_contain_text(clash)
    assert "run=" not in page.url
    page.reload()
    expect(page.locator('.label-grid input[placeholder="__proto__"]')).to_have_value("same")
    assert page.evaluate("window.broken") is None


def test_every_step_is_reached_in_a_narrow_window(open_page: OpenPage, samples: Path) -> None:
    page = open_page("/", width=390, height=844)
    drop(page, samples / "support_tickets_en.csv")
    page.locator("[data-step=model]").click()
    expect(page.locator("#train-en")).to_be_visible()
    for name in ("runs", "share", "try", "results", "train", "data"):
        open_step(page, name)
        expect(page.locator(f"#step-{name}")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_gradios_own_words_follow_the_address(open_page: OpenPage) -> None:
    expect(open_page("/zh").locator("#drop-zh-CN")).to_contain_text("点击上传")
    expect(open_page("/").locator("#drop-en")).to_contain_text("Click to Upload")


def test_curves_grow_while_the_run_goes_on(open_page: OpenPage, studio: StudioProcess, samples: Path) -> None:
    t = words("en")
    page = open_page("/")
    drop(page, samples / "support_tickets_en.csv")
    start_training(page, t, epochs=300)
    points = page.locator(".chart.metrics .scatterlayer .trace:first-child .points path")
    expect(points.nth(0)).to_be_attached(timeout=120_000)
    expect(points.nth(2)).to_be_attached(timeout=120_000)
    page.locator("button.stop").click()
    await_state(page, t, "stopped")
    open_step(page, "runs")
    page.get_by_role("button", name=t("runs.edit")).first.click()
    page.get_by_label(t("runs.name"), exact=True).first.fill("a very long name " * 7)
    page.get_by_label(t("runs.name"), exact=True).first.press("Enter")
    expect(page.get_by_role("button", name=t("runs.delete")).first).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize(
    "query", ["?run=20260101-000000-abcdef", "?data=0123456789abcdef", "?run=../../etc&step=share"]
)
def test_an_address_of_something_gone_is_said(open_page: OpenPage, query: str) -> None:
    page = open_page(f"/zh{query}")
    expect(page.locator(".banner.bad").first).to_have_text(re.compile("没有|不存在"))


def test_emptying_the_trash_asks_with_both_answers_in_sight(open_page: OpenPage, studio: StudioProcess) -> None:
    t = words("zh-CN")
    assert studio.runs(), "the run of the test before"
    page = open_page("/zh?step=runs")
    page.get_by_role("button", name=t("runs.delete")).first.click()
    page.locator("details.trash summary").click()
    page.get_by_role("button", name=t("runs.empty")).click()
    for answer in ("runs.empty_yes", "runs.delete_no"):
        expect(page.locator(".question ~ button", has_text=t(answer))).to_be_in_viewport(ratio=1)
