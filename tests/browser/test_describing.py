"""The report on a large table is waited for with its progress, found again after leaving, and can be cancelled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Page, expect

from backend.data.datasets import DESCRIBER_MODULE
from backend.jobs.directory import JobDirectory, is_job_id
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import drop
from tests.processes import held, processes_of, until

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]
WAIT_MS = 120_000
ROWS = 60_000
PIECES = "the service was slow but food came warm and i would order again maybe not on friday"


def large(folder: Path, language: str) -> Path:
    """A table whose report takes seconds; another one for each language."""
    random, path = Random(language), folder / "large.csv"
    lines = [f"{'good' if n % 2 else 'bad'},{' '.join(random.choices(PIECES.split(), k=40))} {n}" for n in range(ROWS)]
    path.write_text("\n".join(["label,text", *lines]), "utf-8")
    return path


def reports(studio: StudioProcess) -> dict[str, JobDirectory]:
    """All report jobs by their ids."""
    jobs = (JobDirectory(path) for path in (studio.home / "jobs").iterdir() if is_job_id(path.name))
    return {job.id: job for job in jobs if job.description["kind"] == "report"}


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/zh", "zh-CN")])
def test_a_report_shows_progress_is_found_again_and_cancelled(
    open_page: OpenPage, studio: StudioProcess, tmp_path: Path, path: str, language: str
) -> None:
    t = words(language)  # type: ignore[arg-type]
    page = open_page(path)
    drop(page, large(tmp_path, language))
    expect(page.locator(".parts-counts")).to_be_visible(timeout=WAIT_MS)
    before = reports(studio)

    page.locator(f"#add-step-{language} input").click()
    page.get_by_role("option", name=t("steps.normalise_text")).click()
    (report,) = until(lambda: {name: job for name, job in reports(studio).items() if name not in before}).values()
    (working,) = until(lambda: processes_of(report, DESCRIBER_MODULE), "the report's process")
    progress = page.locator(".live-root.job-progress .job").filter(has_text=t("job.cancel"))
    cancel = progress.get_by_role("button", name=t("job.cancel"))
    with held(working):  # what is looked at meanwhile would otherwise race against it
        expect(cancel).to_be_visible()
        expect(page.locator(".live-root.findings-list")).to_contain_text(t("data.describing"))
        page.reload()
        expect(cancel).to_be_visible()
        assert len(reports(studio).keys() - before) == 1, "the page came back to the job that was running"
        cancel.click()
        until(lambda: report.stop_requested)
    again = page.get_by_role("button", name=t("data.describe_again"))
    expect(again).to_be_visible()
    expect(page.get_by_text(t("job.cancelled"))).to_be_visible()
    page.reload()
    expect(again).to_be_visible()
    assert len(reports(studio).keys() - before) == 1, "what was cancelled is not begun again by itself"
    again.click()
    expect(page.locator(".parts-counts")).to_be_visible(timeout=WAIT_MS)
    expect(page.locator(".steps-list .said")).to_be_visible()
    expect(again).to_have_count(0)


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/zh", "zh-CN")])
def test_labels_in_several_columns_take_the_place_of_one(
    open_page: OpenPage, tmp_path: Path, path: str, language: str
) -> None:
    t = words(language)  # type: ignore[arg-type]
    table = tmp_path / "table.csv"
    lines = [f"{'good' if n % 2 else 'bad'},{language} text {n},{n % 3 % 2},{n % 5 % 2}" for n in range(60)]
    table.write_text("\n".join(["label,text,fast,cheap", *lines]), "utf-8")
    page = open_page(path)
    drop(page, table)
    names = page.locator(".live-root.label-names")
    expect(names).to_contain_text("good", timeout=WAIT_MS)
    field = page.locator(f"#label-columns-{language} input")
    expect(field).not_to_be_visible()
    page.get_by_role("button", name=t("data.several_columns")).click()
    field.click()
    page.get_by_role("option", name="fast").click()
    field.click()
    page.get_by_role("option", name="cheap").click()
    expect(names).to_contain_text("cheap", timeout=WAIT_MS)
    expect(names).not_to_contain_text("good")
    label = page.get_by_label(t("setting.data.label_column.name"), exact=True)
    expect(label).to_have_value("")
    page.reload()
    expect(field).to_be_visible(timeout=WAIT_MS)
    expect(names).to_contain_text("fast")

    label.click()
    page.get_by_role("option", name="label", exact=True).click()
    expect(names).to_contain_text("good", timeout=WAIT_MS)
    expect(names).not_to_contain_text("cheap")
