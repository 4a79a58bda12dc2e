"""Sketches of texts by which nearly equal ones are found: MinHash (Broder 1997), of many texts at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

SHINGLE = 5
"""Characters of the pieces that nearly equal texts share; of short texts, fewer."""
PERMUTATIONS = 64
LEAST_RECALL = 0.93
"""How likely two texts that are just alike enough must become candidates of each other."""
CHARACTERS_AT_ONCE = 1 << 17
"""What is sketched together: few enough for the processor's cache, enough for loops in Python not to count."""
MULTIPLIER = np.uint32(0x01000193)

Pieces = np.ndarray[Any, np.dtype[np.uint32]]
Sketches = np.ndarray[Any, np.dtype[np.uint32]]
"""(texts, `PERMUTATIONS`) the least piece of each text in each order of all pieces."""

_DRAW = np.random.default_rng(20260101)
_FACTORS = _DRAW.integers(0, 1 << 32, PERMUTATIONS, dtype=np.uint32) | np.uint32(1)
_MASKS = _DRAW.integers(0, 1 << 32, PERMUTATIONS, dtype=np.uint32)


def bands_for(threshold: float) -> tuple[int, int]:
    """How a sketch is cut for texts that share this much: the number of bands, and the values of each.

    Two texts become candidates when a band is equal in both (Indyk and Motwani 1998): the wider a band, the fewer
    texts that are less alike do so. The widest is taken that still finds `LEAST_RECALL` of those at the threshold.
    """
    for width in range(PERMUTATIONS, 1, -1):
        if 1 - (1 - threshold**width) ** (PERMUTATIONS // width) >= LEAST_RECALL:
            return PERMUTATIONS // width, width
    return PERMUTATIONS, 1


def sketched(texts: Sequence[str]) -> Iterator[Sketches]:
    """The sketches of the texts in their order, some at a time."""
    start, characters = 0, 0
    for end, text in enumerate(texts, 1):
        characters += len(text) + SHINGLE
        if characters >= CHARACTERS_AT_ONCE or end == len(texts):
            yield _sketched(texts[start:end])
            start, characters = end, 0


def band_keys(sketches: Sketches, bands: int, width: int) -> Sketches:
    """(bands, texts) a number for each band of each text; equal bands have equal numbers, others hardly ever."""
    keys = np.zeros((bands, len(sketches)), np.uint32)
    for place in range(width):
        keys = (keys ^ sketches[:, place : bands * width : width].T) * MULTIPLIER
        keys ^= keys >> np.uint32(15)
    return keys


def shingles(text: str) -> Pieces:
    """The character pieces of a text, white space and case aside: their 32-bit hashes, each once, ascending."""
    plain = _plain(text)
    letters = _letters([plain])
    width = _width(len(plain))
    return np.unique(_pieces(letters, width)[: max(1, len(plain) - width + 1)])


def _sketched(texts: Sequence[str]) -> Sketches:
    plain = [_plain(text) for text in texts]
    widths = np.array([_width(len(text)) for text in plain])
    sketches = np.empty((len(texts), PERMUTATIONS), np.uint32)
    for width in np.unique(widths):
        chosen = np.flatnonzero(widths == width)
        sketches[chosen] = _least([plain[i] for i in chosen], int(width))
    return sketches


def _least(plain: list[str], width: int) -> Sketches:
    """The sketches of plain texts whose pieces have one width."""
    counts = [max(1, len(text) - width + 1) for text in plain]
    letters = _letters(plain)
    # A text's last pieces would reach into the next one: only those that begin early enough are its own.
    lengths = [max(1, len(text)) for text in plain]
    begins = np.fromiter(accumulate(lengths[:-1], initial=0), np.int64, len(plain))
    own = np.ones(len(letters), dtype=bool)
    for back in range(1, width):
        own[begins + np.array(lengths) - back] = False
    pieces = _pieces(letters, width)[own]
    edges = np.fromiter(accumulate(counts[:-1], initial=0), np.int64, len(plain))
    least = np.empty((PERMUTATIONS, len(plain)), np.uint32)
    ordered = np.empty_like(pieces)
    for number in range(PERMUTATIONS):
        np.bitwise_xor(pieces, _MASKS[number], out=ordered)
        np.multiply(ordered, _FACTORS[number], out=ordered)
        np.minimum.reduceat(ordered, edges, out=least[number])
    return least.T


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _width(length: int) -> int:
    return min(SHINGLE, max(1, length // 4))


def _letters(plain: list[str]) -> Pieces:
    """The characters of all texts as numbers; of an empty one a zero, so that it has a piece too."""
    joined = "".join(text or "\0" for text in plain)
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)


def _pieces(letters: Pieces, width: int) -> Pieces:
    """(letters,) the hash of the piece that begins at each letter."""
    pieces = np.zeros(len(letters), np.uint32)
    count = len(letters) - width + 1
    for place in range(width):
        pieces[:count] *= MULTIPLIER
        pieces[:count] += letters[place : place + count]
    # Neighbouring letters give neighbouring numbers: mixed (the finaliser of MurmurHash3), or all would look alike.
    pieces ^= pieces >> np.uint32(16)
    pieces *= np.uint32(0x85EBCA6B)
    pieces ^= pieces >> np.uint32(13)
    return pieces
