"""Runs whose processes are forked from one that has loaded their libraries: the same runs, begun at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.events import CombinationTried, Evaluated, LossLogged, PhaseStarted
from backend.jobs.forking import VARIABLE
from backend.jobs.launch import PROJECT
from backend.jobs.status import JobState
from backend.lab.starting import start_lab
from tests.processes import SUPERVISOR, WORKER, processes_of, processes_of_trials, rank_in, until
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


def test_processes_that_share_a_run_are_forked_and_learn_what_ordinary_ones_do(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__epochs=2, compute__processes=2, training__precision="fp32")
    forked = workshop.start(spec)
    trained = until(lambda: ranks_of(forked))
    assert all(is_forked(process) for process in trained)
    agents = processes_of(forked, "torch.distributed.run")
    assert {process.ppid() for process in trained} == {process.pid for process in agents}
    ordinary = workshop.start(spec, **{VARIABLE: ""})
    assert not any(is_forked(process) for process in until(lambda: ranks_of(ordinary)))
    assert len(curve(forked)) > 5
    assert curve(forked) == curve(ordinary)


def test_processes_that_share_a_run_with_an_adapter_load_its_libraries_themselves(workshop: Workshop) -> None:
    run = workshop.start(workshop.spec("bert", adapting__adapter="lora", training__epochs=1000, compute__processes=2))
    trained = until(lambda: ranks_of(run))
    assert not any(is_forked(process) for process in trained)
    until(lambda: events_of(run, LossLogged))
    workshop.store.stop(run.id)
    assert ended(run).status().state is JobState.STOPPED


def ranks_of(run: JobDirectory) -> list[psutil.Process]:
    """The two processes that share a run, when both are there; none before."""
    found = [process for process in processes_of(run, WORKER) if rank_in(process) is not None]
    return found if len(found) == 2 else []


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


def test_each_forked_process_draws_numbers_of_its_own(tmp_path: Path) -> None:
    """As processes do that are started: what is forked would have its parent's generator, and all of them the same."""
    program = f"""
import sys
from pathlib import Path
from backend.jobs.directory import JobDirectory
from backend.warm import start_worker
for number in range(2):
    job = JobDirectory.create(Path({str(tmp_path)!r}), kind="test", module="tests.training.little_numbers", spec={{}})
    print(start_worker(job).wait())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, check=True)
    drawn = [line for line in done.stdout.split() if "." in line]
    assert len(drawn) == 2, done.stderr
    assert drawn[0] != drawn[1]
