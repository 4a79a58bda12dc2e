"""Points of a loss curve as columns of numbers: a million of them stay small, and are thinned with their peaks kept."""

from __future__ import annotations

import io
import math
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from backend.jobs.events import LossLogged

POINT = LossLogged.__name__
WHOLE, OPTIONAL = "step", "gradient_norm"
COLUMNS = (WHOLE, "epoch", "loss", "learning_rate", OPTIONAL, "time")


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


@dataclass(frozen=True)
class Block:
    """What n whole lines of events hold."""

    count: int
    points: npt.NDArray[np.int64]
    """(p,) which of the lines are points."""
    values: dict[str, npt.NDArray[np.float64]]
    """(p,) of each of `COLUMNS`, NaN where there is none; empty where no line is a point."""
    others: list[tuple[int, bytes]]
    """The other lines with their numbers."""
    turns: list[float]
    """Times: the first and the last line's, and those on both sides of the longest pause."""


def read_block(block: bytes) -> Block:
    """The lines parsed as one table."""
    # Imported here: most jobs' events are few.
    import pyarrow as pa
    from pyarrow import json as arrow_json

    schema = pa.schema([("type", pa.string()), *((name, pa.float64()) for name in COLUMNS)])
    options = arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    table = arrow_json.read_json(io.BytesIO(block), parse_options=options)
    columns = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    are_points, times = columns.pop("type") == POINT, columns["time"]
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == ord("\n"))
    starts = np.concatenate([[0], ends[:-1] + 1])
    others = [(int(i), block[starts[i] : ends[i]]) for i in np.flatnonzero(~are_points)]
    longest = int(np.argmax(np.diff(times))) if len(times) > 1 else 0
    turns = [float(times[i]) for i in sorted({0, longest, min(longest + 1, len(times) - 1), len(times) - 1})]
    values = {name: column[are_points] for name, column in columns.items()} if are_points.any() else {}
    return Block(len(ends), np.flatnonzero(are_points), values, others, turns)
