"""What is killed, and what finds no room: the state that is told is true, and nothing else breaks."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from backend.data.datasets import list_datasets, start_import, wait
from backend.errors import DiskFull
from backend.jobs.checkpoints import list_checkpoints, to_resume
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import PROJECT, StudioProcess
from tests.faults.conftest import SAMPLE, SmallDisk, await_phase, start_run
from tests.processes import PATIENCE_S, SUPERVISOR, WORKER, kill, processes_of, until

INNOCENT = 100


@pytest.fixture
def run(home: Home) -> Iterator[JobDirectory]:
    """A run at its work; what is left of it is ended after the test."""
    started = start_run(home)
    try:
        await_phase(started, "reading")
        yield started
    finally:
        kill(started)


def test_a_killed_worker_leaves_an_interrupted_run_that_says_so(home: Home, run: JobDirectory) -> None:
    (worker,) = processes_of(run, WORKER)
    worker.kill()
    until(lambda: run.status().state.is_final, "the end")
    status = run.status()
    assert status.state is JobState.INTERRUPTED
    assert status.error is not None
    assert (status.error.code, status.error.facts["signal"]) == ("run.killed", "SIGKILL")
    RunStore(home).delete(run.id)
    assert not run.path.exists()


def test_a_killed_supervisor_takes_its_worker_along(home: Home, run: JobDirectory) -> None:
    (supervisor,) = processes_of(run, SUPERVISOR)
    supervisor.kill()
    supervisor.wait(10)
    until(lambda: run.status().state is JobState.INTERRUPTED, "the end", patience_s=5.0)
    assert not processes_of(run, WORKER)
    assert RunStore(home).get(run.id).status().state is JobState.INTERRUPTED


def test_a_worker_whose_supervisor_was_killed_before_it_looked_ends_too(home: Home) -> None:
    """It imports for a second before it can ask to end with its parent, which by then is another process."""
    run = start_run(home)
    until(lambda: bool(processes_of(run, WORKER)), "the worker")
    (supervisor,) = processes_of(run, SUPERVISOR)
    supervisor.kill()
    supervisor.wait(10)
    until(lambda: run.status().state is JobState.INTERRUPTED, "the end", patience_s=5.0)
    assert not processes_of(run, WORKER)


def test_all_processes_killed_is_told_as_interrupted(home: Home, run: JobDirectory) -> None:
    kill(run)
    until(lambda: run.status().state.is_final, "the end")
    (summary,) = RunStore(home).summaries()
    assert summary.state is JobState.INTERRUPTED
    RunStore(home).delete(run.id)


def test_a_killed_studio_comes_back_to_the_run_as_it_is(home: Home, run: JobDirectory) -> None:
    studio = StudioProcess(home.path)
    assert [entry["state"] for entry in studio.runs()] == ["running"]
    studio.kill()
    assert run.status().state is JobState.RUNNING
    again = StudioProcess(home.path)
    try:
        assert [entry["state"] for entry in again.runs()] == ["running"]
        assert httpx.delete(f"{again.url}/api/runs/{run.id}").status_code == 409
        assert httpx.post(f"{again.url}/api/runs/{run.id}/stop").status_code == 200
        until(lambda: again.runs()[0]["state"] == "stopped", "the stop")
    finally:
        again.close()


def test_a_full_disk_ends_a_training_in_words_and_the_studio_goes_on(small_disk: SmallDisk) -> None:
    home = Home(small_disk.path / "home").prepare()
    run = start_run(home)
    await_phase(run, "training")
    small_disk.fill()
    until(lambda: run.status().state.is_final, "the end")
    status = run.status()
    assert status.state is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "run.disk_full"
    store = RunStore(home)
    assert [summary.state for summary in store.summaries()] == [JobState.FAILED]
    store.delete(run.id)
    assert store.summaries() == []


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param(3, marks=pytest.mark.timeout(400)),
        pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]),
    ],
)
def test_a_disk_filled_to_any_level_keeps_what_was_saved(small_disk: SmallDisk, levels: int) -> None:
    home = Home(small_disk.path / "home").prepare()
    run, store = start_run(home), RunStore(home)
    ends: Counter[JobState] = Counter()
    for level in range(levels):
        until(lambda: len(list_checkpoints(run.path)) > 1, "checkpoints")
        before = list_checkpoints(run.path)[-1]
        # From nothing to more than one checkpoint takes: the disk is full in another file of it each time.
        small_disk.fill(leave=round(1.2 * before.bytes * level / max(1, levels - 1)))
        with suppress(AssertionError):  # where there is room enough it goes on
            until(lambda: run.status().state.is_final, "the end", patience_s=10.0)
        (summary,) = store.summaries()
        assert summary.state is run.status().state
        store.stop(run.id)
        until(lambda: run.status().state.is_final, "the stop")
        status = run.status()
        ends[status.state] += 1
        assert status.error is None or status.error.code == "run.disk_full", status.error
        found, damaged = to_resume(run.path)
        assert damaged == []
        assert found is not None
        assert found.step >= before.step, "what was saved is still there, whole"
        assert all(not checkpoint.damage() for checkpoint in list_checkpoints(run.path))
        small_disk.empty()
        store.resume(run.id)
    assert ends[JobState.FAILED], "no level was low enough"
    store.stop(run.id)
    until(lambda: run.status().state.is_final, "the last stop")


def test_processes_that_look_like_a_runs_own_are_never_signalled(home: Home, run: JobDirectory) -> None:
    modules, look = ("backend.jobs.supervisor", "backend.worker"), "import time; time.sleep(600)"
    innocent = [
        subprocess.Popen(
            [sys.executable, "-S", "-c", look, "-m", modules[number % 2], str(run.path)],
            cwd=run.path,
            process_group=0 if number % 4 < 2 else None,
        )
        for number in range(INNOCENT)
    ]
    try:
        store = RunStore(home)
        store.stop(run.id)
        until(lambda: run.status().state.is_final, "the stop")
        store.resume(run.id)
        until(lambda: run.status().state is JobState.RUNNING, "the second attempt")
        for module in modules:
            for process in processes_of(run, module):
                if process.pid not in {each.pid for each in innocent}:
                    process.kill()
        until(lambda: run.status().state is JobState.INTERRUPTED, "the end", patience_s=10.0)
        store.stop(run.id)
        store.resume(run.id)
        store.stop(run.id)
        until(lambda: run.status().state.is_final, "the last stop")
        store.delete(run.id)
        store.empty_trash()
        assert [process.poll() for process in innocent] == [None] * INNOCENT
    finally:
        for process in innocent:
            process.kill()
            process.wait()


def test_a_full_disk_ends_an_import_in_words_and_leaves_nothing_behind(small_disk: SmallDisk, tmp_path: Path) -> None:
    home = Home(small_disk.path / "home").prepare()
    large = tmp_path / "large.csv"
    with open(large, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([f"number {n} of {n * 7919 % 100_003}", n % 2] for n in range(300_000))
    job = start_import(home, large)
    small_disk.fill()
    with pytest.raises(DiskFull):
        wait(job, PATIENCE_S)
    small_disk.empty()
    assert list_datasets(home) == []
    assert not any(home.datasets.iterdir())
    assert wait(start_import(home, SAMPLE), PATIENCE_S)["dataset"]


def test_a_job_that_finds_no_room_at_all_leaves_no_half_folder(small_disk: SmallDisk) -> None:
    home = Home(small_disk.path / "home").prepare()
    small_disk.fill()
    with pytest.raises(OSError, match="No space"):
        start_import(home, SAMPLE)
    assert not any(home.jobs.iterdir())


def test_a_studio_on_a_full_disk_still_shows_renames_and_deletes(small_disk: SmallDisk) -> None:
    home = Home(small_disk.path / "home").prepare()
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=RunSpec().model_dump())
    run.set_name("old")
    studio = StudioProcess(home.path)
    try:
        small_disk.fill()
        assert [entry["id"] for entry in studio.runs()] == [run.id]
        small_disk.fill()  # what an index that could not be written gave back
        answer = httpx.post(f"{studio.url}/api/runs/{run.id}/name", json={"name": "new"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "run.disk_full")
        assert httpx.delete(f"{studio.url}/api/runs/{run.id}").status_code == 200
        assert studio.runs() == []
    finally:
        studio.close()


def test_a_command_on_a_full_disk_says_so(small_disk: SmallDisk) -> None:
    home = Home(small_disk.path / "home").prepare()
    small_disk.fill()
    command = [sys.executable, "-m", "studio", "train", str(SAMPLE), "--json", "--home", str(home.path)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 6
    assert json.loads(ended.stdout)["error"]["code"] == "run.disk_full"
