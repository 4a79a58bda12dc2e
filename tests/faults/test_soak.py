"""Many faults, one after another: nothing is left behind, and the state that is told is true."""

from __future__ import annotations

import random
import time
from collections import Counter

import psutil
import pytest

from backend.jobs.directory import JobDirectory, JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.faults.conftest import await_phase, await_that, processes_of, start_run

pytestmark = pytest.mark.soak
SUPERVISORS_KILLED, STOPS = 50, 100
LEFT_S, STOPPED_S = 5.0, 35.0


def alive_in(run: JobDirectory) -> list[psutil.Process]:
    """Every living process that names the run's folder."""
    return [p for p in psutil.process_iter(["cmdline"]) if str(run.path) in (p.info["cmdline"] or [])]


@pytest.mark.timeout(3600)
def test_fifty_killed_supervisors_leave_no_process(home: Home) -> None:
    run = start_run(home)
    spec = RunSpec(**run.spec)
    for number in range(SUPERVISORS_KILLED):
        await_phase(run, "reading")
        time.sleep(random.Random(number).uniform(0, 2))
        for supervisor in processes_of(run, "backend.jobs.supervisor"):
            supervisor.kill()
        await_that(lambda run=run: not alive_in(run), "the end of all processes", LEFT_S)  # type: ignore[misc]
        assert run.status().state is JobState.INTERRUPTED
        RunStore(home).delete(run.id)
        run = RunStore(home).start_new(spec)
    RunStore(home).stop(run.id)
    await_that(lambda: run.status().state.is_final, "the last one's end")


@pytest.mark.timeout(7200)
def test_a_hundred_stops_at_random_moments_end_in_time(home: Home) -> None:
    draw, ends = random.Random(7), Counter[JobState]()
    first = start_run(home)
    spec = RunSpec(**first.spec)
    runs = [first]
    for _ in range(STOPS):
        run = runs[-1]
        time.sleep(draw.uniform(0, 8))
        asked = time.monotonic()
        RunStore(home).stop(run.id)
        await_that(lambda run=run: run.status().state.is_final, "the stop", STOPPED_S)  # type: ignore[misc]
        assert time.monotonic() - asked < STOPPED_S
        await_that(lambda run=run: not alive_in(run), "the end of all processes", LEFT_S)  # type: ignore[misc]
        ends[run.status().state] += 1
        kept = run.status().kept
        assert (kept is None) != (run.path / "model" / "model.safetensors").exists(), "what is kept is there"
        RunStore(home).delete(run.id)
        runs.append(RunStore(home).start_new(spec))
    assert set(ends) == {JobState.STOPPED}, ends
    RunStore(home).stop(runs[-1].id)
    await_that(lambda: runs[-1].status().state.is_final, "the last one's end")
