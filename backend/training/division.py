"""How a batch is computed: whole, without padding, or in parts, and in how large ones. It adds up to the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import TrainingArguments

from backend.errors import MemoryFull
from backend.jobs.events import Noted
from backend.training.compiling import is_compiled
from backend.training.packing import TRIED_TEXTS, Packing
from backend.training.parts import fitting, split_by_length
from backend.training.rows import Rows

Batch = dict[str, torch.Tensor]
Extent = tuple[int, int]
"""Tokens that are computed at one time, and pairs of tokens of the same text: what memory grows with."""


@dataclass
class Division:
    """One model's way to compute batches."""

    device: str
    most_tokens: int | None = None
    """Padded tokens that memory has room for at one time; None: any batch fits."""
    by_length: bool = False
    """Whether a batch is cut into parts of like length."""
    packing: Packing | None = None
    proven: list[Extent] = field(default_factory=list)
    """Of parts that there was room for, none of which is within another."""

    @classmethod
    def of(
        cls, model: Any, train: Rows, arguments: TrainingArguments, *, splits: bool, most_tokens: int | None
    ) -> Division:
        """That of a model as it is now: with its attention, and its layers compiled or not.

        Args:
            splits: whether batches of texts of all lengths are drawn, so that padding them as a whole would be dear.
        """
        device = arguments.device.type
        if not splits:
            return cls(device, most_tokens)
        # Packed batches have an attention of their own: not where another one was asked for.
        eager = getattr(model.config, "_attn_implementation", None) == "eager"
        if eager and device == "cpu" and not is_compiled(model):
            packing = Packing.of(model, train.collate(list(range(min(TRIED_TEXTS, len(train))))))
            if packing is not None:
                return cls(device, most_tokens, packing=packing)
        return cls(device, most_tokens, by_length=True)

    def parts_of(self, batch: Batch) -> list[Batch]:
        """What the batch is computed in, one after the other: together they hold each of its rows once."""
        parts = split_by_length(batch) if self.by_length else [batch]
        return (
            parts if self.most_tokens is None else [each for part in parts for each in fitting(part, self.most_tokens)]
        )

    def is_proven(self, batch: Batch) -> bool:
        """Whether there has been room for as much as each of the batch's parts takes."""
        return all(any(_within(each, known) for known in self.proven) for each in self._extents(batch))

    def prove(self, batch: Batch) -> None:
        """There was room for this batch."""
        for extent in self._extents(batch):
            if not any(_within(extent, known) for known in self.proven):
                self.proven = [known for known in self.proven if not _within(known, extent)] + [extent]

    def _extents(self, batch: Batch) -> list[Extent]:
        if self.packing is None:
            shapes = [part["input_ids"].shape for part in self.parts_of(batch)]
            return [(rows * length, rows * length * length) for rows, length in shapes]
        lengths = [part["attention_mask"].sum(dim=1) for part in self.parts_of(batch)]
        return [(int(each.sum()), int((each * each).sum())) for each in lengths]

    def _largest(self, batch: Batch) -> torch.Tensor:
        return max((part["input_ids"] for part in self.parts_of(batch)), key=torch.numel)

    @contextmanager
    def given(self, part: Batch) -> Iterator[Batch]:
        """What the model is given of the part, in training or to be asked; the passes belong within."""
        if self.packing is None:
            yield part
            return
        packed = self.packing.pack(part)
        with self.packing.reading():
            yield packed

    def halve(self, batch: Batch) -> Noted:
        """From now on compute half as much at one time, for which this batch's largest part was too much.

        Raises:
            MemoryFull: that was a single text.
        """
        at_once, length = self._largest(batch).shape
        if at_once == 1:
            raise MemoryFull(device=self.device)
        self.most_tokens = length * (at_once // 2)
        facts = {"rows": at_once // 2, "batch": len(batch["input_ids"]), "tokens": length}
        return Noted("batch_divided", facts)


def _within(extent: Extent, known: Extent) -> bool:
    return extent[0] <= known[0] and extent[1] <= known[1]
