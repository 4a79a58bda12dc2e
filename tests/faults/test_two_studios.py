"""Two studios on one home: what one does the other tells at once, and nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import StudioProcess
from tests.faults.conftest import await_phase, start_run
from tests.processes import WORKER, processes_of, until


@pytest.fixture
def studios(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[StudioProcess, StudioProcess]]:
    """Two of them, with runs that wait for each other."""
    monkeypatch.setenv("STUDIO_RUNS_AT_ONCE", "1")
    first, second = (StudioProcess(home.path) for _ in range(2))
    yield first, second
    first.close()
    second.close()


def told(studio: StudioProcess) -> dict[str, tuple[str, str]]:
    """What a studio tells of each run: its state and its name."""
    return {str(run["id"]): (str(run["state"]), str(run["name"])) for run in studio.runs()}


def both(studios: tuple[StudioProcess, StudioProcess], ask: Callable[[StudioProcess], httpx.Response]) -> list[int]:
    """The status codes of a request that both are sent at the same moment."""
    with ThreadPoolExecutor(2) as pool:
        return [answer.status_code for answer in pool.map(ask, studios)]


def test_two_studios_tell_the_same_and_do_nothing_twice(
    home: Home, studios: tuple[StudioProcess, StudioProcess]
) -> None:
    first, second = studios
    store, run = RunStore(home), start_run(home)
    await_phase(run, "training")
    waiting = store.start_new(RunSpec(**run.spec).replaced(training__epochs=400))
    assert told(first) == told(second)
    assert {state for state, _ in told(first).values()} == {"running", "queued"}

    renamed = httpx.post(f"{second.url}/api/runs/{run.id}/name", json={"name": "by the second"})
    assert renamed.status_code == 200
    assert told(first)[run.id] == ("running", "by the second")

    assert both(studios, lambda studio: httpx.post(f"{studio.url}/api/runs/{run.id}/stop")) == [200, 200]
    until(lambda: run.status().state is JobState.STOPPED, "the stop")
    await_phase(waiting, "training")
    assert len(processes_of(waiting, WORKER)) == 1, "it was waited for by both, and started once"

    codes = both(studios, lambda studio: httpx.post(f"{studio.url}/api/runs/{run.id}/resume", timeout=30))
    assert 200 in codes
    assert (run.attempt, run.status().state) == (2, JobState.QUEUED), codes
    assert told(first) == told(second)

    first.kill()
    httpx.post(f"{second.url}/api/runs/{waiting.id}/stop").raise_for_status()
    until(lambda: waiting.status().state is JobState.STOPPED, "the stop by the one that is left")
    until(lambda: run.status().state is JobState.RUNNING, "the second attempt")
    until(lambda: bool(processes_of(run, WORKER)), "its worker")
    assert len(processes_of(run, WORKER)) == 1
    httpx.delete(f"{second.url}/api/runs/{waiting.id}").raise_for_status()

    third = StudioProcess(home.path)
    try:
        assert told(third) == told(second)
        assert set(told(third)) == {run.id}
    finally:
        third.close()
    until(lambda: run.status().state is JobState.STOPPED, "the end of what is left")
