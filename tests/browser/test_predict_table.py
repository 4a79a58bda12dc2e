"""Try it with a run whose texts are composed of columns: a field each, the text they make, and a whole table."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import words
from tests.browser.studio_process import PROJECT, StudioProcess

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
WAIT_MS = 90_000
GENRES = {"horror": ("ghost", "scream", "blood", "night"), "comedy": ("clown", "joke", "wedding", "cake")}


def write_films(path: Path, rows: int) -> Path:
    """A table of films whose words tell the genre; the first row has neither title nor synopsis."""
    lines = [["title", "synopsis", "genre"], ["", "", "comedy"]]
    for number in range(rows):
        genre = ("horror", "comedy")[number % 2]
        known = GENRES[genre]
        lines.append([f"The {known[number // 2 % 4]} {number}", f"A {known[number // 8 % 4]} and more", genre])
    with open(path, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)
    return path


@pytest.fixture(scope="module")
def run(studio: StudioProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished run with a template."""
    table = write_films(tmp_path_factory.mktemp("films") / "films.csv", 160)
    flags = ["--template", "{title}: {synopsis}", "--label", "genre", "--epochs", "3", "--step", "normalise_text"]
    command = [sys.executable, "-m", "studio", "train", str(table), *flags, "--home", str(studio.home), "--json"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


@pytest.mark.parametrize(("path", "language", "width"), [("/", "en", 1440), ("/zh", "zh-CN", 390)])
def test_each_column_has_a_field_and_the_text_they_make_is_shown_and_asked(
    open_page: OpenPage, run: str, path: str, language: str, width: int
) -> None:
    t = words(language)  # type: ignore[arg-type]
    page = open_page(f"{path}?run={run}&step=try", width=width)
    fields = page.locator(".column-fields textarea")
    expect(fields).to_have_count(2)
    assert page.locator(".column-fields label span").all_inner_texts() == ["title", "synopsis"]
    expect(page.locator(f"#try-{language}")).to_have_count(0)
    page.locator(f"#ask-{language}").click()
    expect(page.locator(".banner.bad, .problem").first).to_contain_text(t("errors.predict.text_missing.what"))

    fields.nth(1).fill("A scream and <b>blood</b>")
    expect(page.locator(".made")).to_have_text(": A scream and <b>blood</b>")
    # The click comes before the preview does: what was typed last counts.
    fields.first.fill("The ghost {night}")
    page.locator(f"#ask-{language}").click()
    answer = page.locator(".answers article")
    expect(answer).to_have_count(1, timeout=WAIT_MS)
    expect(answer.locator(".asked")).to_have_text("The ghost {night}: A scream and <b>blood</b>")
    expect(answer.locator(".side").first.locator(".said")).to_have_text("horror")
    expect(page.locator(".made")).to_have_text("The ghost {night}: A scream and <b>blood</b>")
    assert fields.first.input_value() == "The ghost {night}"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    # Lines of whole texts instead, and back: the fields still hold what was typed.
    page.get_by_label(t("try.plain")).check()
    expect(fields.first).not_to_be_visible()
    page.locator(f"#try-{language} textarea").fill("a joke, a cake\na ghost, a scream")
    page.locator(f"#ask-{language}").click()
    expect(answer).to_have_count(2, timeout=WAIT_MS)
    assert answer.locator(".asked").all_inner_texts() == ["a joke, a cake", "a ghost, a scream"]
    page.get_by_label(t("try.plain")).uncheck()
    expect(fields.first).to_have_value("The ghost {night}")
    expect(page.locator(f"#try-{language}")).to_have_count(0)


def test_a_dropped_table_comes_back_with_labels_and_is_found_after_a_reload(
    open_page: OpenPage, run: str, tmp_path: Path
) -> None:
    t = words("zh-CN")
    page = open_page(f"/zh?run={run}&step=try")
    card = page.locator(".card", has=page.locator("#table-zh-CN"))
    page.set_input_files("#table-zh-CN input[type=file]", str(write_films(tmp_path / "新片.csv", 40)))
    ready = card.locator('a[href$="/predictions"]')
    expect(ready).to_have_text(t("job.predictions"), timeout=WAIT_MS)
    expect(card).to_contain_text(t("job.predicted", rows=41, predicted=40))
    expect(card).to_contain_text("准确率 1.000")
    page.reload()
    expect(ready).to_be_visible()
    with page.expect_download() as download:
        ready.click()
    assert download.value.suggested_filename == "新片-predicted.csv"
    download.value.save_as(tmp_path / "result.csv")
    with open(tmp_path / "result.csv", encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0]["predicted_label"] == ""
    assert [row["predicted_label"] for row in rows[1:]] == [row["genre"] for row in rows[1:]]

    other = tmp_path / "other.csv"
    other.write_text("name,plot\na,b\nc,d\n")
    page.set_input_files("#table-zh-CN input[type=file]", str(other))
    expect(card.locator(".problem")).to_contain_text("name、plot", timeout=WAIT_MS)


def test_a_long_table_shows_how_far_it_is_and_stops(open_page: OpenPage, run: str, tmp_path: Path) -> None:
    t = words("en")
    page = open_page(f"/?run={run}&step=try")
    card = page.locator(".card", has=page.locator("#table-en"))
    page.set_input_files("#table-en input[type=file]", str(write_films(tmp_path / "long.csv", 100_000)))
    expect(card.locator(".phase")).to_have_text(t("phase.predicting"), timeout=WAIT_MS)
    expect(card.locator(".progress")).to_have_attribute("aria-valuenow", re.compile("[1-9]"), timeout=WAIT_MS)
    card.get_by_role("button", name=t("job.cancel")).click()
    expect(card).to_contain_text(t("job.cancelled"), timeout=WAIT_MS)
    expect(card.locator('a[href$="/predictions"]')).to_have_count(0)
