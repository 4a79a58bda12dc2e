"""The main job as a person does it, in a real Chromium, in both languages."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import Words, words
from tests.browser.studio_process import StudioProcess

pytestmark = pytest.mark.browser

TRAINING_TIMEOUT_MS = 240_000
OpenPage = Callable[..., Page]


def open_step(page: Page, name: str) -> None:
    """Click on a step."""
    page.locator(f"#step-{name}-button").click()


def fill_setting(page: Page, t: Words, path: str, value: str) -> None:
    """Type a value into the form."""
    page.get_by_label(t(f"setting.{path}.name"), exact=False).first.fill(value)


def drop(page: Page, file: Path) -> None:
    """Drop a file on the page and wait until it is read."""
    page.set_input_files("input[type=file]", str(file))
    page.wait_for_url(re.compile(r"\?.*data="), wait_until="commit")
    page.wait_for_selector(".label-grid")


def open_options(open_page: OpenPage, table: Path, path: str = "/", **window: int) -> Page:
    """A page on which this table was dropped, at *Model & options*."""
    page = open_page(path, **window)
    drop(page, table)
    open_step(page, "model")
    return page


def start_training(page: Page, t: Words, *, epochs: int) -> str:
    """Go to the options, set the number of epochs, click Train; gives the run's id."""
    open_step(page, "model")
    fill_setting(page, t, "training.epochs", str(epochs))
    page.locator(f"#train-{t.language}").click()
    page.wait_for_url(re.compile(r"run=[0-9a-f-]+"), wait_until="commit")
    found = re.search(r"run=([0-9a-f-]+)", page.url)
    assert found
    return found.group(1)


def await_state(page: Page, t: Words, state: str) -> None:
    """Wait until the open run is in the state."""
    expect(page.locator(".live-head .state")).to_have_text(t(f"state.{state}"), timeout=TRAINING_TIMEOUT_MS)


@pytest.mark.timeout(900)  # its run alone takes minutes where other tests take a processor's time
def test_chinese_reviews_from_file_to_shared_model(
    open_page: OpenPage, studio: StudioProcess, shared_data: Path, tmp_path: Path
) -> None:
    t = words("zh-CN")
    page = open_page("/zh")
    assert page.evaluate("document.body.innerText").count("从一张文本表格到一个分类器") == 1

    # The table: columns are guessed, rows counted, the labels drawn, the contradiction found.
    drop(page, shared_data / "waimai_10k.csv")
    expect(page.locator(".file-head")).to_contain_text("11,987 行")
    expect(page.get_by_label(t("setting.data.text_column.name"))).to_have_value("review")
    expect(page.get_by_label(t("setting.data.label_column.name"))).to_have_value("label")
    expect(page.locator(".label-grid")).to_contain_text("7,987")
    expect(page.locator(".label-grid")).to_contain_text("4,000")
    expect(page.locator(".findings .warning").first).to_contain_text("7")
    expect(page.locator(".component-labels-chart .barlayer text").first).to_be_visible()
    expect(page.locator(".rows tbody tr").first).to_contain_text("很快，好吃，味道足，量大")
    for field, name in zip(page.locator(".label-grid input").all(), ("差评", "好评"), strict=True):
        field.fill(name)
        field.blur()
    expect(page.locator(".live-root.labels-chart")).to_contain_text("好评")

    # The run: in a process of its own, the same on every screen.
    run = start_training(page, t, epochs=1)
    expect(page.locator(".phases li.current, .phases li.done").first).to_be_visible()
    page.reload()
    expect(page.locator(".live-head h2")).to_have_text("waimai_10k")
    assert page.url.startswith(f"{studio.url}/zh?")
    second = open_page(f"/?run={run}&step=train")
    expect(second.locator(".live-head h2")).to_have_text("waimai_10k")
    expect(page.locator(".chart.loss .scatterlayer .trace").first).to_be_attached(timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator(".live-line")).to_contain_text("已用")
    await_state(page, t, "completed")
    await_state(second, words("en"), "completed")

    # The results: four figures beside three simple methods.
    page.locator(".ending a.primary").click()
    expect(page.locator(".sentence")).to_contain_text("准确率 0.")
    rows = page.locator("table.scores").locator("tbody tr")
    assert [cell.split("\t")[0] for cell in rows.all_inner_texts()] == ["准确率", "F1", "宏平均 F1", "MCC", "ROC AUC"]
    heads = page.locator("table.scores").locator("th").all_inner_texts()
    assert heads[2:] == [t("baseline.before"), t("baseline.majority"), t("baseline.tfidf")]

    # Try it: one answer a line, with every label's probability, after and before.
    open_step(page, "try")
    page.locator("#try-zh-CN textarea").fill("饭菜有些咸！\n很好吃，送得也快")
    page.locator("#ask-zh-CN").click()
    expect(page.locator(".answers article")).to_have_count(2, timeout=90_000)
    first = page.locator(".answers article").first
    expect(first.locator(".side").first.locator(".said")).to_have_text("差评")
    expect(first.locator(".side")).to_have_count(2)
    expect(first.locator(".side").first.locator(".score")).to_have_count(2)
    expect(page.locator(".answers article").nth(1).locator(".side").first.locator(".said")).to_have_text("好评")

    # Share: the zip is a whole model with its card.
    open_step(page, "share")
    with page.expect_download() as download:
        page.get_by_text(t("share.folder_button")).click()
    archive = tmp_path / "model.zip"
    download.value.save_as(archive)
    names = {Path(name).name for name in zipfile.ZipFile(archive).namelist()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names

    # Close everything, come back: the same place.
    page.context.close()
    back = open_page(f"/zh?run={run}&step=results")
    expect(back.locator(".sentence")).to_contain_text("准确率 0.")
    assert [entry["id"] for entry in studio.runs()] == [run]


def test_english_sample_is_stopped_renamed_deleted_and_put_back(open_page: OpenPage, studio: StudioProcess) -> None:
    t = words("en")
    page = open_page("/")
    page.locator("#sample-support_tickets-en").click()
    page.wait_for_url(re.compile(r"\?.*data="), wait_until="commit")
    page.wait_for_selector(".label-grid")
    run = start_training(page, t, epochs=200)
    expect(page.locator(".live-line")).to_contain_text("epoch", timeout=TRAINING_TIMEOUT_MS)
    expect(page.locator(".chart.metrics .scatterlayer .trace").first).to_be_attached(timeout=TRAINING_TIMEOUT_MS)

    # A running run cannot be deleted; stopping keeps the best checkpoint and says so.
    open_step(page, "runs")
    row = page.locator(f'tr[data-run="{run}"]')
    expect(row.get_by_role("button", name=t("runs.delete"))).to_be_disabled()
    open_step(page, "train")
    page.locator("button.stop").click()
    await_state(page, t, "stopped")
    expect(page.locator(".ending")).to_contain_text("best checkpoint, from step")

    open_step(page, "runs")
    row.get_by_role("button", name=t("runs.edit")).click()
    row.get_by_label(t("runs.name")).fill("Tickets <b>one</b>")
    row.get_by_label(t("runs.name")).press("Enter")
    expect(row.locator("td.name")).to_have_text("Tickets <b>one</b>")
    expect(page.locator(".run-list .name").first).to_have_text("Tickets <b>one</b>")
    row.get_by_role("button", name=t("runs.delete")).click()
    expect(row).to_have_count(0)
    assert run not in [entry["id"] for entry in studio.runs()]
    page.locator(".banner").get_by_role("button", name=t("runs.undo")).click()
    expect(row).to_have_count(1)
    row.get_by_role("button", name=t("runs.delete")).click()
    page.locator("details.trash summary").click()
    page.get_by_role("button", name=t("runs.empty")).click()
    for _ in range(2):  # the list comes again and again: the question stays
        page.wait_for_event("response", lambda answer: "/api/runs?" in answer.url)
    expect(page.locator(".trash .question")).to_have_text(t("runs.empty_question", count="1"))
    page.get_by_role("button", name=t("runs.empty_yes")).click()
    expect(page.locator("details.trash")).to_be_hidden()
    assert not any((studio.home / "trash").iterdir())
    assert run not in [entry["id"] for entry in studio.runs()]
