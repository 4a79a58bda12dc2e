"""Waiting for a job in the foreground: its events as they come, and what Ctrl-C means."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol, Self

from backend.jobs.directory import JobDirectory
from backend.jobs.events import Event, event_from_dict
from backend.jobs.status import JobStatus

POLL_INTERVAL_S = 0.15


class Interrupts:
    """Counts Ctrl-C instead of ending the process, as long as the block lasts."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._pressed)
        return self

    def __exit__(self, *_error: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _pressed(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1


class Left(Exception):
    """Ctrl-C a second time: the user does not want to wait for the job's end."""


class Watcher(Protocol):
    """Shows what happens in a job."""

    def show(self, event: Event) -> None:
        """One event, in order."""

    def close(self) -> None:
        """Nothing more will come."""


def follow(
    job: JobDirectory,
    watcher: Watcher,
    interrupts: Interrupts,
    on_stop: Callable[[], None],
    *,
    seen: int = 0,
    revive: Callable[[], None] = lambda: None,
) -> JobStatus:
    """Show the job's events, from number ``seen`` on, until it has ended; how it ended.

    One that waits in a queue and whose process was lost is given a new one by ``revive``. The first Ctrl-C asks the job
    to stop (``on_stop`` is called to say so) and goes on waiting for it.

    Raises:
        Left: on the second Ctrl-C; the job is not touched further.
    """
    asked = False
    try:
        while True:
            # Life first: what a job found dead has written is all there.
            alive = job.is_alive
            documents = job.documents(seen)
            seen += len(documents)
            for event in filter(None, map(event_from_dict, documents)):
                watcher.show(event)
            if not alive:
                if job.place is None:
                    return job.status()
                revive()
            if interrupts.count and not asked:
                asked = True
                job.request_stop()
                on_stop()
            if interrupts.count > 1:
                raise Left
            time.sleep(POLL_INTERVAL_S)
    finally:
        watcher.close()
