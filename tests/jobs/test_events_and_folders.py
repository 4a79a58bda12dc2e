"""Events and job folders: what is told from them at any moment, also after a crash."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest

from backend.errors import MemoryFull, NameInvalid, RunActive, RunMissing, RunNotFinished
from backend.jobs import directory
from backend.jobs.checkpoints import list_checkpoints, prune, seal, staging, to_resume
from backend.jobs.directory import JobDirectory, is_job_id, next_id
from backend.jobs.event_reader import EventReader
from backend.jobs.events import EventLog, JobCompleted, JobFailed, JobStopped, LossLogged, PhaseStarted
from backend.jobs.process import JobContext, StopRequested
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job that nobody has started."""
    return JobDirectory.create(tmp_path, kind="test", module="none", spec={"asked": 1})


def make_run(home: Home, name: str = "") -> JobDirectory:
    """A run of an imported table, not started."""
    (home.datasets / "0123456789abcdef").mkdir(exist_ok=True)
    (home.datasets / "0123456789abcdef" / "profile.json").write_text("{}")
    spec = RunSpec().replaced(data__dataset="0123456789abcdef", data__source="reviews.csv", name=name)
    return RunStore(home).create(spec)


def finish(run: JobDirectory, metrics: dict[str, float]) -> None:
    """What a completed run leaves behind."""
    log = EventLog(run.events_path)
    log.write(PhaseStarted("training"))
    log.write(JobCompleted({"metrics": metrics}))
    (run.path / "report.json").write_text(json.dumps({"task": "binary", "metrics": metrics}))
    end = {"state": "completed", "ended": time.time(), "exit_code": 0, "signal": None, "error": None, "kept": None}
    run.write_exit(end)


def test_torn_last_line_is_no_event_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventLog(path).write(PhaseStarted("reading"))
    line = json.dumps(LossLogged(1, 0.1, 0.5, 1e-3).to_dict()) + "\n"
    with open(path, "a") as stream:
        stream.write(line[:20])
    reader = EventReader(lambda attempt: path if attempt == 1 else tmp_path / "none")
    assert [type(event).__name__ for event in reader.events()] == ["PhaseStarted"]
    with open(path, "a") as stream:
        stream.write(line[20:])
    assert [document["seq"] for document in reader.documents()] == [0, 1]
    assert [type(event).__name__ for event in reader.events(since=1)] == ["LossLogged"]


def test_event_that_is_no_number_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        log.write(LossLogged(1, 0.1, math.nan, 1e-3))
    assert (tmp_path / "events.jsonl").read_bytes() == b""


def test_events_of_a_later_version_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text(
        '{"type": "FromTheFuture", "time": 1}\n{"type": "PhaseStarted", "phase": "x", "mood": 1, "time": 1}\n'
    )
    (event,) = EventReader(lambda attempt: path if attempt == 1 else tmp_path / "none").events()
    assert event == PhaseStarted("x", time=1)


def test_state_is_told_from_the_folder_alone(job: JobDirectory) -> None:
    assert JobDirectory(job.path).status().state is JobState.INTERRUPTED, "no process, no end"
    descriptor = job.lock()
    assert descriptor is not None
    assert job.lock() is None, "held once"
    assert JobDirectory(job.path).status().state is JobState.STARTING
    context = JobContext(job)
    with context.phase("reading"):
        assert JobDirectory(job.path).status().state is JobState.RUNNING
        assert job.status().phase == "reading"
        job.request_stop()
        assert job.status().state is JobState.STOPPING
    context.emit(JobStopped(None))
    os.close(descriptor)
    assert JobDirectory(job.path).status().state is JobState.STOPPED


def test_error_of_a_failed_job_is_told_from_its_last_event(job: JobDirectory) -> None:
    JobContext(job).emit(JobFailed(MemoryFull(device="cpu").to_dict()))
    status = job.status()
    assert status.state is JobState.FAILED
    assert isinstance(status.error, MemoryFull)
    assert status.error.device == "cpu"


def test_stop_is_heard_on_entering_a_phase_but_not_by_what_saves(job: JobDirectory) -> None:
    context = JobContext(job)
    job.request_stop()
    with context.phase("saving", hears_stop=False):
        pass
    with pytest.raises(StopRequested), context.phase("reading"):
        pass


def test_progress_is_thinned_and_the_last_one_always_told(job: JobDirectory) -> None:
    context = JobContext(job)
    with context.phase("training"):
        for step in range(1, 1001):
            context.progress(step, 1000)
    told = [document["done"] for document in job.documents() if document["type"] == "Progressed"]
    assert told[-1] == 1000
    assert len(told) < 50


def test_run_is_renamed_and_names_are_checked(home: Home) -> None:
    store, run = RunStore(home), make_run(home)
    assert run.name == "reviews"
    store.rename(run.id, "  上午的外卖 ")
    assert RunStore(home).get(run.id).name == "上午的外卖"
    for bad in ("", "   ", "a\nb", "x" * 121):
        with pytest.raises(NameInvalid):
            store.rename(run.id, bad)


def test_default_names_do_not_repeat(home: Home) -> None:
    assert [make_run(home).name for _ in range(3)] == ["reviews", "reviews 2", "reviews 3"]


def test_running_run_is_not_deleted_and_an_ended_one_is(home: Home) -> None:
    store, run = RunStore(home), make_run(home)
    descriptor = run.lock()
    assert descriptor is not None
    with pytest.raises(RunActive):
        store.delete(run.id)
    os.close(descriptor)
    store.delete(run.id)
    assert not run.path.exists()
    assert store.summaries() == []
    with pytest.raises(RunMissing):
        store.get(run.id)


@pytest.mark.parametrize("run_id", ["", "..", "../../etc", "20260101-000000-abcdef", "x" * 500])
def test_ids_of_no_run_are_missing(home: Home, run_id: str) -> None:
    with pytest.raises(RunMissing):
        RunStore(home).get(run_id)


def test_model_is_only_there_when_it_is(home: Home) -> None:
    run = make_run(home)
    with pytest.raises(RunNotFinished):
        RunStore(home).model_folder(run.id)
    (run.path / "model").mkdir()
    (run.path / "model" / "config.json").write_text("{}")
    assert RunStore(home).model_folder(run.id) == run.path / "model"


@pytest.mark.parametrize("away", [timedelta(), timedelta(hours=1), timedelta(days=365)])
def test_runs_keep_their_order_whatever_the_clock_does(
    home: Home, monkeypatch: pytest.MonkeyPatch, away: timedelta
) -> None:
    made = []
    for shift in (timedelta(), away, -away, timedelta()):

        class Clock(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None, by: timedelta = shift) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + by

        monkeypatch.setattr(directory, "datetime", Clock)
        made += [make_run(home).id for _ in range(20)]
    assert [summary.id for summary in RunStore(home).summaries()] == made[::-1]
    assert len(set(made)) == 80
    assert all(is_job_id(run_id) for run_id in made)


def test_repair_removes_what_a_crash_left_half_made(home: Home) -> None:
    run = make_run(home)
    half = [home.runs / f".{run.id[:-1]}{digit}" for digit in "0123"]
    for folder in half:
        folder.mkdir()
        (folder / "spec.json").write_text("{}")
    then = time.time() - 2 * 3600
    for folder in half[:2]:
        os.utime(folder, (then, then))
    assert [summary.id for summary in RunStore(home).summaries()] == [run.id], "it was never accepted"
    assert RunStore(home).rebuild() == 1
    assert sorted(home.runs.iterdir()) == [*half[2:], run.path], "the young ones may be in the making"


def test_ids_that_have_run_out_in_a_second_go_on_in_the_next(tmp_path: Path) -> None:
    (tmp_path / "20991231-235959-ffffff").mkdir()
    assert next_id(tmp_path, datetime.now(UTC)).startswith("21000101-000000-")


def test_newest_checkpoints_are_told_by_their_steps_and_not_by_the_clock(tmp_path: Path) -> None:
    for step, years in ((10, 0), (20, 1), (30, -1), (40, 0), (50, -1)):
        folder = staging(tmp_path)
        (folder / "model.safetensors").write_bytes(b"weights")
        told = {"epoch": 1.0, "metrics": {}, "complete": True, "data": {}, "position": {}}
        saved = seal(folder, step=step, **told)
        then = time.time() + years * 365 * 86400
        for path in (*saved.path.iterdir(), saved.path):
            os.utime(path, (then, then))
        prune(tmp_path, best=10)
    assert [checkpoint.step for checkpoint in list_checkpoints(tmp_path)] == [10, 40, 50]
    chosen, damaged = to_resume(tmp_path)
    assert chosen is not None
    assert (chosen.step, damaged) == (50, [])


@pytest.mark.parametrize("damage", ["lost", "garbage", "stale"])
def test_catalogue_is_rebuilt_from_the_folders(home: Home, damage: str) -> None:
    store = RunStore(home)
    runs = [make_run(home) for _ in range(3)]
    for number, run in enumerate(runs):
        finish(run, {"f1": number / 10})
    before = store.summaries()
    assert sorted(summary.metrics["f1"] for summary in before) == [0.0, 0.1, 0.2]
    if damage == "lost":
        home.catalogue.unlink()
    elif damage == "garbage":
        home.catalogue.write_bytes(b"this is no database" * 100)
    else:
        shutil.rmtree(runs[1].path)
        before = [summary for summary in before if summary.id != runs[1].id]
    assert RunStore(home).summaries() == before
    assert RunStore(home).rebuild() == len(before)
