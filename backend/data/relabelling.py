"""Which spellings of labels are one label. Pure."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping

from backend.data.labels import label_order


def variant_key(label: str) -> str:
    """What spellings of one label have in common: case, width and white space do not count, nor does ``.0``."""
    plain = " ".join(unicodedata.normalize("NFKC", label).split()).casefold()
    try:
        number = float(plain)
    except ValueError:
        return plain
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else plain


def merging(counts: Mapping[str, int]) -> dict[str, str]:
    """For each spelling that is not the most frequent one of its label, that one; of equally many, the first."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in label_order(counts):
        spellings[variant_key(label)].append(label)
    merged: dict[str, str] = {}
    for variants in spellings.values():
        chosen = max(variants, key=lambda label: counts[label])
        merged |= {label: chosen for label in variants if label != chosen}
    return merged
