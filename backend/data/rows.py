"""Texts with their labels on the way from a table to a run: columns of Arrow that lie where they are until they must
change, so that millions of rows go through the steps in bounded memory. Knows nothing of files or steps."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.columns import taken
from backend.data.labels import LIST_SEPARATOR, label_counts, split_cell

Indices = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
PIECE_ROWS = 1 << 14
"""Rows whose texts are Python's own at one time: those take several times the memory of Arrow's."""


@dataclass(frozen=True)
class TextRows:
    """Rows of a text and a cell of labels; either may be null or blank."""

    texts: pa.ChunkedArray
    cells: pa.ChunkedArray
    numbers: Indices
    """For each row, its number in the imported table, from 0."""
    separator: str = ""
    """What stands between several labels of a cell; empty: a cell is one label."""

    def __len__(self) -> int:
        return len(self.numbers)

    def kept(self, mask: Mask) -> TextRows:
        """The rows where ``mask`` (rows,) is true."""
        if mask.all():
            return self
        chosen = pa.array(mask)
        return replace(
            self, texts=self.texts.filter(chosen), cells=self.cells.filter(chosen), numbers=self.numbers[mask]
        )

    def relabelled(self, function: Callable[[list[str]], list[str]]) -> tuple[TextRows, Mask]:
        """The rows with the labels of each cell changed by ``function``, and a mask of the rows that this changed."""
        codes, values = self.cell_codes
        before = [split_cell(value, self.separator) for value in values]
        after = [list(dict.fromkeys(function(labels))) if labels else labels for labels in before]
        different = np.array([a != b for a, b in zip(before, after, strict=True)], dtype=bool)
        if not different.any():
            return self, np.zeros(len(self), dtype=bool)
        # Where nothing changes, a cell stays as it was written.
        cells = [
            self._joined(labels) if changed else value
            for value, labels, changed in zip(values, after, different, strict=True)
        ]
        column = pa.chunked_array([pa.array(cells, pa.string()).take(pa.array(codes))])
        return replace(self, cells=column), different[codes]

    def _joined(self, labels: list[str]) -> str:
        if self.separator == LIST_SEPARATOR:
            return json.dumps(labels, ensure_ascii=False)
        return self.separator.join(labels)

    @cached_property
    def cell_codes(self) -> tuple[Indices, list[str]]:
        """For each row the number of its cell, stripped, and the different cells (a missing one is empty)."""
        trimmed = pc.fill_null(pc.utf8_trim_whitespace(self.cells), "")
        encoded = trimmed.dictionary_encode().unify_dictionaries().combine_chunks()
        return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_pylist()

    @cached_property
    def cell_counts(self) -> Counter[str]:
        """Each different cell that is not blank, with its number of rows."""
        codes, values = self.cell_codes
        rows = np.bincount(codes, minlength=len(values)).tolist()
        return Counter({value: count for value, count in zip(values, rows, strict=True) if value and count})

    @cached_property
    def label_counts(self) -> Counter[str]:
        """Each label with its number of rows."""
        return label_counts(self.cell_counts, self.separator)

    @cached_property
    def has_text(self) -> Mask:
        """(rows,) whether there is a text."""
        return _filled(self.texts)

    @cached_property
    def has_label(self) -> Mask:
        """(rows,) whether something is said of the labels: an empty list says that none applies."""
        codes, values = self.cell_codes
        return np.array([bool(value) for value in values], dtype=bool)[codes]

    @cached_property
    def label_numbers(self) -> Indices:
        """(rows,) how many labels a row has."""
        codes, values = self.cell_codes
        return np.array([len(split_cell(value, self.separator)) for value in values], dtype=np.int64)[codes]

    @cached_property
    def text_keys(self) -> Indices:
        """(rows,) a 64-bit hash of each stripped text: rows with the same number have the same text."""
        parts = [
            np.fromiter((hash((text or "").strip()) for text in chunk.to_pylist()), np.int64, len(chunk))
            for chunk in _pieces(self.texts)
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def text_at(self, rows: Any) -> list[str]:
        """The texts of a few rows."""
        return [text or "" for text in taken(self.texts, rows).to_pylist()]

    def cell_at(self, rows: Any) -> list[str]:
        """The cells of a few rows."""
        codes, values = self.cell_codes
        return [values[codes[row]] for row in rows]


@dataclass(frozen=True)
class Retexted:
    """Rows whose texts a function has changed."""

    rows: TextRows
    changed: int
    """How many texts are others than before."""
    first: list[tuple[int, str, str]]
    """The first few of these: the row's number, the text before and after."""


def retexted(given: list[TextRows], function: Callable[[str], str], *, shown: int) -> Retexted:
    """The last of the given rows with each text changed by ``function``.

    The rows are taken from the list, and of their texts every piece is let go when its successor is made: who has
    them nowhere else has the texts once and not twice.
    """
    taken_rows = given.pop()
    chunks, kind, numbers = taken_rows.texts.chunks, taken_rows.texts.type, taken_rows.numbers
    others = replace(taken_rows, texts=pa.chunked_array([], kind))
    del taken_rows
    chunks.reverse()
    made: list[pa.Array] = []
    changed, first = 0, list[tuple[int, str, str]]()
    start = 0
    while chunks:
        for piece in _pieces_of(chunks.pop()):
            before = piece.to_pylist()
            after = [text if text is None else function(text) for text in before]
            different = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
            few = different[: shown - len(first)]
            first += [(int(numbers[start + i]), str(before[i]), str(after[i])) for i in few]
            changed += len(different)
            made.append(pa.array(after, kind) if different else piece)
            start += len(piece)
        pa.default_memory_pool().release_unused()
    return Retexted(replace(others, texts=pa.chunked_array(made, kind)), changed, first)


def _pieces(column: pa.ChunkedArray) -> Iterator[pa.Array]:
    for chunk in column.chunks:
        yield from _pieces_of(chunk)


def _pieces_of(chunk: pa.Array) -> Iterator[pa.Array]:
    for start in range(0, len(chunk), PIECE_ROWS):
        yield chunk.slice(start, PIECE_ROWS)


def _filled(column: pa.ChunkedArray) -> Mask:
    parts = [
        pc.not_equal(pc.fill_null(pc.utf8_trim_whitespace(chunk), ""), "").to_numpy(zero_copy_only=False)
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=bool)


def first_rows(keys: Indices) -> tuple[Indices, Indices]:
    """Where each different key stands first, ascending, and for each row the number of its key in that order."""
    _distinct, firsts, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return firsts[order].astype(np.int64), rank[inverse]
