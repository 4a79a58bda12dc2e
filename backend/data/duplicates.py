"""Texts that stand more than once: equal ones, and equal ones with different labels."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from backend.data.labels import split_cell
from backend.data.rows import Mask, TextRows, first_rows

PAIRS = 20


@dataclass(frozen=True)
class Pair:
    """A row that is left out, and the earlier one that it repeats."""

    row: int
    kept: int
    similarity: float


@dataclass(frozen=True)
class Found:
    """Which rows stay; the pairs are the least similar ones, which are worth a look."""

    keep: Mask
    pairs: list[Pair]
    notes: list[dict[str, Any]] = field(default_factory=list)


def firsts(rows: TextRows) -> Mask:
    """(rows,) whether the row is the first with its text; blank ones are no duplicates."""
    keep = ~rows.has_text
    keep[first_rows(rows.text_keys)[0]] = True
    return keep


def without_conflicts(rows: TextRows, *, by_majority: bool) -> Mask:
    """(rows,) false where an equal text has other labels: for all of them, or for those without the majority's.

    Where no labels have a majority over all others, all are left out.
    """
    keep = np.ones(len(rows), dtype=bool)
    usable = np.flatnonzero(rows.has_text & rows.has_label)
    keys = rows.text_keys[usable]
    _distinct, inverse, times = np.unique(keys, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(times[inverse] > 1)
    codes, values = rows.cell_codes
    sets = [frozenset(split_cell(value, rows.separator)) for value in values]
    members: dict[int, list[int]] = defaultdict(list)
    for position in repeated:
        members[int(inverse[position])].append(int(usable[position]))
    for group in members.values():
        given = Counter(sets[codes[row]] for row in group)
        if len(given) < 2:
            continue
        (first, most), (_second, next_most) = given.most_common(2)
        wins = by_majority and most > next_most
        for row in group:
            keep[row] = wins and sets[codes[row]] == first
    return keep
