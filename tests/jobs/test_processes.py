"""Jobs by real supervisors and workers: a crash, however it comes, is an end with a reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from backend.errors import (
    DiskFull,
    MachinesNotMet,
    MemoryFull,
    MemoryKilled,
    ProcessCrashed,
    ProcessesLost,
    ProcessKilled,
    ProcessOverdue,
    StudioError,
    Unexpected,
)
from backend.jobs import checkpoints
from backend.jobs.directory import RANK_ERROR, JobDirectory
from backend.jobs.events import EventLog, PhaseStarted
from backend.jobs.files import write_json
from backend.jobs.launch import launch
from backend.jobs.platform import memory_kills
from backend.jobs.process import JobContext
from backend.jobs.status import JobState, JobStatus
from backend.jobs.supervisor import LAST_WORD_S, LONGEST_STOP_S, STOP_S, Watched, describe_end, patience_s

WORKER = """
import errno, os, signal, subprocess, sys, time
from backend.errors import MemoryFull
from backend.jobs.process import leave, run_job

def body(context):
    with context.phase("working"):
{code}
    return {{"done": True}}

if __name__ == "__main__":
    {ending}(run_job(body))
"""


HANGING = "import threading\nthreading.Thread(target=time.sleep, args=(300,)).start()"
"""What the interpreter waits for when it ends."""


def run_module(
    tmp_path: Path, code: str, *, stop: bool = False, ending: str = "sys.exit", time_limit_s: float | None = None
) -> JobStatus:
    """The end of a job that does this code."""
    lines = "\n".join(f"        {line}" for line in code.splitlines())
    (tmp_path / "job_module.py").write_text(WORKER.format(code=lines, ending=ending))
    job = JobDirectory.create(tmp_path, kind="test", module="job_module", spec={}, time_limit_s=time_limit_s)
    launch(job, environ={"PYTHONPATH": str(tmp_path)})
    if stop:
        while job.status().state is JobState.STARTING:
            time.sleep(0.02)
        job.request_stop()
    deadline = time.monotonic() + 60
    while not (status := job.status()).state.is_final:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert JobDirectory(job.path).status().state is status.state
    return status


TORCHRUN = """E1128 failed (exitcode: {code}) local_rank: {first} (pid: 11) of binary: python
Failures:
[1]:
  rank      : {other} (local_rank: {other})
  exitcode  : -9 (pid: 12)  (SIGKILL)
  traceback : Signal 9 (SIGKILL) received by PID 12
-----------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : {first} (local_rank: {first})
  exitcode  : {code} (pid: 11)
  error_file: <N/A>
===============================================
"""


@pytest.mark.parametrize(
    ("first", "code", "processes", "told", "error"),
    [
        (0, -9, 2, None, ProcessesLost(processes=2)),
        (0, -9, 2, Unexpected(detail="gloo: read error"), ProcessesLost(processes=2)),
        (0, -9, 2, MemoryFull(device="cpu"), MemoryFull(device="cpu")),
        # It did not end when it was asked to, and torchrun killed it: what the other says is the reason.
        (1, 1, 2, Unexpected(detail="device-side assert"), Unexpected(detail="device-side assert")),
        (1, -11, 2, None, None),
        (0, -9, 1, None, None),
    ],
)
def test_first_process_that_was_killed_is_told_from_one_that_ended_for_another(
    tmp_path: Path, first: int, code: int, processes: int, told: StudioError | None, error: StudioError | None
) -> None:
    spec = {"compute": {"processes": processes, "machines": 1}}
    job = JobDirectory.create(tmp_path, kind="train", module="none", spec=spec)
    job.log_path.write_text(TORCHRUN.format(first=first, other=1 - first, code=code))
    if told:
        write_json(job.path / f"{RANK_ERROR}1.json", told.to_dict())
    end = describe_end(job, 1, Watched(memory_kills()))
    found = StudioError.from_dict(end["error"])
    assert end["state"] is JobState.FAILED
    assert found.facts == error.facts if error else isinstance(found, ProcessCrashed)
    assert type(found) is type(error) or error is None


def test_log_of_an_earlier_attempt_says_nothing_of_this_one(tmp_path: Path) -> None:
    job = JobDirectory.create(tmp_path, kind="train", module="none", spec={"compute": {"processes": 2, "machines": 1}})
    job.log_path.write_text(TORCHRUN.format(first=0, other=1, code=-9))
    begins = job.log_path.stat().st_size
    with open(job.log_path, "a") as log:
        log.write("ImportError: no such thing\n")
    error = StudioError.from_dict(describe_end(job, 1, Watched(memory_kills(), begins))["error"])
    assert isinstance(error, ProcessCrashed)
    assert error.last_lines == ["ImportError: no such thing"]


@pytest.mark.parametrize(
    ("said", "begun", "not_met"),
    [
        ("DistStoreError: Timed out after 901 seconds waiting for clients. 1/2 clients joined.", False, True),
        ("DistNetworkError: The client socket has timed out after 900000ms while trying to connect", False, True),
        ("DistNetworkError: The client socket has timed out after 900000ms while trying to connect", True, False),
        ("DistNetworkError: The server socket has failed to listen on any local network address.", False, False),
    ],
)
def test_machines_that_did_not_meet_are_told_by_their_place(
    tmp_path: Path, said: str, begun: bool, not_met: bool
) -> None:
    compute = {"processes": 1, "machines": 2, "rendezvous": "10.0.0.5:29500"}
    job = JobDirectory.create(tmp_path, kind="train", module="none", spec={"compute": compute})
    if begun:
        JobContext(job).emit(PhaseStarted("training"))
    job.log_path.write_text(f"Traceback (most recent call last):\ntorch.distributed.{said}\n")
    error = StudioError.from_dict(describe_end(job, 1)["error"])
    if not_met:
        assert isinstance(error, MachinesNotMet)
        assert error.place == "10.0.0.5:29500"
    else:
        assert isinstance(error, ProcessCrashed)
        assert error.last_lines[-1].endswith(said)


def test_job_that_does_its_work_is_completed(tmp_path: Path) -> None:
    assert run_module(tmp_path, "pass").state is JobState.COMPLETED


def test_job_that_exits_by_itself_failed_with_its_last_lines(tmp_path: Path) -> None:
    status = run_module(tmp_path, "print('about to leave', flush=True)\nos._exit(5)")
    assert status.state is JobState.FAILED
    assert isinstance(status.error, ProcessCrashed)
    assert (status.error.exit_code, status.error.last_lines[-1]) == (5, "about to leave")


def test_job_that_raises_failed_with_what_it_raised(tmp_path: Path) -> None:
    error = run_module(tmp_path, "raise LookupError('no such thing')").error
    assert isinstance(error, Unexpected)
    assert "no such thing" in error.detail


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("raise MemoryError", MemoryFull),
        ("raise MemoryFull(device='cuda')", MemoryFull),
        ("raise OSError(errno.ENOSPC, 'No space left on device')", DiskFull),
    ],
)
def test_full_memory_and_disk_are_worded(tmp_path: Path, code: str, kind: type[Exception]) -> None:
    assert isinstance(run_module(tmp_path, code).error, kind)


def test_job_killed_from_outside_is_interrupted_and_a_crash_failed(tmp_path: Path) -> None:
    killed = run_module(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    assert killed.state is JobState.INTERRUPTED
    assert isinstance(killed.error, ProcessKilled)
    crashed = run_module(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)")
    assert crashed.state is JobState.FAILED


def test_job_that_is_asked_to_stop_is_stopped(tmp_path: Path) -> None:
    status = run_module(tmp_path, "while True:\n    context.check_stop()\n    time.sleep(0.02)", stop=True)
    assert (status.state, status.error, status.kept) == (JobState.STOPPED, None, None)


def test_termination_by_the_system_is_a_stop(tmp_path: Path) -> None:
    code = "os.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.05)\ncontext.check_stop()"
    assert run_module(tmp_path, code).state is JobState.STOPPED


def test_a_worker_that_hangs_after_its_last_word_is_ended_and_its_word_holds(tmp_path: Path) -> None:
    status = run_module(tmp_path, HANGING)
    assert (status.state, status.error) == (JobState.COMPLETED, None)


def test_a_worker_that_hears_nothing_is_ended_after_its_time_and_says_so(tmp_path: Path) -> None:
    deaf = "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\ntime.sleep(300)"
    status = run_module(tmp_path, deaf, time_limit_s=3.0)
    assert status.state is JobState.FAILED
    assert isinstance(status.error, ProcessOverdue)
    assert status.error.minutes == 0.05


def test_a_worker_that_hears_no_stop_is_ended_with_what_it_started(tmp_path: Path) -> None:
    code = f"""
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "301"], start_new_session=True)
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))
time.sleep(300)"""
    asked = time.time()
    status = run_module(tmp_path, code.strip(), stop=True)
    assert status.state is JobState.STOPPED
    assert STOP_S <= time.time() - asked < STOP_S + 10
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


def test_what_a_worker_leaves_behind_is_ended(tmp_path: Path) -> None:
    code = f"""
child = subprocess.Popen(["sleep", "302"], start_new_session=True)
open({str(tmp_path / "child")!r}, "w").write(str(child.pid))"""
    assert run_module(tmp_path, code.strip()).state is JobState.COMPLETED
    assert not psutil.pid_exists(int((tmp_path / "child").read_text()))


def test_a_stop_waits_for_slow_steps_and_for_saving(tmp_path: Path) -> None:
    job = JobDirectory.create(tmp_path, kind="test", module="none", spec={})
    context = JobContext(job)
    assert patience_s(job) == STOP_S
    for moment in (100.0, 101.0, 161.0):
        context.emit(PhaseStarted("training", time=moment))
    assert patience_s(job) == 180
    folder = checkpoints.staging(job.path)
    assert patience_s(job) == LONGEST_STOP_S, "the checkpoint of the stop is written"
    checkpoints.remove_after(job.path, 7)  # as a further attempt does, if this one is killed in between
    assert not folder.exists()
    assert patience_s(job) == 180
    context.emit(PhaseStarted("saving", time=162.0))
    assert patience_s(job) == LONGEST_STOP_S


def test_a_worker_that_leaves_waits_for_no_thread(tmp_path: Path) -> None:
    status = run_module(tmp_path, HANGING, ending="leave")
    assert status.state is JobState.COMPLETED
    assert status.ended is not None
    assert status.ended - status.created < LAST_WORD_S


def test_a_job_that_is_silent_for_long_tells_where_its_threads_are(tmp_path: Path) -> None:
    code = """
import backend.jobs.process as process
process.SILENT_S = 0.3
context.progress(1, 2)
time.sleep(1.5)
"""
    assert run_module(tmp_path, code).state is JobState.COMPLETED
    (job,) = (JobDirectory(path) for path in tmp_path.iterdir() if (path / "job.json").exists())
    assert "job_module.py" in job.stacks
    assert "in body" in job.stacks


def test_silence_is_told_of_a_job_at_work_only(tmp_path: Path) -> None:
    job = JobDirectory.create(tmp_path, kind="test", module="none", spec={})
    log = EventLog(job.events_path)
    log.write(PhaseStarted("working"))
    log.close()
    with job.locked():
        assert job.status().silent_s is None
        os.utime(job.events_path, (time.time() - 400, time.time() - 400))
        assert 399 < (job.status().silent_s or 0) < 420
    assert job.status().silent_s is None
    assert job.stacks == ""


def test_a_process_that_the_system_ended_for_want_of_memory_is_told_from_one_that_somebody_ended(
    tmp_path: Path,
) -> None:
    group = Path("/sys/fs/cgroup/memory") / f"studio-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(300 << 20))
    except OSError as error:
        pytest.skip(f"no memory limit can be set here: {error}")
    code = f"""
with open("{group}/cgroup.procs", "w") as tasks:
    tasks.write(str(os.getpid()))
hoard = [bytearray(os.urandom(1 << 20)) for _ in range(2000)]
"""
    try:
        status = run_module(tmp_path, code)
    finally:
        group.rmdir()
    assert status.state is JobState.INTERRUPTED
    assert isinstance(status.error, MemoryKilled)
