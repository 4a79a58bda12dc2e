"""How a file was read, and reading it again in another way, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import words
from tests.data.workbooks import xlsx

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


def drop_all(page: Page, *files: Path) -> None:
    """Drop files together and wait until they are read."""
    page.set_input_files("input[type=file]", [str(file) for file in files])
    page.wait_for_url(re.compile(r"\?.*data="), wait_until="commit")
    page.wait_for_selector(".label-grid")


def open_panel(page: Page) -> None:
    """Open the panel that says how the file was read."""
    page.locator(".reading button").first.click()
    expect(page.locator(".reading dl.facts")).to_be_visible()


def test_another_sheet_is_read_on_request(open_page: OpenPage, tmp_path: Path) -> None:
    t = words("zh-CN")
    reviews = [["label", "text"], *([str(n % 2), f"第{n}条评论，味道不错"] for n in range(60))]
    others = [["kind", "body"], *(["ab"[n % 2], f"body {n}"] for n in range(50))]
    book = tmp_path / "周报.xlsx"
    book.write_bytes(xlsx({"评论": reviews, "<b>more<b>": others}))
    page = open_page("/zh")
    drop_all(page, book)
    first = page.url
    open_panel(page)
    expect(page.locator(".reading dl.facts")).to_contain_text("评论 (评论, <b>more<b>)")
    page.get_by_label(t("setting.reading.sheet.name"), exact=False).first.click()
    page.get_by_role("option", name="<b>more<b>").click()
    page.locator("#read-again-zh-CN").click()
    page.wait_for_function("url => location.href.includes('data=') && location.href !== url", arg=first)
    expect(page.locator(".file-head:visible")).to_contain_text("50")
    expect(page.locator(".reading dl.facts")).to_contain_text("<b>more<b> (评论, <b>more<b>)")

    # The first reading is still there, as it was.
    page.goto(first)
    expect(page.locator(".file-head:visible")).to_contain_text("60")


def test_the_test_file_is_added_to_its_training_file_in_a_narrow_window(open_page: OpenPage, tmp_path: Path) -> None:
    for name, rows in (("train.tsv", 40), ("test.tsv", 20)):
        lines = (f"a review of {name}, number {n}\t{n % 2}\n" for n in range(rows))
        (tmp_path / name).write_text("".join(lines), encoding="utf-8")
    page = open_page("/", width=390, height=844)
    drop_all(page, tmp_path / "train.tsv")
    first = page.url
    open_panel(page)
    page.locator("#more-files-en input[type=file]").set_input_files(str(tmp_path / "test.tsv"))
    expect(page.locator('#more-files-en a[href$="/test.tsv"]')).to_be_visible()  # there only once it has arrived
    page.locator("#read-again-en").click()
    page.wait_for_function("url => location.href.includes('data=') && location.href !== url", arg=first)
    expect(page.locator(".file-head:visible")).to_contain_text("60")
    open_panel(page)
    expect(page.locator(".reading dl.facts")).to_contain_text("test.tsv · test")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
    page.screenshot(path=str(tmp_path / "narrow.png"))
