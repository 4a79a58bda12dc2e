"""Texts that are nearly equal to an earlier one, among millions and in bounded memory.

Of each text there is a mark of 64 bytes and a key for each band of its sketch; its pieces are made when it is compared.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np

from backend.data.duplicates import PAIRS, Found, Pair, firsts
from backend.data.rows import Indices, TextRows
from backend.data.sketches import PERMUTATIONS, Pieces, Sketches, band_keys, bands_for, shingles, sketched

TEXTS_AT_ONCE = 2048
MOST_IN_A_BUCKET = 128
"""Kept texts of a bucket that later ones are compared with. More are texts of one pattern: like enough to meet in
bucket after bucket, and too different to be left out."""
MOST_COMPARED = 8
"""Candidates of a text that are compared with it piece by piece, the likeliest ones."""
CACHED_CHARACTERS = 16 << 20
ALONE = -1

Marks = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int32]]


def near(rows: TextRows, threshold: float, tell: Callable[[int, int], None]) -> Found:
    """Leaves out a text that shares ``threshold`` of its character pieces or more (Jaccard) with an earlier kept one.

    Candidates are found by their sketches (`backend.data.sketches`), then compared piece by piece, so that the
    threshold holds exactly for what is left out.
    """
    keep = firsts(rows)
    asked = np.flatnonzero(keep & rows.has_text)
    total = 2 * len(asked)  # each text is sketched, then compared
    bands, width = bands_for(threshold)
    keys = np.empty((bands, len(asked)), np.uint32)
    marks = np.empty((len(asked), PERMUTATIONS), np.uint8)
    done, characters = 0, 0
    for texts in _portions(rows, asked):
        tell(done, total)
        characters += sum(map(len, texts))
        for some in sketched(texts):
            keys[:, done : done + len(some)] = band_keys(some, bands, width)
            marks[done : done + len(some)] = some  # the lowest byte of each
            done += len(some)
    buckets = _Buckets(keys)
    cached = max(64, CACHED_CHARACTERS * len(asked) // max(1, characters))

    @lru_cache(cached)
    def pieces_of(text: int) -> Pieces:
        return shingles(rows.texts[int(asked[text])].as_py())

    least_alike: list[tuple[float, int, int]] = []
    for count, text in enumerate(buckets.shared().tolist()):
        if count % TEXTS_AT_ONCE == 0:
            tell(len(asked) + text, total)
        others = _likeliest(marks, text, buckets.kept_beside(text), threshold)
        alike = [(jaccard(pieces_of(text), pieces_of(other)), -other) for other in others]
        similarity, other = max(alike, default=(0.0, 0))
        if similarity < threshold:
            buckets.keep(text)
            continue
        keep[asked[text]] = False
        heapq.heappush(least_alike, (-similarity, -text, -other))
        if len(least_alike) > PAIRS:
            heapq.heappop(least_alike)  # the most alike
    shown = sorted(least_alike, reverse=True)
    return Found(keep, [Pair(int(asked[-text]), int(asked[other]), -similarity) for similarity, text, other in shown])


def _likeliest(marks: Marks, text: int, others: Numbers, threshold: float) -> list[int]:
    """The few of the others whose marks agree best with the text's, without those that cannot be alike enough."""
    if not len(others):
        return []
    agreeing = (marks[others] == marks[text]).sum(axis=1)
    # The number of equal values is binomial: four deviations below its mean is one of 30,000.
    least = PERMUTATIONS * threshold - 4 * sqrt(PERMUTATIONS * threshold * (1 - threshold))
    order = np.argsort(-agreeing, kind="stable")[:MOST_COMPARED]
    return [int(others[i]) for i in order if agreeing[i] >= least]


def jaccard(one: Pieces, other: Pieces) -> float:
    """The share of their pieces that two texts have in common."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / (len(one) + len(other) - shared)


def _portions(rows: TextRows, asked: Indices) -> Iterator[list[str]]:
    for start in range(0, len(asked), TEXTS_AT_ONCE):
        yield rows.text_at(asked[start : start + TEXTS_AT_ONCE])


class _Buckets:
    """The kept texts of each bucket: of those whose bands are equal."""

    def __init__(self, keys: Sketches) -> None:
        """``keys`` (bands, texts) are used up: where each stood, the place of the text's bucket is noted."""
        self._places: Numbers = keys.view(np.int32)
        size = 0
        for band, places in zip(keys, self._places, strict=True):
            order = np.argsort(band, kind="stable")
            ordered = band[order]
            edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
            counts = np.diff(np.concatenate([[0], edges, [len(band)]]))
            room = np.where(counts > 1, 1 + np.minimum(counts, MOST_IN_A_BUCKET), 0)
            begins = size + np.cumsum(room) - room
            places[order] = np.repeat(np.where(counts > 1, begins, ALONE), counts)
            size += int(room.sum())
        self._room: Numbers = np.zeros(size, np.int32)  # of each bucket the number of its kept texts, then these

    def shared(self) -> Indices:
        """The texts that are not alone in each of their buckets, ascending."""
        return np.flatnonzero((self._places != ALONE).any(axis=0))

    def kept_beside(self, text: int) -> Numbers:
        """The kept texts in the text's buckets, each once, ascending."""
        places = [place for place in self._places[:, text].tolist() if place != ALONE and self._room[place]]
        found = [self._room[place + 1 : place + 1 + self._room[place]] for place in places]
        if len(found) < 2:
            return found[0] if found else self._room[:0]
        return np.unique(np.concatenate(found))

    def keep(self, text: int) -> None:
        """Note the text in its buckets, as far as there is room."""
        for place in self._places[:, text].tolist():
            if place != ALONE and (count := self._room[place]) < MOST_IN_A_BUCKET:
                self._room[place + 1 + count] = text
                self._room[place] = count + 1
