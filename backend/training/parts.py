"""A batch cut into parts of texts of like length: its rows are drawn at random, and little of it is padding.

What the parts of a batch add up to is the batch, so nothing is learned otherwise than from the whole of it; length-
grouped batches pad as little, but each holds short texts only, or long ones, and from such an epoch less is learned.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from backend.models.encoding import padded_length

COST_OF_A_PART = 100.0
"""The tokens that take as long to learn from as one more part does, on a processor: of 25 to 1,600 the best for the
narrow starter and for the width of BERT alike."""


def split_by_length(batch: dict[str, torch.Tensor], cost: float = COST_OF_A_PART) -> list[dict[str, torch.Tensor]]:
    """A batch's parts of like length (`cut_by_length`), each padded to the longest of its own texts.

    Args:
        batch: ``input_ids`` and ``attention_mask`` (b, t), padded on the right, and whatever else has b rows.
    """
    lengths = batch["attention_mask"].sum(dim=1).numpy(force=True)
    parts = []
    for rows in cut_by_length(lengths, cost):
        width = padded_length(int(lengths[rows].max()))
        part = {name: values[torch.from_numpy(rows)] for name, values in batch.items()}
        parts.append(part | {name: part[name][:, :width] for name in ("input_ids", "attention_mask")})
    return parts


def fitting(batch: dict[str, torch.Tensor], most_tokens: int) -> list[dict[str, torch.Tensor]]:
    """A batch's parts of at most so many padded tokens, but of one text at least."""
    rows, length = batch["input_ids"].shape
    size = max(1, most_tokens // length)
    return [{name: values[i : i + size] for name, values in batch.items()} for i in range(0, rows, size)]


def cut_by_length(lengths: npt.NDArray[Any], cost: float = COST_OF_A_PART) -> list[npt.NDArray[np.int64]]:
    """The row numbers of each part, the longest texts first.

    The cut is the one whose padded tokens, with ``cost`` tokens more for each part, are the fewest: among n distinct
    padded lengths it is found in n² steps, by the best cut of all that are shorter.

    Args:
        lengths: (b,) tokens of the batch's texts.
        cost: tokens that take as long as one more part.
    """
    padded = padded_length(np.asarray(lengths))
    widths, counts = np.unique(padded, return_counts=True)
    rows_before = np.concatenate([[0], np.cumsum(counts)])
    fewest, begins = np.zeros(len(widths) + 1), np.zeros(len(widths) + 1, dtype=np.int64)
    for end in range(1, len(widths) + 1):
        tokens = fewest[:end] + widths[end - 1] * (rows_before[end] - rows_before[:end]) + cost
        begins[end] = np.argmin(tokens)
        fewest[end] = tokens[begins[end]]
    order, parts, end = np.argsort(padded, kind="stable"), [], len(widths)
    while end:
        parts.append(order[rows_before[begins[end]] : rows_before[end]])
        end = begins[end]
    return parts
