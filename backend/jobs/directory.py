"""A job's folder: the truth about it. Anyone may read it; only the job's own processes write its events.

job.json      what kind of job, the module that does it, when it was made, how long it may take
spec.json     what was asked
name.txt      what the user calls it (runs only; may change)
events.jsonl  what happened
exit.json     how it ended, written by the supervisor
queued        its place among those that wait for their turn; gone once it has begun (runs only)
log.txt       everything its processes printed
lock          held (flock) as long as the supervisor or the worker lives
stacks.txt    where its threads were when nothing had happened for long
rank-N.json   why process N of several failed, written by it
reserve       room on the disk for the last word, given back when the job ends
stop          there once the user asked it to stop

A job that ended may be attempted again. ``attempt-2.json`` begins the second attempt, which has ``events-2.jsonl``,
``exit-2.json``, ``queued-2`` and ``stop-2``, and so on; what the attempts before it left stays as it is.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from backend.jobs.event_reader import EventReader
from backend.jobs.events import Ended, Event, JobCompleted, JobFailed, JobStopped, event_from_dict
from backend.jobs.files import move, read_json, sync, touch, write_bytes, write_json
from backend.jobs.platform import TO_LOOK_AT, lock_file
from backend.jobs.status import JobStatus, status_of

Told = TypeVar("Told", bound=Event)

RESERVE_BYTES = 64 << 10
RANK_ERROR = "rank-"
HIDDEN = "."
LOCK_LOOK_S = 0.02
STACKS_CHARACTERS = 20_000
_STAMP = "%Y%m%d-%H%M%S"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")


def is_job_id(text: str) -> bool:
    """Whether the text is the name of a job's folder: nothing else may become part of a path."""
    return _ID.fullmatch(text) is not None


def next_id(parent: Path, now: datetime) -> str:
    """An id for a new job in this folder: the time, but greater than all ids there, also where the clock was set back
    or several are made within a second."""
    names = (entry.name.removeprefix(HIDDEN) for entry in os.scandir(parent))
    newest = max(filter(is_job_id, names), default="")
    fresh = f"{now:{_STAMP}}-{secrets.token_hex(3)}"
    if fresh > newest:
        return fresh
    stamp, _, counted = newest.rpartition("-")
    number = int(counted, 16) + 1 + secrets.randbelow(1 << 16)
    if number < 1 << 24:
        return f"{stamp}-{number:06x}"
    return f"{datetime.strptime(stamp, _STAMP) + timedelta(seconds=1):{_STAMP}}-{secrets.token_hex(3)}"


class JobDirectory:
    """One job's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._attempt = 1
        self._reader = EventReader(lambda attempt: self._file("events", ".jsonl", attempt), lambda: self.attempt)

    @classmethod
    def create(
        cls,
        parent: Path,
        *,
        kind: str,
        module: str,
        spec: dict[str, Any],
        time_limit_s: float | None = None,
        hidden: bool = False,
    ) -> JobDirectory:
        """A new folder under ``parent`` for a job that ``python -m module FOLDER`` does, at most this long.

        A ``hidden`` one is found by nobody until `show`.
        """
        now = datetime.now(UTC)
        job = cls(parent / f"{HIDDEN}{next_id(parent, now)}")
        job.path.mkdir()
        try:
            write_json(job.path / "spec.json", spec)
            write_bytes(job.path / "reserve", secrets.token_bytes(RESERVE_BYTES))
            description = {"kind": kind, "module": module, "created": now.timestamp(), "time_limit_s": time_limit_s}
            write_json(job.path / "job.json", description)
            if not hidden:
                job.show()
        except OSError:
            job.discard()  # a full disk leaves no half job behind
            raise
        return job

    def show(self) -> None:
        """Give a hidden folder the name by which it is found."""
        shown = self.path.with_name(self.id)
        move(self.path, shown)
        self.path = shown

    def discard(self) -> None:
        """Remove the folder of a job that could not be started, hidden or not."""
        for name in (self.id, f"{HIDDEN}{self.id}"):
            shutil.rmtree(self.path.with_name(name), ignore_errors=True)

    def release_reserve(self) -> None:
        """Give back the room that was kept, so that the job's end can be noted on a full disk."""
        (self.path / "reserve").unlink(missing_ok=True)

    @property
    def id(self) -> str:
        """The folder's name, unique and in the order in which jobs were made (`next_id`)."""
        return self.path.name.removeprefix(HIDDEN)

    @property
    def attempt(self) -> int:
        """The number of the current attempt, from 1."""
        while self._file("attempt", ".json", self._attempt + 1).exists():
            self._attempt += 1
        return self._attempt

    def _file(self, name: str, ending: str = "", attempt: int | None = None) -> Path:
        number = self.attempt if attempt is None else attempt
        return self.path / (f"{name}-{number}{ending}" if number > 1 else f"{name}{ending}")

    def begin_attempt(self, number: int, step: int | None, place: float) -> None:
        """Have the attempt of this number wait at this place, to go on from the checkpoint of ``step`` (None: the
        newest one).

        Only for who holds the job's lock. Raises ``FileExistsError`` where there is one of this number.
        """
        file = self._file("attempt", ".json", number)
        if file.exists():
            raise FileExistsError(file)
        write_bytes(self.path / "reserve", secrets.token_bytes(RESERVE_BYTES))
        for said in self.path.glob(f"{RANK_ERROR}*.json"):
            said.unlink()
        write_bytes(self._file("queued", attempt=number), _written(place))
        document = {"attempt": number, "from": step, "created": datetime.now(UTC).timestamp()}
        write_json(file, document)  # last: with this file the attempt is there, and it waits

    @property
    def resumed_from(self) -> int | None:
        """The step that the current attempt was asked to go on from; None: the newest checkpoint."""
        if self.attempt == 1:
            return None
        step: int | None = read_json(self._file("attempt", ".json"))["from"]
        return step

    @property
    def events_path(self) -> Path:
        """The append-only record of what happened in the current attempt."""
        return self._file("events", ".jsonl")

    @property
    def log_path(self) -> Path:
        """Everything the job's processes printed."""
        return self.path / "log.txt"

    @property
    def lock_path(self) -> Path:
        """Locked as long as a process of the job lives."""
        return self.path / "lock"

    @property
    def stacks_path(self) -> Path:
        """Where its threads were when nothing had happened for long; empty as long as that was not so."""
        return self.path / "stacks.txt"

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

    def set_name(self, name: str) -> None:
        """Call it ``name``."""
        write_bytes(self.path / "name.txt", name.encode())

    def documents(self, since: int = 0, most_points: int | None = None) -> list[dict[str, Any]]:
        """Events from sequence number ``since`` on, as JSON documents; see `EventReader.documents`."""
        return self._reader.documents(since, most_points)

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event will have."""
        return self._reader.next_seq

    def events(self, since: int = 0) -> Iterator[Event]:
        """Events from sequence number ``since`` on, of all attempts."""
        return self._reader.events(since)

    def last_event(self, *kinds: type[Event], attempt: int | None = None) -> Event | None:
        """The latest event of one of these types in the current attempt, or another one."""
        document = self._reader.last(attempt or self.attempt, *kinds)
        return event_from_dict(document) if document else None

    def latest(self, kind: type[Told]) -> Told | None:
        """The latest event of this type in the newest attempt that has told one."""
        for attempt in range(self.attempt, 0, -1):
            found = self.last_event(kind, attempt=attempt)
            if isinstance(found, kind):
                return found
        return None

    def last_document(self, *kinds: type[Event]) -> dict[str, Any] | None:
        """The latest event of one of these types in the current attempt, as its JSON document."""
        return self._reader.last(self.attempt, *kinds)

    @property
    def longest_pause_s(self) -> float:
        """The longest time between two events of the current attempt."""
        return self._reader.longest_pause_s(self.attempt)

    @property
    def worked_s(self) -> float:
        """How long it has been at work, in all its attempts; waiting for its turn, and pauses, are not in it."""
        return self._reader.worked_s

    # -- waiting for its turn

    @property
    def waits(self) -> bool:
        """Whether it has a place in the queue, or had one that it has not given up yet."""
        return self._file("queued").exists()

    @property
    def place(self) -> float | None:
        """Its place in the queue, the least first; None if it does not wait."""
        if self._file("exit", ".json").exists():  # cancelled, and ended before its place was given up
            return None
        try:
            return float(self._file("queued").read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def take_place(self, place: float) -> None:
        """Wait at this place from now on."""
        write_bytes(self._file("queued"), _written(place))

    def leave_queue(self) -> None:
        """Wait no longer: it begins, or was cancelled."""
        self._file("queued").unlink(missing_ok=True)
        sync(self.path)

    # -- stopping

    def request_stop(self) -> None:
        """Ask the job to stop at its next step; it hears at once, and nothing is killed."""
        touch(self._file("stop"))

    @property
    def stop_requested(self) -> bool:
        """Whether the user asked it to stop."""
        return self._file("stop").exists()

    # -- life

    def lock(self) -> int | None:
        """A descriptor that holds the job's lock, or None if a process of the job holds it.

        The lock belongs to the open file, so children that inherit the descriptor keep it held.
        """
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        if lock_file(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    @property
    def is_alive(self) -> bool:
        """Whether a process of the job lives: told by the held lock, never by a process number."""
        try:
            descriptor = os.open(self.lock_path, TO_LOOK_AT)
        except FileNotFoundError:
            return False
        try:
            # Shared, so that two onlookers never take each other for the job.
            return not lock_file(descriptor, shared=True)
        finally:
            os.close(descriptor)

    def write_exit(self, document: dict[str, Any]) -> None:
        """Note how the job ended: ``{"state", "ended", "exit_code", "signal", "error", "kept"}``."""
        self.release_reserve()
        write_json(self._file("exit", ".json"), document)

    def read_exit(self, attempt: int | None = None) -> dict[str, Any] | None:
        """How the current attempt, or another, ended; None while it lives, and where no process was left to note it."""
        try:
            document: dict[str, Any] = read_json(self._file("exit", ".json", attempt))
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
        """The event that closed the current attempt, if its worker came that far."""
        last = self.last_event(JobCompleted, JobStopped, JobFailed)
        assert last is None or isinstance(last, Ended)
        return last

    @property
    def stacks(self) -> str:
        """Where the threads of a job are that has been silent for long, as Python tells it; else empty."""
        try:
            return self.stacks_path.read_text("utf-8", "replace")[-STACKS_CHARACTERS:]
        except FileNotFoundError:
            return ""

    def status(self) -> JobStatus:
        """Where the job stands now (`status_of`)."""
        return status_of(self)

    def settle(self) -> JobStatus:
        """Note the end of one whose processes are gone without having done so; where it stands.

        From then on its end is told by what is written, also while somebody holds its lock.
        """
        status = self.status()
        if status.state.is_final and self.read_exit(status.attempt) is None:
            error = status.error.to_dict() if status.error else None
            end = {"state": status.state, "ended": status.ended, "exit_code": None, "signal": None, "error": error}
            self.release_reserve()
            write_json(self._file("exit", ".json", status.attempt), {**end, "kept": status.kept})
        return status

    @contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[int]:
        """Hold the job's lock, for starting it.

        Raises ``BlockingIOError`` if a process of the job lives, and still so after ``wait_s``.
        """
        deadline = time.monotonic() + wait_s
        while (descriptor := self.lock()) is None and time.monotonic() < deadline:
            time.sleep(LOCK_LOOK_S)
        if descriptor is None:
            raise BlockingIOError(f"job {self.id} is alive")
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _written(place: float) -> bytes:
    return f"{place!r}".encode("ascii")
