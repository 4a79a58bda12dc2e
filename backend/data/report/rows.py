"""The rows a report is made of, and how a finding is written down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from backend.data.columns import taken
from backend.data.labels import split_cell

Indices = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Finding = dict[str, Any]
Tell = Callable[[int, int], None]
"""Called with how much of something long is done, and of how much."""

EXAMPLES = 5
EXAMPLE_CHARACTERS = 300


@dataclass(frozen=True)
class ReportRows:
    """The rows that have a text and a label."""

    texts: pa.ChunkedArray
    cells: pa.ChunkedArray
    """Trimmed, none blank."""
    numbers: Indices
    """(rows,) the row's number in the imported table, from 1."""
    task: str
    separator: str
    counts: Counter[str]
    """Rows of each label."""

    def __len__(self) -> int:
        return len(self.texts)

    def sample(self, most: int) -> tuple[ReportRows, int]:
        """At most about ``most`` rows, evenly spread, and their number; 0 for all rows."""
        step = -(-len(self) // most) if len(self) > most else 1
        if step <= 1:
            return self, 0
        chosen = self.taken(np.arange(0, len(self), step, dtype=np.int64))
        return chosen, len(chosen)

    def taken(self, indices: Indices) -> ReportRows:
        """Some of the rows. The counts of labels stay those of all rows."""
        texts, cells = (pa.chunked_array([taken(column, indices)]) for column in (self.texts, self.cells))
        return ReportRows(texts, cells, self.numbers[indices], self.task, self.separator, self.counts)

    def labels_in(self, cell: str) -> list[str]:
        """The labels that a cell of these rows says."""
        return split_cell(cell, self.separator)

    @cached_property
    def label_lists(self) -> list[list[str]]:
        """The labels of each row: for samples, since it is a list of lists."""
        return [self.labels_in(cell) for cell in self.cells.to_pylist()]

    def examples(self, indices: Sequence[int] | Indices, most: int = EXAMPLES) -> list[dict[str, Any]]:
        """The first few of these rows, as a finding shows them."""
        chosen = np.asarray(indices[:most], dtype=np.int64)
        texts, cells = (taken(column, chosen).to_pylist() for column in (self.texts, self.cells))
        return [
            {"row": int(self.numbers[index]), "text": cut(text), "label": cut(cell)}
            for index, text, cell in zip(chosen, texts, cells, strict=True)
        ]


def finding(
    code: str,
    severity: str,
    count: int,
    rows: int | None = None,
    *,
    examples: Sequence[dict[str, Any]] = (),
    repairs: Sequence[dict[str, Any]] = (),
    sampled: int = 0,
    **facts: Any,
) -> Finding:
    """A finding as the report has it. ``sampled`` is the number of rows that were looked at, 0 for all of them."""
    return {
        "code": code,
        "severity": severity,
        "count": count,
        "rows": count if rows is None else rows,
        "facts": facts,
        "examples": list(examples),
        "repairs": list(repairs),
        "sampled": sampled,
    }


def step(kind: str, **settings: Any) -> dict[str, Any]:
    """A repair: a step of `backend.steps` to add."""
    return {"step": {"kind": kind, **settings}}


def change(**values: Any) -> dict[str, Any]:
    """A repair: choices to change, by path with ``__``: ``change(split__method="group")``."""
    return {"set": {path.replace("__", "."): value for path, value in values.items()}}


def untold(done: int, total: int) -> None:
    """Nobody is told of the progress."""


def cut(text: str, most: int = EXAMPLE_CHARACTERS) -> str:
    """The beginning of a text."""
    return text if len(text) <= most else text[: most - 1] + "…"


def around(text: str, start: int, most: int = EXAMPLE_CHARACTERS) -> str:
    """The piece of a text around a place in it."""
    begin = max(0, min(start - most // 3, len(text) - most))
    return ("…" if begin else "") + cut(text[begin:], most - 1)
