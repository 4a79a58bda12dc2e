"""Runs whose processes are forked from one that has loaded their libraries: the same runs, begun at once."""

from __future__ import annotations

import sys

import psutil
import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.events import CombinationTried, Evaluated, LossLogged, PhaseStarted
from backend.jobs.forking import VARIABLE
from backend.jobs.status import JobState
from backend.lab.starting import start_lab
from tests.processes import SUPERVISOR, WORKER, processes_of, until
from tests.training.conftest import Workshop, ended, events_of


@pytest.fixture(autouse=True)
def served(runs_begin_at_once: bool) -> None:
    """Processes are forked here."""
    if not runs_begin_at_once:
        pytest.skip("no process is forked here: another system, a card, little memory, or not asked for")


def is_forked(process: psutil.Process) -> bool:
    """Whether the process has taken another's name instead of being started by it."""
    return process.cmdline()[0] != sys.executable


def curve(run: JobDirectory) -> list[tuple[int, float]]:
    return [(event.step, event.loss) for event in events_of(ended(run), LossLogged)]


def test_forked_run_learns_what_an_ordinary_one_does(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__epochs=3)
    forked, ordinary = workshop.start(spec), workshop.start(spec, **{VARIABLE: ""})
    supervisor = until(lambda: processes_of(forked, SUPERVISOR))[0]
    assert is_forked(supervisor)
    assert len(curve(forked)) > 5
    assert curve(forked) == curve(ordinary)
    measured = [[event.metrics for event in events_of(run, Evaluated)] for run in (forked, ordinary)]
    assert measured[0] == measured[1]
    assert forked.status().state is ordinary.status().state is JobState.COMPLETED


def test_forked_run_has_a_supervisor_and_a_worker_as_an_ordinary_one(workshop: Workshop) -> None:
    run = workshop.start(workshop.spec("bert", training__epochs=1000))
    until(lambda: events_of(run, LossLogged))
    (supervisor,), (worker,) = processes_of(run, SUPERVISOR), processes_of(run, WORKER)
    assert worker.ppid() == supervisor.pid
    assert is_forked(supervisor)
    assert is_forked(worker)
    workshop.store.stop(run.id)
    assert ended(run).status().state is JobState.STOPPED


def test_run_with_an_adapter_loads_its_libraries_itself(workshop: Workshop) -> None:
    run = workshop.start(workshop.spec("bert", training__epochs=1000, adapting__adapter="lora"))
    until(lambda: events_of(run, PhaseStarted))
    assert not any(is_forked(process) for process in processes_of(run))
    until(lambda: events_of(run, LossLogged))
    workshop.store.stop(run.id)
    assert ended(run).status().state is JobState.STOPPED


def test_ways_of_the_lab_are_forked_and_end_with_it(workshop: Workshop) -> None:
    job = start_lab(workshop.store.home, workshop.spec("bert"), ["plain", "chosen"], steps=20_000)  # for minutes
    trials = until(lambda: processes_of_trials(job))
    assert all(is_forked(trial) for trial in trials)
    (supervisor,) = processes_of(job, SUPERVISOR)
    supervisor.kill()
    gone, alive = psutil.wait_procs(trials, timeout=15)
    assert gone
    assert not alive
    assert not events_of(job, CombinationTried)


def processes_of_trials(job: JobDirectory) -> list[psutil.Process]:
    """The processes that try a way of this lab."""
    folder = job.path / "trials"
    if not folder.exists():
        return []
    return [process for path in folder.iterdir() for process in processes_of(JobDirectory(path), "backend.lab.trial")]
