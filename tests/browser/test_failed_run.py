"""A run that cannot go on, in the browser: what happened, what was kept, and another try by one click."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from backend.errors import LossNotFinite
from backend.jobs.status import JobState
from studio.i18n import words
from studio.terminal import status_of_end
from tests.browser.studio_process import PROJECT, StudioProcess
from tests.browser.test_story import await_state
from tests.tiny_models import UNCLIPPED, make_enormous
from tests.training.conftest import BAD, GOOD, write_table

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def failed_run(studio: StudioProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The id of a run that diverged in its first steps."""
    folder = tmp_path_factory.mktemp("diverges")
    table = write_table(folder / "reviews.csv", 240)
    base = make_enormous(folder / "base", [*GOOD, *BAD])
    flags = [f"--{path.partition('__')[2].replace('_', '-')}={value}" for path, value in UNCLIPPED.items()]
    command = [sys.executable, "-m", "studio", "train", str(table), "--model", str(base), "--home", str(studio.home)]
    command += [*flags, "--epochs=2", "--batch-size=32", "--evaluations=7"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    expected = status_of_end(JobState.FAILED, LossNotFinite(step=1, learning_rate=1.0))
    assert done.returncode == expected == 7, (done.returncode, done.stdout, done.stderr)
    (run,) = studio.runs()
    return str(run["id"])


def test_failed_run_says_why_and_tries_its_kept_model(open_page: Callable[..., Page], failed_run: str) -> None:
    t = words("en")
    page = open_page(f"/?run={failed_run}&step=train")
    banner = page.locator(".banner.bad")
    expect(banner).to_contain_text("NaN")
    expect(banner.get_by_role("button")).to_have_count(2)
    banner.get_by_text(t("train.try"), exact=True).click()
    box = page.locator("#try-en textarea").first
    expect(box).to_be_visible()


def test_failed_run_is_started_again_with_its_remedy(
    open_page: Callable[..., Page], studio: StudioProcess, failed_run: str
) -> None:
    t = words("en")
    page = open_page(f"/?run={failed_run}&step=train")
    page.locator(".banner.bad button.primary").click()
    page.wait_for_url(lambda url: "run=" in url and failed_run not in url)
    await_state(page, t, "completed")
    assert [run["state"] for run in studio.runs()] == ["completed", "failed"]


def test_failed_run_is_readable_on_a_phone_in_chinese(open_page: Callable[..., Page], failed_run: str) -> None:
    page = open_page(f"/zh?run={failed_run}&step=train", width=390, height=844)
    clipped = words("zh-CN")("remedy.clipping", max_gradient_norm=1.0)
    expect(page.locator(".banner.bad button.primary")).to_have_text(clipped)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
