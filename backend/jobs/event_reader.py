"""Reading a job's events: whoever asks again pays only for what is new, and a million points of a curve stay small.

The points of the loss curve are kept as columns of numbers, all other events as the documents that they are.
"""

from __future__ import annotations

import io
import json
import math
import os
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.jobs.events import Event, LossLogged, event_from_dict

BULK_BYTES, BLOCK_BYTES = 1 << 20, 16 << 20
"""From so much news on, they are parsed as one table and not line by line; and no more than the second at a time."""
POINT = LossLogged.__name__
WHOLE, OPTIONAL = "step", "gradient_norm"
COLUMNS = (WHOLE, "epoch", "loss", "learning_rate", OPTIONAL, "time")


class EventReader:
    """The reading end of the files that `backend.jobs.events.EventLog` writes: remembers how far it read.

    Args:
        path_of: the file of an attempt, counted from 1.
    """

    def __init__(self, path_of: Callable[[int], Path]) -> None:
        self._path_of = path_of
        self._attempt, self._offset, self._count = 1, 0, 0
        self._documents: list[dict[str, Any]] = []
        self._points = Points()
        self._last: dict[tuple[int, str], dict[str, Any]] = {}
        self._times: dict[int, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def documents(self, since: int = 0, most_points: int | None = None) -> list[dict[str, Any]]:
        """All events from sequence number ``since`` on, as their JSON documents with ``seq`` and ``attempt``.

        Of more than ``most_points`` points of the loss curve only those are given that show its course and its peaks.
        """
        with self._lock:
            self._read_on()
            first = bisect_left(self._documents, since, key=lambda document: document["seq"])
            found = self._documents[first:] + self._points.documents(since, most_points)
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
            return self._times.get(attempt, (0.0, 0.0))[1]

    def _read_on(self) -> None:
        while True:
            # Looked for first: once the next attempt writes, this one's file is all that it will be.
            following = self._path_of(self._attempt + 1).exists()
            self._read_file()
            if not following:
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
        self._note_times(np.array([document["time"]]))

    def _take_many(self, block: bytes) -> None:
        table = read_columns(block)
        points = table.pop("type") == POINT
        ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
        starts = np.concatenate([[0], ends[:-1] + 1])
        self._note_times(table["time"])
        values = {name: column[points] for name, column in table.items()}
        self._points.add_many(self._count + np.flatnonzero(points), self._attempt, values)
        for number in np.flatnonzero(~points):
            document = json.loads(block[starts[number] : ends[number]])
            numbered = {"seq": self._count + int(number), "attempt": self._attempt, **document}
            self._documents.append(numbered)
            self._last[self._attempt, document["type"]] = numbered
        if points.any():
            self._last[self._attempt, POINT] = self._points.document(-1)
        self._count += len(ends)

    def _note_times(self, times: npt.NDArray[np.float64]) -> None:
        before, longest = self._times.get(self._attempt, (times[0], 0.0))
        pauses = np.diff(times, prepend=before)
        self._times[self._attempt] = (float(times[-1]), max(longest, float(pauses.max())))


class Points:
    """Points of a loss curve, as columns."""

    def __init__(self) -> None:
        self._seq, self._attempt = array("q"), array("q")
        self._columns = {name: array("d") for name in COLUMNS}

    def add(self, document: dict[str, Any]) -> None:
        """Take one more, as its document."""
        self._seq.append(document["seq"])
        self._attempt.append(document["attempt"])
        for name, column in self._columns.items():
            value = document.get(name)
            column.append(math.nan if value is None else value)

    def add_many(self, seq: npt.NDArray[np.int64], attempt: int, columns: dict[str, npt.NDArray[Any]]) -> None:
        """Take n more of one attempt: their (n,) sequence numbers, and (n,) values for each of `COLUMNS`."""
        self._seq.frombytes(seq.astype(np.int64).tobytes())
        self._attempt.frombytes(np.full(len(seq), attempt, dtype=np.int64).tobytes())
        for name, column in self._columns.items():
            column.frombytes(columns[name].astype(np.float64).tobytes())

    def document(self, number: int) -> dict[str, Any]:
        """One of them."""
        values: dict[str, Any] = {name: column[number] for name, column in self._columns.items()}
        values[WHOLE] = int(values[WHOLE])
        if math.isnan(values[OPTIONAL]):
            values[OPTIONAL] = None
        return {"seq": self._seq[number], "attempt": self._attempt[number], "type": POINT, **values}

    def documents(self, since: int, most: int | None) -> list[dict[str, Any]]:
        """Those from sequence number ``since`` on, thinned to about ``most`` where there are more."""
        first = bisect_left(self._seq, since)
        numbers = range(first, len(self._seq))
        if most is None or len(numbers) <= most:
            return [self.document(number) for number in numbers]
        losses = np.frombuffer(self._columns["loss"], dtype=np.float64)[first:]
        return [self.document(first + int(number)) for number in thinned(losses, most)]


def thinned(values: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.int64]:
    """The places, in order, of about ``most`` of n values: the least and the greatest of each stretch, first and last.

    So every peak stays to be seen, as in the M4 aggregation (Jugel et al. 2014).
    """
    edges = np.linspace(0, len(values), max(1, most // 2) + 1).astype(int)[:-1]
    size = np.diff(edges, append=len(values))
    chosen = [0, len(values) - 1]
    for reduce in (np.minimum, np.maximum):
        extreme = np.repeat(reduce.reduceat(values, edges), size)
        places = np.flatnonzero(values == extreme)
        _stretches, firsts = np.unique(np.repeat(np.arange(len(edges)), size)[places], return_index=True)
        chosen.extend(places[firsts].tolist())
    return np.unique(chosen)


def read_columns(block: bytes) -> dict[str, npt.NDArray[Any]]:
    """``type`` and `COLUMNS` of all events in these whole lines, NaN where an event has no such value."""
    # Imported here: most jobs' events are few, and a supervisor shall stay small.
    import pyarrow as pa
    from pyarrow import json as arrow_json

    schema = pa.schema([("type", pa.string()), *((name, pa.float64()) for name in COLUMNS)])
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    table = arrow_json.read_json(io.BytesIO(block), parse_options=options)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
