"""Runs that wait, are stopped and resumed, in the browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.events import Evaluated
from backend.jobs.queue import AT_ONCE_VARIABLE
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import fill_setting, open_options, open_step
from tests.faults.conftest import start_run
from tests.processes import until
from tests.training.conftest import write_table

pytestmark = pytest.mark.browser


def test_double_click_starts_one_run_and_a_later_click_another(
    open_page: Callable[..., Page], studio: StudioProcess, tmp_path: Path
) -> None:
    page = open_options(open_page, write_table(tmp_path / "reviews.csv", 150))
    page.locator("#train-en").dblclick()
    page.wait_for_url("**run=*")
    until(lambda: bool(studio.runs()) and studio.runs()[0]["state"] == "completed", "the run's end")
    assert len(studio.runs()) == 1, "one double click, one run"
    open_step(page, "model")
    page.locator("#train-en").click()
    until(lambda: len(studio.runs()) == 2, "the same settings once more")


def test_waiting_run_is_cancelled_and_a_stopped_one_goes_on(
    open_page: Callable[..., Page], studio: StudioProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AT_ONCE_VARIABLE, "1")
    t, home = words("en"), Home(studio.home)
    until(lambda: all(run["state"] == "completed" for run in studio.runs()), "an idle studio")
    first, second = start_run(home), start_run(home)
    waiting = open_page(f"/zh?run={second.id}&step=train", width=390, height=844)
    expect(waiting.locator(".live .state")).to_have_text(words("zh-CN")("state.queued"))
    expect(waiting.locator(".live-line .where")).to_contain_text(first.name)
    expect(waiting.locator(".live .progress")).to_be_hidden()
    assert waiting.evaluate("document.documentElement.scrollWidth") <= 390
    listed = open_page("/?step=runs").locator(f'tr[data-run="{second.id}"]')
    expect(listed.locator(".place")).to_have_text(t("runs.place", place=1))
    expect(listed.get_by_role("button", name=t("runs.first"))).to_be_disabled()  # it is there
    waiting.locator(".live button.stop").click()
    expect(waiting.locator(".ending .banner")).to_contain_text(words("zh-CN")("train.cancelled"))

    page = open_page(f"/?run={first.id}&step=train")
    until(lambda: len(list_checkpoints(first.path)) > 1, "checkpoints")
    page.locator(".live button.stop").click()
    expect(page.locator(".live .state")).to_have_text(t("state.stopped"), timeout=60_000)
    steps = [checkpoint.step for checkpoint in list_checkpoints(first.path) if checkpoint.complete]
    other = open_page(f"/?run={first.id}&step=train", width=390, height=844)
    expect(other.locator(".ending .banner")).to_contain_text(t("train.stopped"))
    page.get_by_label(t("train.checkpoint")).select_option(str(steps[0]))
    page.get_by_role("button", name=t("train.resume", step=f"{steps[0]:,}")).click()
    expect(page.locator(".live ul.notes")).to_contain_text(t("train.resumed", step=f"{steps[0]:,}"), timeout=60_000)
    expect(page.locator(".live .state")).to_have_text(t("state.running"))
    expect(other.locator(".live .state")).to_have_text(t("state.running"), timeout=20_000)
    expect(other.locator(".ending .banner")).to_have_count(0)
    RunStore(home).stop(first.id)
    until(lambda: first.status().state is JobState.STOPPED, "the second stop")
    assert first.attempt == 2


def test_run_that_is_stopped_before_its_first_epoch_says_what_was_kept(
    open_page: Callable[..., Page], studio: StudioProcess, shared_data: Path
) -> None:
    """A starter's first part is before the epochs: its best checkpoint has no epoch, and no test text was asked."""
    t, home = words("en"), Home(studio.home)
    page = open_options(open_page, shared_data / "waimai_10k.csv")
    fill_setting(page, t, "training.epochs", "50")
    page.locator("#train-en").click()
    page.wait_for_url("**run=*")
    run = RunStore(home).get(page.url.rpartition("run=")[2].partition("&")[0])
    best = until(lambda: [event for event in run.events() if isinstance(event, Evaluated)], "the first evaluation")[0]
    page.locator(".live button.stop").click()
    expect(page.locator(".live .state")).to_have_text(t("state.stopped"), timeout=60_000)
    metrics = {name: f"{best.metrics[name]:.3f}" for name in ("f1", "accuracy")}
    kept = t("train.kept_first", step=f"{best.step:,}", **metrics)
    expect(page.locator(".ending")).to_contain_text(kept)
    top = page.evaluate("document.querySelector('.chart.metrics')._fullLayout.yaxis.range[1]")
    assert top <= 1.02, "no measure is above 1"
    open_step(page, "results")
    expect(page.locator(".sentence")).to_have_text(t("results.stopped", step=best.step, **metrics))
    held_out = t("results.held_out", count="{}", train=0, validation=0).partition("{}")[0]
    expect(page.locator(".two-cards")).to_contain_text(t("results.speed"))
    assert held_out
    expect(page.get_by_text(held_out)).to_have_count(0)
