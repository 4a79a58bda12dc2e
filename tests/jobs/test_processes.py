"""Jobs by real supervisors and workers: a crash, however it comes, is an end with a reason."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backend.errors import DiskFull, MemoryFull, ProcessCrashed, ProcessKilled, ProcessOverdue, Unexpected
from backend.jobs.directory import JobDirectory, JobState, JobStatus
from backend.jobs.launch import launch
from backend.jobs.supervisor import LAST_WORD_S

WORKER = """
import errno, os, signal, sys, time
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


def test_a_worker_that_leaves_waits_for_no_thread(tmp_path: Path) -> None:
    status = run_module(tmp_path, HANGING, ending="leave")
    assert status.state is JobState.COMPLETED
    assert status.ended is not None
    assert status.ended - status.created < LAST_WORD_S
