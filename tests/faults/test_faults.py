"""What is killed, and what finds no room: the state that is told is true, and nothing else breaks."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from backend.data.datasets import list_datasets, start_import, wait
from backend.errors import DiskFull
from backend.jobs.directory import JobDirectory, JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import PROJECT, StudioProcess
from tests.faults.conftest import PATIENCE_S, SAMPLE, SmallDisk, await_phase, await_that, processes_of, start_run


@pytest.fixture
def run(home: Home) -> Iterator[JobDirectory]:
    """A run at its work; what is left of it is ended after the test."""
    started = start_run(home)
    try:
        await_phase(started, "reading")
        yield started
    finally:
        for module in ("backend.jobs.supervisor", "backend.worker"):
            for process in processes_of(started, module):
                process.kill()


def test_a_killed_worker_leaves_an_interrupted_run_that_says_so(home: Home, run: JobDirectory) -> None:
    (worker,) = processes_of(run, "backend.worker")
    worker.kill()
    await_that(lambda: run.status().state.is_final, "the end")
    status = run.status()
    assert status.state is JobState.INTERRUPTED
    assert status.error is not None
    assert (status.error.code, status.error.facts["signal"]) == ("run.killed", "SIGKILL")
    RunStore(home).delete(run.id)
    assert not run.path.exists()


def test_a_killed_supervisor_takes_its_worker_along(home: Home, run: JobDirectory) -> None:
    (supervisor,) = processes_of(run, "backend.jobs.supervisor")
    supervisor.kill()
    supervisor.wait(10)
    await_that(lambda: run.status().state is JobState.INTERRUPTED, "the end", patience_s=5.0)
    assert not processes_of(run, "backend.worker")
    assert RunStore(home).get(run.id).status().state is JobState.INTERRUPTED


def test_all_processes_killed_is_told_as_interrupted(home: Home, run: JobDirectory) -> None:
    for module in ("backend.jobs.supervisor", "backend.worker"):
        for process in processes_of(run, module):
            process.kill()
    await_that(lambda: run.status().state.is_final, "the end")
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
        await_that(lambda: again.runs()[0]["state"] == "stopped", "the stop")
    finally:
        again.close()


def test_a_full_disk_ends_a_training_in_words_and_the_studio_goes_on(small_disk: SmallDisk) -> None:
    home = Home(small_disk.path / "home").prepare()
    run = start_run(home)
    await_phase(run, "training")
    small_disk.fill()
    await_that(lambda: run.status().state.is_final, "the end")
    status = run.status()
    assert status.state is JobState.FAILED
    assert status.error is not None
    assert status.error.code == "run.disk_full"
    store = RunStore(home)
    assert [summary.state for summary in store.summaries()] == [JobState.FAILED]
    store.delete(run.id)
    assert store.summaries() == []


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
