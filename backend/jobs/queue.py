"""The queue of a home's runs: one at a time on a device, first in first out, and no process of its own.

A run waits in its supervisor: when it is first of those whose supervisors live, it takes one of the home's slots. A
slot is a lock that is held as long as the run's processes live, so a crash of any kind gives it back. A run whose
supervisor is gone while it waits (the machine was restarted) keeps its place; `waiting` finds it for whoever starts a
supervisor for it again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.files import alone
from backend.jobs.platform import lock_file

AT_ONCE_VARIABLE = "STUDIO_RUNS_AT_ONCE"
LOOK_S, LONGEST_LOOK_S = 0.3, 3.0
"""Who is first looks this often for a free slot; the further back, the more rarely, however many there are."""
SETTLED_S = 2.0
"""A folder that has not changed for so long will show by its time if it changes again."""


def runs_at_once(environ: Mapping[str, str]) -> int:
    """How many runs may train at the same time: one, or what ``STUDIO_RUNS_AT_ONCE`` says."""
    given = environ.get(AT_ONCE_VARIABLE, "")
    return max(1, int(given)) if given.isascii() and given.isdigit() else 1


def waiting(runs: Path) -> list[JobDirectory]:
    """The runs of this folder that wait for their turn, in their order."""
    return Places(runs).waiting()


class Places:
    """The places of a home's runs, for who asks again and again: only what has changed is read."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._known: dict[str, tuple[int, float | None]] = {}

    def waiting(self) -> list[JobDirectory]:
        """The runs that wait for their turn, in their order."""
        settled_ns = time.time_ns() - int(SETTLED_S * 1e9)
        found, known = [], {}
        for entry in os.scandir(self._runs):
            if not is_job_id(entry.name):
                continue
            try:
                changed = os.stat(entry.path).st_mtime_ns
            except FileNotFoundError:  # thrown away at this moment
                continue
            before = self._known.get(entry.name)
            place = before[1] if before and before[0] == changed else JobDirectory(Path(entry.path)).place
            if changed < settled_ns:
                known[entry.name] = changed, place
            if place is not None:
                found.append((place, entry.name, entry.path))
        self._known = known
        return [JobDirectory(Path(path)) for _place, _id, path in sorted(found)]


def enter(job: JobDirectory, take: Callable[[float], None]) -> None:
    """Wait behind all that wait already: ``take`` is called with the place."""
    with _changing(job):
        places = [each.place or 0.0 for each in waiting(job.path.parent)]
        take(max(places, default=0.0) + 1)


def move(job: JobDirectory, position: int) -> None:
    """Put a waiting run at this position of the queue, from 0; one that has begun meanwhile stays begun."""
    with _changing(job):
        others = [each for each in waiting(job.path.parent) if each.id != job.id]
        if job.place is None:
            return
        position = min(max(position, 0), len(others))
        before = others[position - 1].place or 0.0 if position else None
        after = others[position].place or 0.0 if position < len(others) else None
        if before is None:
            place = (after or 0.0) - 1 if after is not None else job.place
        else:
            place = before + 1 if after is None else (before + after) / 2
        job.take_place(place)


def _changing(job: JobDirectory) -> AbstractContextManager[None]:
    """Nobody else changes the order meanwhile."""
    return alone(job.path.parents[1] / "queue.lock")


def await_turn(job: JobDirectory, environ: Mapping[str, str], given_up: Callable[[], bool]) -> int | None:
    """Wait until it is this run's turn; the descriptor that holds its slot. None if it was given up before."""
    places, look_at = Places(job.path.parent), 0.0
    while not given_up():
        if time.monotonic() >= look_at:
            ahead = _ahead(job, places.waiting())
            if not any(other.is_alive for other in ahead):
                slot = _free_slot(job.path.parents[1], runs_at_once(environ))
                if slot is not None:
                    job.leave_queue()
                    return slot
                ahead = []
            look_at = time.monotonic() + min(LOOK_S * len(ahead), LONGEST_LOOK_S)
        time.sleep(LOOK_S)
    return None


def _ahead(job: JobDirectory, order: list[JobDirectory]) -> list[JobDirectory]:
    ids = [other.id for other in order]
    return order[: ids.index(job.id)] if job.id in ids else []


def _free_slot(home: Path, slots: int) -> int | None:
    folder = home / "slots"
    folder.mkdir(exist_ok=True)
    for number in range(slots):
        descriptor = os.open(folder / f"{number}", os.O_RDWR | os.O_CREAT, 0o644)
        if lock_file(descriptor):
            return descriptor
        os.close(descriptor)
    return None
