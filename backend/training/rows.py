"""The rows a trainer draws from: encoded texts with their targets, in an order that groups texts of like length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler

from backend.models.encoding import EncodedTexts

BATCHES_IN_A_GROUP = 50


@dataclass(frozen=True)
class Rows(Dataset[int]):
    """n encoded texts and their targets. An item is its own number: a batch is put together at once, in `collate`."""

    texts: EncodedTexts
    targets: npt.NDArray[Any]
    """(n,) class numbers; (n, k) floats for multi-label, or for probabilities to learn from."""

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int) -> int:
        return row

    def collate(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """The model's inputs and ``labels`` for these rows; the labels are float where there are k of them a row."""
        targets = self.targets[rows]
        kind = np.int64 if targets.ndim == 1 else np.float32
        return {**self.texts.batch(rows), "labels": torch.from_numpy(targets.astype(kind))}


class LengthGroupedOrder(Sampler[int]):
    """A random order in which each batch holds texts of like length, so that little is padded.

    The order is a function of the seed and the epoch alone, so a later epoch can be drawn again. The batch with the
    longest text comes first: if memory is too small for it, that shows in the first step and not in the last.
    """

    def __init__(self, lengths: npt.NDArray[Any], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = np.random.default_rng((self._seed, self._epoch))
        order, size = random.permutation(len(self)), self._batch_size
        group = size * BATCHES_IN_A_GROUP
        parts = [order[start : start + group] for start in range(0, len(order), group)]
        ordered = np.concatenate([part[np.argsort(-self._lengths[part], kind="stable")] for part in parts])
        batches = [ordered[start : start + size] for start in range(0, len(ordered), size)]
        partial = [batches.pop()] if len(batches[-1]) < size else []
        if batches:
            longest = batches.pop(int(np.argmax([self._lengths[batch].max() for batch in batches])))
            batches = [batches[i] for i in random.permutation(len(batches))]
            batches = [longest, *batches]
        return iter(np.concatenate([*batches, *partial]).tolist())
