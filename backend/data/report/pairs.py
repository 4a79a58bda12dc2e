"""How often the labels of a text with several stand together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from backend.data.labels import label_counts, split_cell

MOST_LABELS = 60


def cooccurrence(cells: Mapping[str, int], separator: str) -> dict[str, Any]:
    """``{"labels", "counts"}``: the most frequent labels, and for each pair the rows that have both.

    The diagonal holds the rows of the label itself. ``cells`` are the different cells with their rows.
    """
    labels = [label for label, _rows in label_counts(cells, separator).most_common(MOST_LABELS)]
    number = {label: index for index, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for cell, rows in cells.items():
        present = [number[label] for label in split_cell(cell, separator) if label in number]
        counts[np.ix_(present, present)] += rows
    return {"labels": labels, "counts": counts.tolist()}
