"""Reading a job's events: whoever asks again pays only for what is new, and a million points of a curve stay small.

The points of the loss curve are kept as columns of numbers, all other events as the documents that they are.
"""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.jobs.events import Event, LossLogged, event_from_dict

if TYPE_CHECKING:
    from backend.jobs.points import Points

BULK_BYTES, BLOCK_BYTES = 1 << 20, 16 << 20
"""From so much news on, they are parsed as one table and not line by line; and no more than the second at a time."""
POINT = LossLogged.__name__


class EventReader:
    """The reading end of the files that `backend.jobs.events.EventLog` writes: remembers how far it read.

    Args:
        path_of: the file of an attempt, counted from 1. One that was cancelled before it began has none.
        newest: the number of the newest attempt.
    """

    def __init__(self, path_of: Callable[[int], Path], newest: Callable[[], int] = lambda: 1) -> None:
        self._path_of, self._newest = path_of, newest
        self._attempt, self._offset, self._count = 1, 0, 0
        self._documents: list[dict[str, Any]] = []
        self._known_points: Points | None = None
        self._last: dict[tuple[int, str], dict[str, Any]] = {}
        self._times: dict[int, tuple[float, float, float]] = {}
        """Of each attempt the times of its first and last event, and the longest between two."""
        self._lock = threading.Lock()

    def documents(self, since: int = 0, most_points: int | None = None) -> list[dict[str, Any]]:
        """All events from sequence number ``since`` on, as their JSON documents with ``seq`` and ``attempt``.

        Of more than ``most_points`` points of the loss curve only those are given that show its course and its peaks.
        """
        with self._lock:
            self._read_on()
            first = bisect_left(self._documents, since, key=lambda document: document["seq"])
            found = self._documents[first:]
            if self._known_points is not None:
                found += self._known_points.documents(since, most_points)
        return sorted(found, key=lambda document: document["seq"])

    def events(self, since: int = 0, attempt: int | None = None) -> Iterator[Event]:
        """All events from sequence number ``since`` on, or those of one attempt; unknown types are left out."""
        for document in self.documents(since):
            event = event_from_dict(document) if attempt in (None, document["attempt"]) else None
            if event is not None:
                yield event

    def last(self, attempt: int, *kinds: type[Event]) -> dict[str, Any] | None:
        """The latest event of an attempt that is of one of these types, as its document."""
        with self._lock:
            self._read_on()
            found = [self._last.get((attempt, kind.__name__)) for kind in kinds]
        return max((document for document in found if document), key=lambda document: document["seq"], default=None)

    @property
    def next_seq(self) -> int:
        """The sequence number that the next event will have."""
        with self._lock:
            self._read_on()
            return self._count

    def longest_pause_s(self, attempt: int) -> float:
        """The longest time between two events of an attempt."""
        with self._lock:
            self._read_on()
            return self._times.get(attempt, (0.0, 0.0, 0.0))[2]

    @property
    def worked_s(self) -> float:
        """The time from the first to the last event of each attempt, together."""
        with self._lock:
            self._read_on()
            return sum(last - first for first, last, _longest in self._times.values())

    def _read_on(self) -> None:
        while True:
            # Looked for first: once there is another attempt, this one's file is all that it will be.
            newest = self._newest()
            self._read_file()
            if self._attempt >= newest:
                return
            self._attempt, self._offset = self._attempt + 1, 0

    def _read_file(self) -> None:
        try:
            with open(self._path_of(self._attempt), "rb") as stream:
                # A read takes the memory that it is asked for: never more than there is to read.
                while (there := min(BLOCK_BYTES, os.fstat(stream.fileno()).st_size - self._offset)) > 0:
                    stream.seek(self._offset)
                    whole = (block := stream.read(there)).rfind(b"\n") + 1
                    if not whole:
                        return
                    self._take_lines(block[:whole])
                    self._offset += whole
        except FileNotFoundError:
            return

    def _take_lines(self, block: bytes) -> None:
        if len(block) < BULK_BYTES:
            for number, line in enumerate(block.splitlines()):
                self._take(self._count + number, json.loads(line))
            self._count += block.count(b"\n")
        else:
            self._take_many(block)

    def _take(self, seq: int, document: dict[str, Any]) -> None:
        numbered = {"seq": seq, "attempt": self._attempt, **document}
        if document["type"] == POINT:
            self._points.add(numbered)
        else:
            self._documents.append(numbered)
        self._last[self._attempt, document["type"]] = numbered
        self._note_time(document["time"])

    def _take_many(self, block: bytes) -> None:
        from backend.jobs.points import read_block

        news = read_block(block)
        if news.values:
            self._points.add_many(self._count + news.points, self._attempt, news.values)
            self._last[self._attempt, POINT] = self._points.document(-1)
        for number, line in news.others:
            document = json.loads(line)
            numbered = {"seq": self._count + number, "attempt": self._attempt, **document}
            self._documents.append(numbered)
            self._last[self._attempt, document["type"]] = numbered
        for time in news.turns:
            self._note_time(time)
        self._count += news.count

    @property
    def _points(self) -> Points:
        # Imported where there are any: the supervisor of a job that waits shall stay small.
        from backend.jobs.points import Points

        if self._known_points is None:
            self._known_points = Points()
        return self._known_points

    def _note_time(self, time: float) -> None:
        first, before, longest = self._times.get(self._attempt, (time, time, 0.0))
        self._times[self._attempt] = (first, time, max(longest, time - before))
