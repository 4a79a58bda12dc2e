"""The frame of every worker process: events, stopping, and a truthful last word.

A worker module is a function from a `JobContext` to a result, and ``sys.exit(run_job(function))`` at its end.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from backend.errors import ProcessesLost, StudioError, Unexpected, typed_error
from backend.jobs.directory import RANK_ERROR, JobDirectory
from backend.jobs.events import Event, EventLog, JobCompleted, JobFailed, JobStopped, PhaseStarted, Progressed
from backend.jobs.files import write_json
from backend.jobs.platform import end_with_parent
from backend.jobs.ranks import rank_of

SILENT_S = 180.0
"""After so long without an event a job may hang: where its threads are is written down, and nothing else happens."""
PROGRESS_INTERVAL_S = 0.25
LONGEST_PROGRESS_INTERVAL_S = 10.0
OTHERS_S = 3.0
"""How long a process waits for another one to say why it ended."""
LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
PROGRESS_SHARE = 2000
"""The interval grows to this part of the time that the phase has taken, so that its events stay a few thousand."""


class StopRequested(Exception):
    """The user asked the job to stop; ``kept`` says what remains of it (None: nothing)."""

    def __init__(self, kept: dict[str, Any] | None = None) -> None:
        super().__init__("stop requested")
        self.kept = kept


class JobContext:
    """What a worker needs of its job: its folder, its events, and whether it should stop."""

    def __init__(self, job: JobDirectory) -> None:
        self.job = job
        self.path = job.path
        self.spec = job.spec
        self.seconds: dict[str, float] = {}
        """Seconds spent in each phase so far."""
        self.phase_name = ""
        self.rank = rank_of(os.environ)
        self.hearers: list[Callable[[Event], None]] = []
        """Who is told of each event, besides the record."""
        self.at_end: list[Callable[[], None]] = []
        """What is done before the last word, however the work has ended."""
        self._log = EventLog(job.events_path) if self.rank.leads else None
        self._stacks: IO[str] | None = None
        self._terminated = False
        self._progressed_at = 0.0
        self._phase_started = time.monotonic()

    def emit(self, event: Event) -> None:
        """Record what happened; where several processes do the job, the first one of this machine does so."""
        if self._log is not None:
            self._log.write(event)
        for hear in self.hearers:
            hear(event)
        if self._stacks is not None:
            watch_for_silence(self._stacks)

    @contextmanager
    def phase(self, name: str, *, hears_stop: bool = True) -> Iterator[None]:
        """Spend the block in phase ``name``, timed; a stop that was asked for is heard on entering, unless the phase
        saves what the stop is to keep."""
        if hears_stop:
            self.check_stop()
        self.phase_name = name
        self._progressed_at = 0.0
        self.emit(PhaseStarted(name))
        self._phase_started = started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def progress(self, done: float, total: float, *, unit: str = "", rate: float | None = None, **more: Any) -> None:
        """Record how far the phase is, at most every quarter of a second, later more rarely, the last one always."""
        now = time.monotonic()
        longer = min(LONGEST_PROGRESS_INTERVAL_S, (now - self._phase_started) / PROGRESS_SHARE)
        if now - self._progressed_at >= max(PROGRESS_INTERVAL_S, longer) or (total and done >= total):
            self._progressed_at = now
            self.emit(Progressed(self.phase_name, done, total, unit, rate, **more))

    @property
    def stop_requested(self) -> bool:
        """Whether the user, or the system by SIGTERM, asked the job to stop: of several processes the first hears."""
        return self.rank.leads and (self._terminated or self.job.stop_requested)

    def check_stop(self) -> None:
        """Raise `StopRequested` if a stop was asked for."""
        if self.stop_requested:
            raise StopRequested

    def write_stacks_when_silent(self) -> None:
        """From now on write where every thread is into the job's folder, whenever long enough nothing has happened."""
        path = self.job.stacks_path if self.rank.leads else self.path / f"stacks-{self.rank.number}.txt"
        self._stacks = open(path, "w", encoding="utf-8")  # noqa: SIM115 - it stays open to the end
        watch_for_silence(self._stacks)

    def hear_termination(self) -> None:
        """Let SIGTERM and SIGINT ask for a stop instead of ending the process."""

        def terminated(_number: int, _frame: object) -> None:
            self._terminated = True

        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGINT, terminated)


def watch_for_silence(stacks: IO[str]) -> None:
    """Start the clock anew. It is a thread of C, which needs not wait for one that holds the interpreter.

    Where there is no memory for a thread the job goes on unwatched: its own next step says why it ends.
    """
    try:
        faulthandler.dump_traceback_later(SILENT_S, file=stacks)
    except RuntimeError as error:
        print(f"This process is not watched for silence: {error}.", file=sys.stderr)


def given_supervisor() -> int | None:
    """The number of the supervisor, which gives it to a worker as the second argument; others start without one."""
    return int(sys.argv[2]) if len(sys.argv) > 2 else None


def run_job(
    body: Callable[[JobContext], dict[str, Any]], translate: Callable[[Exception], StudioError] | None = None
) -> int:
    """Do the job whose folder is the first argument; returns the process's exit status, 0 only when completed.

    ``translate`` words foreign errors that the body lets through; it gives `Unexpected` for those it does not know.
    """
    context = JobContext(JobDirectory(Path(sys.argv[1])))
    if context.rank.leads:
        context.hear_termination()
    context.write_stacks_when_silent()
    end_with_parent(given_supervisor())
    return carry_out(context, body, translate)


def carry_out(
    context: JobContext,
    body: Callable[[JobContext], dict[str, Any]],
    translate: Callable[[Exception], StudioError] | None = None,
) -> int:
    """Do a job to its last word, as `run_job` does; returns the exit status."""
    try:
        result = body(context)
    except StopRequested as stop:
        if not context.rank.alone and not context.job.stop_requested:  # torchrun ends all where one has failed
            return _close(context, JobFailed(_error_of_others(context).to_dict()), 1)
        return _close(context, JobStopped(stop.kept), 3)
    except Exception as error:
        worded = _worded(error, context.path, translate)
        if not context.rank.leads:
            write_json(context.path / f"{RANK_ERROR}{context.rank.number}.json", worded.to_dict())
        elif not context.rank.alone and isinstance(worded, Unexpected):
            worded = _error_of_others(context, worded)  # what breaks in one process breaks the talk of the others
        status = _close(context, JobFailed(worded.to_dict()), 1)
        with suppress(OSError):  # the log may be on the disk that is full: the event has said why
            traceback.print_exc()
        return status
    return _close(context, JobCompleted(result), 0)


def _error_of_others(context: JobContext, otherwise: StudioError | None = None) -> StudioError:
    """What ended another process of the job, if it could say so."""
    deadline = time.monotonic() + OTHERS_S
    while (found := context.job.rank_error()) is None and time.monotonic() < deadline:
        time.sleep(PROGRESS_INTERVAL_S)
    if found is not None:
        return StudioError.from_dict(found)
    lost = any(words in str(otherwise and otherwise.facts).lower() for words in LOST)
    return otherwise if otherwise is not None and not lost else ProcessesLost(processes=context.rank.processes)


def leave(status: int) -> NoReturn:
    """End this process now, as its last act.

    For workers that leave off reading in mid-file: the threads that a library reads with may be waiting for the
    interpreter, which while it ends would wait for them, for ever.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the disk is full: the event has said all
            stream.flush()
    os._exit(status)


def _close(context: JobContext, end: Event, status: int) -> int:
    # The last word must reach the disk even when it is full: room was kept for it.
    if context.rank.leads:
        context.job.release_reserve()
    for leave_off in context.at_end:
        with suppress(OSError):  # nothing may keep the last word
            leave_off()
    context.emit(end)
    return status


def _worded(error: Exception, folder: Path, translate: Callable[[Exception], StudioError] | None) -> StudioError:
    known = typed_error(error, folder)
    if known is not None:
        return known
    return translate(error) if translate else Unexpected(detail=f"{type(error).__name__}: {error}"[:1000])
