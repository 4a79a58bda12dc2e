"""The list of runs: found, sorted, tagged, put beside each other, copied; and word of one that ends."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, start_import, wait
from backend.errors import LabelWeightsUnknown
from backend.jobs.directory import JobDirectory
from backend.jobs.events import EventLog, JobCompleted, Noted
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import build_spec
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.faults.conftest import SAMPLE
from tests.processes import until
from tests.tiny_models import make_tiny

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def runs(studio: StudioProcess, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two finished runs of one table that differ in three settings: their ids."""
    home, texts = Home(studio.home), SAMPLE.read_text("utf-8").splitlines()
    model = {"base": str(make_tiny(tmp_path_factory.mktemp("bases") / "bert", "bert", texts))}
    dataset = wait(start_import(home, SAMPLE), 120)["dataset"]
    choices, store = first_choices(load_profile(home, dataset)), RunStore(home)
    made = []
    asked: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("first", {"epochs": 2}, {}),
        ("second", {"epochs": 3, "learning_rate": 1e-3}, {"batching": "random"}),
    ]
    for name, training, speed in asked:
        asked_for = {"name": name, "model": model, "training": training, "speed": speed}
        asked_for |= {"compute": {"device": "cpu"}}  # how texts are batched would be another thing on a card
        made.append(store.start_new(build_spec({**choices.model_dump(), **asked_for})))
    for run in made:
        until(lambda run=run: run.status().state.is_final, "the end")  # type: ignore[misc]
    return [run.id for run in made]


def names(page: Page) -> list[str]:
    """The names in the list, from top to bottom."""
    return page.locator("tr[data-run] td.name > a").all_text_contents()


def test_runs_are_tagged_found_and_sorted(open_page: OpenPage, runs: list[str]) -> None:
    t = words("en")
    page = open_page("/?step=runs")
    row = page.locator(f'tr[data-run="{runs[0]}"]')
    row.get_by_role("button", name=t("runs.edit")).click()
    row.get_by_label(t("runs.tags")).fill("baseline, <i>odd</i>，baseline")
    row.get_by_label(t("runs.notes")).fill("learning rate left open")
    row.get_by_role("button", name=t("runs.save")).click()
    expect(row.locator("button.tag")).to_have_text(["baseline", "<i>odd</i>"])
    expect(row.locator(".noted")).to_have_text("learning rate left open")

    assert names(page) == ["second", "first"]
    page.get_by_role("button", name=t("runs.name"), exact=True).click()
    expect(page.locator("tr[data-run] td.name > a")).to_have_text(["first", "second"])
    page.get_by_role("button", name=t("runs.name"), exact=True).click()
    expect(page.locator("tr[data-run] td.name > a")).to_have_text(["second", "first"])

    page.get_by_label(t("runs.find")).fill("BASE rate")
    expect(page.locator("tr[data-run] td.name > a")).to_have_text(["first"])
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(page.locator("tr[data-run] td.name > a")).to_have_text(["first"])
    page.get_by_label(t("runs.state"), exact=True).select_option("failed")
    expect(page.get_by_text(t("runs.none_found"))).to_be_visible()

    page.goto(page.url.partition("?")[0] + "?step=runs")
    row.get_by_role("button", name=t("runs.edit")).click()
    row.get_by_label(t("runs.tags")).fill("x" * 41)
    row.get_by_role("button", name=t("runs.save")).click()
    expect(page.locator(".problem")).to_contain_text("40")
    expect(row.get_by_label(t("runs.tags"))).to_have_value("x" * 41)


@pytest.mark.parametrize("path", ["/", "/zh"])
def test_runs_stand_beside_each_other_with_what_differs(open_page: OpenPage, runs: list[str], path: str) -> None:
    t = words("zh-CN" if path == "/zh" else "en")
    page = open_page(f"{path}?step=runs")
    button = page.locator(".tools button.button")
    page.locator(f'tr[data-run="{runs[0]}"] input[type=checkbox]').check()
    mark = "box => getComputedStyle(box).appearance"
    assert page.locator(f'tr[data-run="{runs[0]}"] input[type=checkbox]').evaluate(mark) == "auto", "its mark is seen"
    expect(button).to_be_disabled()
    page.locator(f'tr[data-run="{runs[1]}"] input[type=checkbox]').check()
    button.click()
    shown = page.locator(".comparison")
    expect(shown.locator("table.compared").first.locator("thead a")).to_have_text(["first", "second"])
    settings = shown.locator("table.compared").nth(1).locator("tbody tr")
    expect(settings.locator("th")).to_have_text(
        [t(f"setting.{path}.name") for path in ("training.epochs", "training.learning_rate", "speed.batching")]
    )
    worded = [t(f"choice.speed.batching.{value}") for value in ("length_split", "random")]
    expect(settings.last.locator("td")).to_have_text(worded)
    expect(settings.first.locator("td")).to_have_text(["2", "3"])
    expect(shown.locator(".chart .scatterlayer .trace").nth(5)).to_be_attached()
    page.reload()
    expect(page.locator(".comparison table.compared").first).to_be_visible()
    page.get_by_role("button", name=t("compare.close")).click()
    expect(page.locator(".comparison")).to_be_hidden()


def test_a_run_is_copied_with_its_settings(open_page: OpenPage, runs: list[str]) -> None:
    t = words("en")
    page = open_page("/?step=runs")
    page.locator(f'tr[data-run="{runs[1]}"]').get_by_role("link", name=t("runs.clone")).click()
    expect(page.get_by_label(t("setting.training.epochs.name")).first).to_have_value("3")


def test_a_run_that_ends_is_told_by_a_notification(open_page: OpenPage, studio: StudioProcess, runs: list[str]) -> None:
    t, store = words("en"), RunStore(Home(studio.home))
    run = store.start_new(build_spec({**store.get(runs[0]).spec, "name": "a third", "training": {"epochs": 500}}))
    page = open_page("/")
    page.context.grant_permissions(["notifications"], origin=studio.url)
    page.add_init_script(
        "window.told = []; window.Notification = class extends Notification {"
        " constructor(title, options) { super(title, options); told.push([title, options.body, options.tag]); } };"
    )
    page.goto(f"{studio.url}/?run={run.id}&step=train")
    page.locator(".live").get_by_role("button", name=t("train.notify"), exact=True).click()
    expect(page.locator(".live").get_by_role("button", name=t("train.notify_on"))).to_be_visible()
    until(lambda: "Progressed" in {event["type"] for event in run.documents()}, "progress")
    expect(page).to_have_title(re.compile(r"^\d+ % · Studio$"))
    store.stop(run.id)
    page.wait_for_function("window.told.length > 0", timeout=60_000)
    assert page.evaluate("window.told") == [["a third", page.evaluate("window.told[0][1]"), run.id]]
    assert page.evaluate("window.told[0][1]").startswith(t("state.stopped"))


def test_charts_are_drawn_when_their_script_has_come(
    open_page: OpenPage, studio: StudioProcess, runs: list[str]
) -> None:
    page = open_page("/")
    assert page.evaluate("typeof Plotly") == "undefined", "a page without charts need not run 5 MB"
    page.route("**/plotly.js", lambda route: route.abort())
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/plotly.js")):
        page.goto(f"{studio.url}/?run={runs[0]}&step=train")
        expect(page.locator(".charts .chart.loss")).to_be_visible()
    page.unroute("**/plotly.js")
    expect(page.locator(".charts .chart.loss .main-svg").first).to_be_visible()


def test_on_a_phone_nothing_of_a_run_lies_beside_the_screen(
    open_page: OpenPage, studio: StudioProcess, runs: list[str]
) -> None:
    long = "weights of the labels by hand, " * 3 + "学习率更小" * 5
    httpx.post(f"{studio.url}/api/runs/{runs[0]}/name", json={"name": long}).raise_for_status()
    page = open_page("/zh?step=runs", width=390, height=844)
    row = page.locator(f'tr[data-run="{runs[0]}"]')
    expect(row.get_by_role("link", name=long)).to_be_visible()
    # The list beside the page closes first: what it leaves is the width of the screen.
    expect(page.locator(".runs-sidebar")).not_to_have_class(re.compile(r"\bopen\b"))
    hidden = "table => table.parentElement.scrollWidth - table.parentElement.clientWidth"
    assert page.locator("table.runs").evaluate(hidden) == 0
    place = "each => { const box = each.getBoundingClientRect(); return [box.left, box.right, box.height]; }"
    for shown in (row.locator(".result"), row.get_by_role("button").last, row.get_by_role("link", name=long)):
        left, right, height = shown.evaluate(place)
        assert left >= 0
        assert right <= 390
        assert height < 60, "a long name takes two lines"


def test_large_numbers_in_what_is_noted_are_told_in_thousands(open_page: OpenPage, studio: StudioProcess) -> None:
    run = JobDirectory.create(Home(studio.home).runs, kind="train", module="none", spec=build_spec({}).model_dump())
    facts = {"size": 250_002, "used": 31_402}
    with closing(EventLog(run.events_path)) as log:
        log.write(Noted("vocabulary_in_use", facts))
        log.write(JobCompleted({"metrics": {}}))
    run.write_exit(
        {"state": "completed", "exit_code": 0, "signal": None, "error": None, "kept": None, "ended": time.time()}
    )
    for path, language in (("/", "en"), ("/zh", "zh-CN")):
        page = open_page(f"{path}?run={run.id}&step=train")
        note = page.locator(".live ul.notes")
        expect(note).to_contain_text("250,002")
        expect(note).to_have_text(words(language)("note.vocabulary_in_use", **facts))


def test_what_is_not_measured_on_test_texts_or_on_the_same_ones_is_said_and_faults_lead_to_the_options(
    open_page: OpenPage, studio: StudioProcess, runs: list[str]
) -> None:
    t, store = words("en"), RunStore(Home(studio.home))
    end = {"ended": 2.0, "exit_code": 1, "signal": None, "error": None, "kept": None}
    spec = {**store.get(runs[0]).spec, "sample": {"rows": 60}}
    stopped, failed = (
        JobDirectory.create(store.home.runs, kind="train", module="none", spec=build_spec(spec).model_dump())
        for _ in range(2)
    )
    stopped.write_exit({**end, "state": "stopped", "kept": {"step": 1, "epoch": 1.0, "metrics": {"f1": 0.5}}})
    fault = LabelWeightsUnknown(given=["x"], labels=["a", "b"])
    failed.write_exit({**end, "state": "failed", "error": fault.to_dict()})
    page = open_page("/?step=runs")
    row = page.locator(f'tr[data-run="{stopped.id}"] .result')
    expect(row).to_contain_text(t("runs.on_validation").strip())
    expect(page.locator(f'tr[data-run="{runs[0]}"] .result')).not_to_contain_text(t("runs.on_validation").strip())
    for run in (stopped.id, runs[0]):
        page.locator(f'tr[data-run="{run}"] input[type=checkbox]').check()
    page.locator(".tools button.button").click()
    expect(page.locator(".comparison")).to_contain_text(t("compare.other_data"))
    page.goto(f"{studio.url}/?run={failed.id}&step=train")
    primary = page.locator(".banner.bad .primary")
    expect(primary).to_have_text(t("train.change_options"))
    primary.click()
    page.wait_for_url("**step=model**")
