"""Where a job stands, told from its folder alone: never from memory or a process number.

What decides, in this order: how it ended as its supervisor wrote it, its place in the queue, the held lock, and the
last event of its worker.
"""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.errors import RunMissing, StudioError
from backend.jobs.events import JobFailed, JobStopped, PhaseStarted, Progressed

if TYPE_CHECKING:
    from backend.jobs.directory import JobDirectory

HUNG_S = 190.0
"""Without an event for so long a job may hang; by then it has written down where its threads are."""


class JobState(enum.StrEnum):
    """Where a job stands. The last five are final."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self not in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING)

    @property
    def is_resumable(self) -> bool:
        """Whether another attempt may follow."""
        return self in (JobState.STOPPED, JobState.FAILED, JobState.INTERRUPTED)


@dataclass(frozen=True)
class JobStatus:
    """A job at one moment, told from its folder alone."""

    state: JobState
    created: float
    phase: str
    progress: Progressed | None
    error: StudioError | None
    kept: dict[str, Any] | None
    """For a stopped job, what remains of it."""
    ended: float | None
    """Seconds since 1970; None while it lives, and where no process was left to note the time."""
    attempt: int = 1
    silent_s: float | None = None
    """For one at work that has not told anything for long, how long; it may hang."""


def status_of(job: JobDirectory) -> JobStatus:
    """Where the job stands now. Reads only what is new since the last call.

    Raises:
        RunMissing: its folder is gone.
    """
    while True:
        attempt, alive = job.attempt, job.is_alive
        try:
            found = _look(job, alive)
            (job.path / "job.json").stat()
        except FileNotFoundError:
            raise RunMissing(run=job.id) from None
        # Somebody may have begun another attempt meanwhile: what was found is then partly of the one before.
        if attempt == job.attempt and (alive or not job.is_alive):
            return found


def _look(job: JobDirectory, alive: bool) -> JobStatus:
    # Life was looked for first: where none was found, the exit and the last events are already on disk. And whether
    # it waits before how it ended: one that is cancelled gives up its place last.
    waits, closing = job.waits, job.read_exit()
    entered = job.last_document(PhaseStarted, Progressed)
    phase = entered["phase"] if entered else ""
    progress = job.last_event(Progressed) if entered and entered["type"] == Progressed.__name__ else None
    assert progress is None or isinstance(progress, Progressed)
    state, error, kept, ended = _end(job, alive, waits, closing, phase)
    silent_s = _silent_s(job) if state in (JobState.RUNNING, JobState.STOPPING) else None
    created = job.description["created"]
    return JobStatus(state, created, phase, progress, error, kept, ended, job.attempt, silent_s)


def _silent_s(job: JobDirectory) -> float | None:
    try:
        silent_s = time.time() - job.events_path.stat().st_mtime
    except FileNotFoundError:
        return None
    return silent_s if silent_s > HUNG_S else None


def _end(
    job: JobDirectory, alive: bool, waits: bool, closing: dict[str, Any] | None, phase: str
) -> tuple[JobState, StudioError | None, dict[str, Any] | None, float | None]:
    if closing is not None:
        error = StudioError.from_dict(closing["error"]) if closing.get("error") else None
        return JobState(closing["state"]), error, closing.get("kept"), closing["ended"]
    if waits:  # if no process waits for its turn, one is started again (`backend.jobs.queue`)
        return JobState.QUEUED, None, None, None
    if alive:
        if job.stop_requested:
            return JobState.STOPPING, None, None, None
        return (JobState.RUNNING if phase else JobState.STARTING), None, None, None
    last = job.ended_event()
    if last is None:
        return JobState.INTERRUPTED, None, None, None
    error = StudioError.from_dict(last.error) if isinstance(last, JobFailed) else None
    kept = last.kept if isinstance(last, JobStopped) else None
    return JobState(last.state), error, kept, last.time
