"""A job's folder: the truth about it. Anyone may read it; only the job's own processes write its events.

job.json      what kind of job, the module that does it, when it was made, how long it may take
spec.json     what was asked
name.txt      what the user calls it (runs only; may change)
events.jsonl  what happened
exit.json     how it ended, written by the supervisor
log.txt       everything its processes printed
lock          held (flock) as long as the supervisor or the worker lives
rank-N.json   why process N of several failed, written by it
reserve       room on the disk for the last word, given back when the job ends
stop          there once the user asked it to stop
"""

from __future__ import annotations

import enum
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from backend.errors import StudioError
from backend.jobs.events import Ended, Event, EventReader, JobFailed, JobStopped, PhaseStarted, Progressed
from backend.jobs.files import read_json, write_bytes, write_json

RESERVE_BYTES = 64 << 10
RANK_ERROR = "rank-"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def is_job_id(text: str) -> bool:
    """Whether the text is the name of a job's folder: nothing else may become part of a path."""
    return _ID.fullmatch(text) is not None


class JobState(enum.StrEnum):
    """Where a job stands. The last four are final."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen any more."""
        return self in (JobState.COMPLETED, JobState.STOPPED, JobState.FAILED, JobState.INTERRUPTED)


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


class JobDirectory:
    """One job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = EventReader(self.events_path)

    @classmethod
    def create(
        cls, parent: Path, *, kind: str, module: str, spec: dict[str, Any], time_limit_s: float | None = None
    ) -> JobDirectory:
        """A new folder under ``parent`` for a job that ``python -m module FOLDER`` does, at most this long."""
        now = datetime.now(UTC)
        job = cls(parent / f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}")
        job.path.mkdir()
        try:
            write_json(job.path / "spec.json", spec)
            write_bytes(job.path / "reserve", secrets.token_bytes(RESERVE_BYTES))
            description = {"kind": kind, "module": module, "created": now.timestamp(), "time_limit_s": time_limit_s}
            write_json(job.path / "job.json", description)
        except OSError:
            job.discard()  # a full disk leaves no half job behind
            raise
        return job

    def discard(self) -> None:
        """Remove the folder of a job that could not be started."""
        shutil.rmtree(self.path, ignore_errors=True)

    def release_reserve(self) -> None:
        """Give back the room that was kept, so that the job's end can be noted on a full disk."""
        (self.path / "reserve").unlink(missing_ok=True)

    @property
    def id(self) -> str:
        """The folder's name: time-ordered and unique."""
        return self.path.name

    @property
    def events_path(self) -> Path:
        """The append-only record of what happened."""
        return self.path / "events.jsonl"

    @property
    def log_path(self) -> Path:
        """Everything the job's processes printed."""
        return self.path / "log.txt"

    @cached_property
    def description(self) -> dict[str, Any]:
        """``{"kind", "module", "created", "time_limit_s"}``; ``FileNotFoundError`` if this is no job's folder."""
        document: dict[str, Any] = read_json(self.path / "job.json")
        return document

    @cached_property
    def spec(self) -> dict[str, Any]:
        """What was asked."""
        document: dict[str, Any] = read_json(self.path / "spec.json")
        return document

    @property
    def name(self) -> str:
        """What the user calls it; empty if nothing was said."""
        try:
            return (self.path / "name.txt").read_text("utf-8").strip()
        except FileNotFoundError:
            return ""

    def rename(self, name: str) -> None:
        """Call it ``name``."""
        write_bytes(self.path / "name.txt", name.encode())

    def documents(self, since: int = 0) -> list[dict[str, Any]]:
        """Events from sequence number ``since`` on, as JSON documents."""
        return self._reader.documents(since)

    def events(self, since: int = 0) -> Iterator[Event]:
        """Events from sequence number ``since`` on."""
        return self._reader.events(since)

    # -- stopping

    def request_stop(self) -> None:
        """Ask the job to stop at its next step; it hears at once, and nothing is killed."""
        (self.path / "stop").touch()

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked it to stop."""
        return (self.path / "stop").exists()

    # -- life

    def lock(self) -> int | None:
        """A descriptor that holds the job's lock, or None if a process of the job holds it.

        The lock belongs to the open file, so children that inherit the descriptor keep it held.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    @property
    def is_alive(self) -> bool:
        """Whether a process of the job lives: told by the held lock, never by a process number."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two onlookers never take each other for the job.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def write_exit(self, document: dict[str, Any]) -> None:
        """Note how the job ended: ``{"state", "ended", "exit_code", "signal", "error", "kept"}``."""
        self.release_reserve()
        write_json(self.path / "exit.json", document)

    def read_exit(self) -> dict[str, Any] | None:
        """How it ended; None while it lives, and where no process was left to note it."""
        try:
            document: dict[str, Any] = read_json(self.path / "exit.json")
        except FileNotFoundError:
            return None
        return document

    def rank_error(self) -> dict[str, Any] | None:
        """Why one of the job's processes besides the first failed, as `StudioError.to_dict`; None if none said so."""
        for file in sorted(self.path.glob(f"{RANK_ERROR}*.json")):
            document: dict[str, Any] = read_json(file)
            return document
        return None

    def ended_event(self) -> Ended | None:
        """The event that closed the job, if its worker came that far."""
        last = None
        for event in self.events():
            if isinstance(event, Ended):
                last = event
        return last

    def status(self) -> JobStatus:
        """Where the job stands now. Reads only what is new since the last call."""
        # Life first: if it is found dead, its exit and its last events are already on disk.
        alive = self.is_alive
        closing = self.read_exit()
        phase, progress = "", None
        for event in self.events():
            if isinstance(event, PhaseStarted):
                phase, progress = event.phase, None
            elif isinstance(event, Progressed):
                progress = event
        state, error, kept, ended = self._end(alive, closing, phase)
        return JobStatus(state, self.description["created"], phase, progress, error, kept, ended)

    def _end(
        self, alive: bool, closing: dict[str, Any] | None, phase: str
    ) -> tuple[JobState, StudioError | None, dict[str, Any] | None, float | None]:
        if closing is not None:
            error = StudioError.from_dict(closing["error"]) if closing.get("error") else None
            return JobState(closing["state"]), error, closing.get("kept"), closing["ended"]
        if alive:
            if self.stop_requested:
                return JobState.STOPPING, None, None, None
            return (JobState.RUNNING if phase else JobState.STARTING), None, None, None
        last = self.ended_event()
        if last is None:
            return JobState.INTERRUPTED, None, None, None
        error = StudioError.from_dict(last.error) if isinstance(last, JobFailed) else None
        kept = last.kept if isinstance(last, JobStopped) else None
        return JobState(last.state), error, kept, last.time

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Hold the job's lock, for starting it. Raises ``BlockingIOError`` if a process of the job lives."""
        descriptor = self.lock()
        if descriptor is None:
            raise BlockingIOError(f"job {self.id} is alive")
        try:
            yield descriptor
        finally:
            os.close(descriptor)
