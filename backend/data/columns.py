"""Long columns of texts worked on where they lie: Arrow's own ways would copy a gigabyte for a few rows. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def taken(column: pa.ChunkedArray, indices: Any) -> pa.Array:
    """The cells at ``indices`` in their order, taken piece by piece: `ChunkedArray.take` joins all pieces first."""
    wanted = np.asarray(indices, dtype=np.int64)
    starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    order = np.argsort(wanted, kind="stable")
    edges = np.searchsorted(wanted[order], starts)
    parts = [
        chunk.take(pa.array(wanted[order[low:high]] - start))
        for chunk, start, low, high in zip(column.chunks, starts[:-1], edges[:-1], edges[1:], strict=True)
        if high > low
    ]
    found = pa.concat_arrays(parts) if parts else pa.array([], column.type)
    if (np.diff(order) >= 0).all():
        return found
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    return found.take(pa.array(back))


def trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The cells without white space around them, missing ones empty; pieces that are so already are not copied."""
    chunks = []
    for chunk in column.chunks:
        clean = pc.fill_null(pc.utf8_trim_whitespace(chunk), "")
        chunks.append(chunk if clean.equals(chunk) else clean)
    return pa.chunked_array(chunks, column.type)
