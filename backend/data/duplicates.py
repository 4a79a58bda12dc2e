"""Texts that stand more than once: equal ones, equal ones with different labels, and nearly equal ones."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasketch import MinHash, MinHashLSH

from backend.data.labels import split_cell
from backend.data.rows import Mask, TextRows, first_rows

SHINGLE = 5
"""Characters of the pieces that nearly equal texts share; of short texts, fewer."""
PERMUTATIONS = 64
MOST_COMPARED = 200_000
"""Different texts that are compared for nearness: beyond that, minutes and gigabytes. The rest is kept as it is."""
PAIRS = 20
MULTIPLIER = np.uint32(0x01000193)
Pieces = np.ndarray[Any, np.dtype[np.uint32]]
_TOLD_EVERY = 1000


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


def near(rows: TextRows, threshold: float, tell: Callable[[int, int], None]) -> Found:
    """Leaves out each text of which an earlier one shares at least ``threshold`` of the character pieces (Jaccard).

    Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998; the package
    datasketch); each is then compared piece by piece, so that the threshold holds exactly for what is left out.
    """
    keep = firsts(rows)
    asked = np.flatnonzero(keep & rows.has_text)
    notes = []
    if len(asked) > MOST_COMPARED:
        notes = [{"code": "near_duplicates_bounded", "facts": {"texts": MOST_COMPARED, "rows": len(asked)}}]
        asked = asked[:MOST_COMPARED]
    empty = MinHash(num_perm=PERMUTATIONS, hashfunc=int)  # drawing its permutations takes longest
    index = MinHashLSH(threshold=max(0.1, min(threshold, 0.98)), num_perm=PERMUTATIONS)
    pieces_of: dict[int, Pieces] = {}
    pairs: list[Pair] = []
    for done, (row, text) in enumerate(zip(asked.tolist(), rows.text_at(asked), strict=True)):
        if done % _TOLD_EVERY == 0:
            tell(done, len(asked))
        pieces = shingles(text)
        sketch = empty.copy()
        sketch.update_batch(pieces.tolist())
        alike = [(jaccard(pieces, pieces_of[other]), -other) for other in index.query(sketch)]
        similarity, other = max(alike, default=(0.0, 0))
        if similarity >= threshold:
            keep[row] = False
            pairs.append(Pair(row, -other, similarity))
        else:
            index.insert(row, sketch, check_duplication=False)
            pieces_of[row] = pieces
    return Found(keep, sorted(pairs, key=lambda pair: pair.similarity)[:PAIRS], notes)


def shingles(text: str) -> Pieces:
    """The character pieces of a text, white space and case aside: their 32-bit hashes, each once, ascending."""
    plain = " ".join(text.casefold().split())
    letters = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32)
    width = min(SHINGLE, max(1, len(letters) // 4))
    count = max(1, len(letters) - width + 1)
    pieces = np.zeros(count, np.uint32)
    for place in range(min(width, len(letters))):
        pieces = pieces * MULTIPLIER + letters[place : place + count]
    # Neighbouring letters give neighbouring numbers: mixed (the finaliser of MurmurHash3), or all would look alike.
    pieces ^= pieces >> np.uint32(16)
    pieces *= np.uint32(0x85EBCA6B)
    pieces ^= pieces >> np.uint32(13)
    return np.unique(pieces)


def jaccard(one: Pieces, other: Pieces) -> float:
    """The share of their pieces that two texts have in common."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)
