"""A studio as a user has it, with the process from which it forks those of runs: Train is clicked, and it begins."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from backend.jobs.events import LossLogged
from backend.jobs.forking import VARIABLE, can_fork
from backend.jobs.store import RunStore
from backend.settings import Home
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import open_options
from tests.processes import SUPERVISOR, WORKER, commands, processes_of, until
from tests.training.conftest import write_table

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not can_fork(), reason="no process is forked here: another system, a card, or little memory"),
]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A studio that finds no fork server in its environment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(VARIABLE, raising=False)
        process = StudioProcess(tmp_path_factory.mktemp("studio") / "home")
    yield process
    process.close()


def servers(studio: StudioProcess) -> list[tuple[psutil.Process, Path]]:
    """The processes from which this studio forks others, and where they answer."""
    own = (each for each in commands() if each[0].info["ppid"] == studio.process.pid)
    return [(process, Path(command[-1])) for process, command in own if "backend.warm" in command]


def test_run_of_an_open_studio_is_forked_and_outlives_it(
    open_page: Callable[..., Page], studio: StudioProcess, tmp_path: Path
) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "at_once.csv", 240))
    page.locator("label:visible", has_text=t("setting.training.epochs.help")).locator("input").fill("500")
    ((server, address),) = servers(studio)
    until(address.exists, "the server")
    page.locator("#train-en").click()
    page.wait_for_url(re.compile(r"run=[0-9a-f-]+"), wait_until="commit")
    (summary,) = RunStore(Home(studio.home)).summaries()
    run = RunStore(Home(studio.home)).get(summary.id)
    until(lambda: any(isinstance(event, LossLogged) for event in run.events()), "the first loss")
    workers = processes_of(run, WORKER)
    assert len(workers) == len(processes_of(run, SUPERVISOR)) == 1
    assert workers[0].cmdline()[0] != sys.executable, "it was forked"
    studio.kill()
    until(lambda: not server.is_running(), "the end of the server")
    assert processes_of(run, WORKER) == workers
