"""The small process above each job: starts its worker, waits for it, and notes how it ended. Uses no torch.

A worker may hang where nothing inside it can end it: a thread of a library waits for the interpreter, and the
interpreter for the thread. So its time is watched from here, and whether it is gone after its last word.

``python -m backend.jobs.supervisor FOLDER LOCK``, started by `backend.jobs.launch`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from backend.errors import (
    MachinesNotMet,
    MemoryKilled,
    ProcessCrashed,
    ProcessesLost,
    ProcessKilled,
    ProcessOverdue,
    StudioError,
    Unexpected,
)
from backend.jobs.checkpoints import is_being_written
from backend.jobs.directory import JobDirectory
from backend.jobs.events import JobFailed, JobStopped, PhaseStarted
from backend.jobs.phases import SAVING
from backend.jobs.platform import (
    adopt_orphans,
    end_descendants,
    lock_given,
    memory_kills,
    start_in_group,
    wait_unreaped,
)
from backend.jobs.queue import await_turn
from backend.jobs.status import JobState

LOG_LINES_KEPT = 20
LOOK_S = 1.0
LAST_WORD_S = 10.0
"""How long a worker may stay after its last word."""
STOP_S, LONGEST_STOP_S = 30.0, 600.0
"""How long a worker may go on after a stop was asked for: as a rule, and where it saves or its steps are slow."""
STEPS_AFTER_STOP = 3
"""Of the longest it has taken between two events."""
MEETING_MODULE = "backend.training.together"
NOT_MET = ("torch.distributed.DistStoreError: Timed out", "torch.distributed.DistNetworkError: The client socket")
"""What torchrun ends with where machines did not come together."""
ROOT_CAUSE = "Root Cause (first observed failure)"
FIRST_KILLED = ("(local_rank: 0)", ": -9 (")
"""What torchrun logs last where the first failure was that the first process was killed."""


class Worker(Protocol):
    """A child that does a job."""

    @property
    def pid(self) -> int:
        """Its number, and that of its process group."""

    def wait(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""


def start_module(job: JobDirectory, held: Sequence[int]) -> Worker:
    """Start the job's module as a worker that has the ``held`` descriptors."""
    command = [sys.executable, "-m", job.description["module"], str(job.path), str(os.getpid())]
    return start_in_group(command, held, stdin=subprocess.DEVNULL)


def supervise(
    job: JobDirectory,
    lock_descriptor: int,
    start: Callable[[JobDirectory, Sequence[int]], Worker] = start_module,
) -> None:
    """Have the job done to its end and write ``exit.json``; nothing, if it has ended already."""
    if job.read_exit() is not None:  # it was cancelled just before somebody had it wait again
        return
    ended, begun = threading.Event(), threading.Event()

    def forward_stop(_number: int, _frame: object) -> None:
        if begun.is_set():
            job.request_stop()
        ended.set()

    signal.signal(signal.SIGTERM, forward_stop)
    signal.signal(signal.SIGINT, forward_stop)
    held = [lock_descriptor]
    if job.place is not None:
        slot = await_turn(job, os.environ, lambda: ended.is_set() or job.stop_requested)
        if slot is None:
            if job.stop_requested:  # else the system ends this process: the run goes on waiting
                cancel(job)
            return
        held.append(slot)
    begun.set()
    if ended.is_set():  # asked for just as its turn came
        job.request_stop()
    adopt_orphans()
    log_begins = job.log_path.stat().st_size if job.log_path.exists() else 0
    worker = start(job, held)
    watched = Watched(memory_kills(), log_begins)
    threading.Thread(target=watch, args=(JobDirectory(job.path), worker.pid, watched), daemon=True).start()
    wait_unreaped(worker.pid)
    with watched.lock:  # as long as it is not reaped, its number is nobody else's
        watched.over = True
        end_descendants(worker.pid)
        exit_code = worker.wait()
    end = describe_end(job, exit_code, watched)
    job.write_exit(end)
    if _machines(job) > 1 and end["state"] is not JobState.COMPLETED:
        tell_other_machines(job)


def cancel(job: JobDirectory) -> None:
    """Note that a job which waited will not begin; only for who holds its lock.

    A further attempt that never began has changed nothing: how the one before ended is how the job ended.
    """
    before = job.read_exit(job.attempt - 1) if job.attempt > 1 else None
    cancelled = {"state": JobState.CANCELLED, "exit_code": None, "signal": None, "error": None, "kept": None}
    interrupted = {**cancelled, "state": JobState.INTERRUPTED}
    job.write_exit({**(before or (interrupted if job.attempt > 1 else cancelled)), "ended": time.time()})
    job.leave_queue()


@dataclass
class Watched:
    """Why a worker was ended from here, if it was."""

    memory_kills_before: int = 0
    """How many processes the system had ended for want of memory when the worker began."""
    log_begins: int = 0
    """Bytes that earlier attempts have written into the log."""
    overdue: bool = False
    """It was there after its time."""
    deaf: bool = False
    """It went on after it was asked to stop."""
    over: bool = False
    """It has ended."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while its group is ended."""


def watch(job: JobDirectory, group: int, watched: Watched) -> None:
    """End a worker with all that it started: after its time, long after its last word, or long after a stop."""
    started, limit_s = time.monotonic(), job.description.get("time_limit_s")
    changed, silent_since = -1.0, started
    stop_asked: float | None = None
    while True:
        time.sleep(LOOK_S)
        now = time.monotonic()
        if limit_s is not None and now - started > limit_s:
            watched.overdue = True
            break
        if stop_asked is None and job.stop_requested:
            stop_asked = now
        if stop_asked is not None and now - stop_asked > STOP_S and now - stop_asked > patience_s(job):
            watched.deaf = True
            break
        written = job.events_path.stat().st_mtime if job.events_path.exists() else -1.0
        if written != changed:
            changed, silent_since = written, now
        # An end is looked for once in each silence: its events may be many.
        elif LAST_WORD_S <= now - silent_since < LAST_WORD_S + 2 * LOOK_S and job.ended_event() is not None:
            break
    with watched.lock:
        if not watched.over:
            end_descendants(group)


def patience_s(job: JobDirectory) -> float:
    """How long after a stop a worker may go on: longer where it saves, or where its steps take long."""
    if job.status().phase == SAVING or is_being_written(job.path):
        return LONGEST_STOP_S
    return min(max(STOP_S, STEPS_AFTER_STOP * job.longest_pause_s), LONGEST_STOP_S)


def describe_end(job: JobDirectory, exit_code: int, watched: Watched | None = None) -> dict[str, Any]:
    """What ``exit.json`` says: the worker's own last word, or what its exit status tells where it had none.

    One that was ended because it was overdue has failed for that reason; one that heard no stop is stopped.
    """
    watched = watched or Watched()
    last = job.ended_event()
    end: dict[str, Any] = {"ended": time.time(), "exit_code": exit_code, "signal": None, "error": None, "kept": None}
    if last is not None:
        end["state"] = last.state
        end["error"] = last.error if isinstance(last, JobFailed) else None
        end["kept"] = last.kept if isinstance(last, JobStopped) else None
    elif (told := _told_by_others(job, watched)) is not None:
        end["state"], end["error"] = JobState.FAILED, told
    elif watched.deaf:
        end["state"], end["signal"] = JobState.STOPPED, signal.Signals.SIGKILL.name
    elif watched.overdue:
        end["state"] = JobState.FAILED
        end["error"] = ProcessOverdue(minutes=round(job.description["time_limit_s"] / 60, 2)).to_dict()
    elif exit_code < 0:
        name = signal.Signals(-exit_code).name
        crashed = -exit_code in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
        end["state"] = JobState.FAILED if crashed else JobState.INTERRUPTED
        end["signal"] = name
        starved = -exit_code == signal.SIGKILL and memory_kills() > watched.memory_kills_before
        end["error"] = (MemoryKilled() if starved else ProcessKilled(signal=name)).to_dict()
    else:
        end["state"] = JobState.FAILED
        end["error"] = _crash_of(job, exit_code, watched).to_dict()
    return end


def _told_by_others(job: JobDirectory, watched: Watched) -> dict[str, Any] | None:
    """The error that another than the first process has left, unless it is that the first was gone."""
    told = job.rank_error()
    broken = told is not None and told["code"] == Unexpected.code
    return None if broken and first_was_killed(job, watched.log_begins) else told


def _crash_of(job: JobDirectory, exit_code: int, watched: Watched) -> StudioError:
    lines = last_lines(job.log_path, since=watched.log_begins)
    begun = job.last_event(PhaseStarted) is not None
    if _machines(job) > 1 and not begun and any(line.startswith(NOT_MET) for line in lines):
        return MachinesNotMet(place=job.spec["compute"]["rendezvous"])
    if not first_was_killed(job, watched.log_begins):
        return ProcessCrashed(exit_code=exit_code, last_lines=lines)
    if memory_kills() > watched.memory_kills_before:
        return MemoryKilled()
    return ProcessesLost(processes=processes_of(job))


def first_was_killed(job: JobDirectory, log_begins: int) -> bool:
    """Whether the first of several processes was killed, and the others ended for that: then it could not tell itself.

    Args:
        log_begins: bytes of the log that are of earlier attempts.
    """
    if processes_of(job) == 1:
        return False
    _, _, cause = "\n".join(last_lines(job.log_path, since=log_begins)).rpartition(ROOT_CAUSE)
    return all(words in cause for words in FIRST_KILLED)


def processes_of(job: JobDirectory) -> int:
    """How many processes a run is shared among; 1 for any other job."""
    return int((job.spec.get("compute") or {}).get("processes", 1)) * _machines(job)


def _machines(job: JobDirectory) -> int:
    return int((job.spec.get("compute") or {}).get("machines", 1))


def tell_other_machines(job: JobDirectory) -> None:
    """Have a process of its own tell the machines that may still wait for this one that it will not come."""
    compute = job.spec["compute"]
    command = [sys.executable, "-m", MEETING_MODULE, compute["rendezvous"], str(compute["machine"])]
    subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def last_lines(path: Path, count: int = LOG_LINES_KEPT, *, since: int = 0) -> list[str]:
    """The last lines of a log, at most 16 KiB of it, of what was written from byte ``since`` on."""
    try:
        with open(path, "rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(since, stream.tell() - 16384))
            return stream.read().decode("utf-8", "replace").splitlines()[-count:]
    except FileNotFoundError:
        return []


def main() -> None:
    """Entry point of the supervisor process."""
    job = JobDirectory(Path(sys.argv[1]))
    supervise(job, lock_given(sys.argv[2], job.lock_path))


if __name__ == "__main__":
    main()
