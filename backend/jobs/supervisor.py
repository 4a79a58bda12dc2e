"""The small process above each job: starts its worker, waits for it, and notes how it ended. Never imports torch.

``python -m backend.jobs.supervisor FOLDER LOCK_DESCRIPTOR``, started by `backend.jobs.launch`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from backend.errors import ProcessCrashed, ProcessKilled
from backend.jobs.directory import JobDirectory, JobState
from backend.jobs.events import JobFailed, JobStopped

LOG_LINES_KEPT = 20


def supervise(job: JobDirectory, lock_descriptor: int) -> None:
    """Run the job's module to its end and write ``exit.json``."""

    def forward_stop(_number: int, _frame: object) -> None:
        job.request_stop()

    signal.signal(signal.SIGTERM, forward_stop)
    signal.signal(signal.SIGINT, forward_stop)
    worker = subprocess.Popen(
        [sys.executable, "-m", job.description["module"], str(job.path)],
        stdin=subprocess.DEVNULL,
        pass_fds=[lock_descriptor],
    )
    job.write_exit(describe_end(job, worker.wait()))


def describe_end(job: JobDirectory, exit_code: int) -> dict[str, Any]:
    """What ``exit.json`` says: the worker's own last word, or what its exit status tells where it had none."""
    last = job.ended_event()
    end: dict[str, Any] = {"ended": time.time(), "exit_code": exit_code, "signal": None, "error": None, "kept": None}
    if last is not None:
        end["state"] = last.state
        end["error"] = last.error if isinstance(last, JobFailed) else None
        end["kept"] = last.kept if isinstance(last, JobStopped) else None
    elif exit_code < 0:
        name = signal.Signals(-exit_code).name
        crashed = -exit_code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
        end["state"] = JobState.FAILED if crashed else JobState.INTERRUPTED
        end["signal"] = name
        end["error"] = ProcessKilled(signal=name).to_dict()
    else:
        end["state"] = JobState.FAILED
        end["error"] = ProcessCrashed(exit_code=exit_code, last_lines=last_lines(job.log_path)).to_dict()
    return end


def last_lines(path: Path, count: int = LOG_LINES_KEPT) -> list[str]:
    """The last lines of a log, at most 16 KiB of it."""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - 16384))
            return stream.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def main() -> None:
    """Entry point of the supervisor process."""
    supervise(JobDirectory(Path(sys.argv[1])), int(sys.argv[2]))


if __name__ == "__main__":
    main()
