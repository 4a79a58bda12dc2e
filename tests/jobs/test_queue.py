"""The queue of runs: one at a time, in order, with no process of its own to be lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, start_import, wait
from backend.errors import CheckpointMissing, RunActive, RunNotQueued, RunNotResumable
from backend.jobs import queue
from backend.jobs.directory import JobDirectory
from backend.jobs.launch import launch
from backend.jobs.status import JobState
from backend.jobs.store import RunStore, names_ahead
from backend.settings import Home
from backend.specs import RunSpec, build_spec
from tests.faults.conftest import SAMPLE, kill_all
from tests.processes import PATIENCE_S, SUPERVISOR, processes_of, until

CLIENTS = 50

pytestmark = pytest.mark.usefixtures("runs_begin_at_once")


@pytest.fixture
def spec(home: Home) -> RunSpec:
    """A run that would take an hour."""
    dataset = wait(start_import(home, SAMPLE), PATIENCE_S)["dataset"]
    choices = first_choices(load_profile(home, dataset))
    return build_spec({**choices.model_dump(), "training": {"epochs": 500}})


@pytest.fixture
def store(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """A store whose runs train one at a time; what is left of them is ended after the test."""
    monkeypatch.setenv(queue.AT_ONCE_VARIABLE, "1")
    yield RunStore(home)
    kill_all(home)


def started(store: RunStore, spec: RunSpec, count: int) -> list[JobDirectory]:
    """So many runs, the first of them at work."""
    runs = []
    for number in range(count):
        run = store.start_new(spec.replaced(name=f"run {number}"))
        runs.append(run)
        until(lambda: runs[0].status().state is not JobState.QUEUED, "the first one's turn")
    return runs


def states(runs: list[JobDirectory]) -> list[str]:
    """Where they stand."""
    return [str(run.status().state) for run in runs]


def lose_waiter(run: JobDirectory, how: signal.Signals = signal.SIGKILL) -> None:
    """End the process in which a run waits."""
    until(lambda: bool(processes_of(run, SUPERVISOR)), "the waiter")
    for process in processes_of(run, SUPERVISOR):
        process.send_signal(how)
        process.wait(5)


def test_runs_wait_for_their_turn_and_can_be_moved_and_cancelled(store: RunStore, spec: RunSpec) -> None:
    runs = started(store, spec, 4)
    first, second, third, fourth = runs
    assert states(runs)[1:] == ["queued"] * 3
    assert [run.id for run in store.queued()] == [second.id, third.id, fourth.id]
    assert names_ahead(store, third) == ["run 0", "run 1"]
    store.move(fourth.id, 0)
    assert [run.id for run in store.queued()] == [fourth.id, second.id, third.id]
    store.move(fourth.id, 1)
    assert [run.id for run in store.queued()] == [second.id, fourth.id, third.id]
    store.move(third.id, 0)
    with pytest.raises(RunNotQueued):
        store.move(first.id, 0)
    with pytest.raises(RunActive):
        store.delete(second.id)

    store.stop(second.id)
    until(lambda: second.status().state.is_final, "the cancelling")
    assert second.status().state is JobState.CANCELLED
    assert not second.events_path.exists(), "it has never begun"
    with pytest.raises(RunNotResumable):
        store.resume(second.id)

    store.stop(first.id)
    until(lambda: third.status().state is not JobState.QUEUED, "the next one's turn")
    assert states([first, third, fourth])[::2] == ["stopped", "queued"]


def test_a_lost_waiter_keeps_its_place_and_waits_again(store: RunStore, spec: RunSpec) -> None:
    first, second, third = started(store, spec, 3)
    lose_waiter(second)
    assert second.status().state is JobState.QUEUED, "an accepted run is not lost"
    fresh = RunStore(store.home)
    fresh.revive()
    until(lambda: second.is_alive, "the new waiter")
    assert [run.id for run in fresh.queued()] == [second.id, third.id]
    store.stop(first.id)
    until(lambda: second.status().state is not JobState.QUEUED, "its turn")
    assert third.status().state is JobState.QUEUED


def test_a_dead_waiter_holds_up_nobody_and_is_cancelled_at_once(store: RunStore, spec: RunSpec) -> None:
    first, second, third = started(store, spec, 3)
    lose_waiter(second)
    store.stop(first.id)
    until(lambda: third.status().state is not JobState.QUEUED, "the turn of the one behind it")
    store.stop(second.id)
    assert second.status().state is JobState.CANCELLED


def test_the_system_ending_a_waiter_does_not_cancel_the_run(store: RunStore, spec: RunSpec) -> None:
    _first, second = started(store, spec, 2)
    time.sleep(1.0)  # until it listens
    lose_waiter(second, signal.SIGTERM)
    assert second.status().state is JobState.QUEUED


def test_many_clients_with_one_request_start_one_run(store: RunStore, spec: RunSpec) -> None:
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(lambda _: RunStore(store.home).start_new(spec, "a click").id, range(CLIENTS)))
    assert len(set(found)) == 1
    assert len([path for path in store.home.runs.iterdir() if queue.is_job_id(path.name)]) == 1
    assert store.start_new(spec, "another click").id != found[0]


def test_one_of_many_who_resume_at_once_does(store: RunStore, spec: RunSpec) -> None:
    (run,) = started(store, spec, 1)
    store.stop(run.id)
    until(lambda: run.status().state.is_final, "the stop")
    with pytest.raises(CheckpointMissing):
        store.resume(run.id, step=123456)

    def resumed(_number: int) -> bool:
        try:
            RunStore(store.home).resume(run.id)
        except RunActive:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(resumed, range(10))) == 1
    assert JobDirectory(run.path).attempt == 2
    store.stop(run.id)
    until(lambda: run.status().state.is_final, "the second stop")
    assert run.status().state is JobState.STOPPED


def test_a_run_that_was_cancelled_is_not_begun_by_who_thought_that_it_waits(store: RunStore, spec: RunSpec) -> None:
    _first, second = started(store, spec, 2)
    lose_waiter(second)
    store.stop(second.id)
    assert second.status().state is JobState.CANCELLED
    launch(second)
    until(lambda: not second.is_alive, "its end")
    assert second.status().state is JobState.CANCELLED
    assert not second.events_path.exists()


def test_what_an_attempt_tells_is_read_past_one_that_never_began(store: RunStore, spec: RunSpec) -> None:
    first, second = started(store, spec, 2)
    store.stop(first.id)
    until(lambda: second.status().state is JobState.RUNNING, "the second one's turn")
    store.resume(first.id)
    store.stop(first.id)
    until(lambda: first.status().state.is_final, "the cancelling")
    assert not first.events_path.exists()
    store.stop(second.id)
    store.resume(first.id)
    until(lambda: first.status().state is JobState.RUNNING, "its third attempt")
    store.stop(first.id)
    until(lambda: first.status().state.is_final, "the stop")
    status = JobDirectory(first.path).status()
    assert (status.attempt, status.state, status.error) == (3, JobState.STOPPED, None)


def test_further_attempt_that_was_cancelled_leaves_what_was(store: RunStore, spec: RunSpec) -> None:
    first, second = started(store, spec, 2)
    store.stop(first.id)
    until(lambda: second.status().state is not JobState.QUEUED, "the second one's turn")
    kept = first.status()
    store.resume(first.id)
    assert first.status().state is JobState.QUEUED
    store.stop(first.id)
    until(lambda: first.status().state.is_final, "the cancelling")
    assert (first.status().state, first.status().kept) == (JobState.STOPPED, kept.kept)


def test_number_of_runs_at_once_is_read_from_the_environment(tmp_path: Path) -> None:
    assert queue.runs_at_once({}) == queue.runs_at_once({queue.AT_ONCE_VARIABLE: "many"}) == 1
    assert queue.runs_at_once({queue.AT_ONCE_VARIABLE: "3"}) == 3
