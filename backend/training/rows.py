"""The rows a trainer draws from: encoded texts with their targets, and the orders and batches they are drawn in.

Every order is a function of the seed and the epoch alone, so that a later epoch can be drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset, Sampler
from transformers import TrainingArguments
from transformers.trainer_pt_utils import BatchRebalanceSampler

from backend.models.encoding import EncodedTexts, padded_length

BATCHES_IN_A_GROUP = 50


@dataclass(frozen=True)
class Rows(Dataset[int]):
    """n encoded texts and their targets. An item is its own number: a batch is put together at once, in `collate`."""

    texts: EncodedTexts
    targets: npt.NDArray[Any]
    """(n,) class numbers; (n, k) floats for multi-label, or for probabilities to learn from."""
    pad_to: int = 0
    """Tokens that every batch is padded to; 0: as many as its longest text has."""

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int) -> int:
        return row

    def collate(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """The model's inputs and ``labels`` for these rows; the labels are float where there are k of them a row."""
        targets = self.targets[rows]
        kind = np.int64 if targets.ndim == 1 else np.float32
        return {**self.texts.batch(rows, self.pad_to), "labels": torch.from_numpy(targets.astype(kind))}


class RandomOrder(Sampler[int]):
    """All rows in a random order, another one in each epoch."""

    def __init__(self, lengths: npt.NDArray[Any], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def set_epoch(self, epoch: int) -> None:
        """Draw the order of this epoch from now on."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[int]:
        return iter(np.random.default_rng((self._seed, self._epoch)).permutation(len(self)).tolist())


class LengthGroupedOrder(RandomOrder):
    """A random order in which each batch holds texts of like length, so that little is padded.

    The batch with the longest text comes first: if memory is too small for it, that shows in the first step and not
    in the last.
    """

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


class DividedBatches(BatchRebalanceSampler):
    """The batches of an order, of each of which every process has its part: together they are what one would learn.

    As `TokenBudgetBatches`, of Transformers' class it has the type alone.

    Args:
        order: the rows of an epoch.
        batch_size: rows of all processes together. A last batch with fewer rows than processes joins the one before.
        processes: among which each batch is divided.
        process: which of them this is, from 0.
    """

    def __init__(self, order: RandomOrder, batch_size: int, *, processes: int, process: int) -> None:
        self._order, self._processes, self._process = order, processes, process
        starts = list(range(0, len(order), batch_size))
        if len(starts) > 1 and len(order) - starts[-1] < processes:
            starts.pop()
        self._edges = [*starts, len(order)]

    def __len__(self) -> int:
        return len(self._edges) - 1

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of this epoch from now on."""
        self._order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(self._order)
        for start, end in pairwise(self._edges):
            batch = rows[start:end]
            # Each process must have a row: a table with fewer rows than processes has some of them twice.
            yield batch[self._process :: self._processes] or batch[:1]


class TokenBudgetBatches(BatchRebalanceSampler):
    """Batches of as many texts of like length as fit a number of padded tokens: each takes about the same time.

    Of Transformers' class it has nothing but the type, by which Trainer takes it for whole batches that are already
    divided among the processes.

    Args:
        lengths: (n,) tokens of the texts.
        budget: tokens a batch, padding included; a longer text stands alone.
        processes: among which the batches are dealt out, the same number to each.
        process: which of them this is, from 0.
        accumulation: batches a step; every step has them all.
    """

    def __init__(
        self,
        lengths: npt.NDArray[Any],
        budget: int,
        seed: int,
        *,
        processes: int = 1,
        process: int = 0,
        accumulation: int = 1,
    ) -> None:
        self._padded = padded_length(np.asarray(lengths))
        self._budget, self._seed, self._epoch = budget, seed, 0
        self._processes, self._process, self._together = processes, process, processes * accumulation
        self._count = len(self._batches(0)) // processes

    def __len__(self) -> int:
        return self._count

    def set_epoch(self, epoch: int) -> None:
        """Draw the batches of this epoch from now on."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches(self._epoch)[self._process :: self._processes]

    def _batches(self, epoch: int) -> list[list[int]]:
        random = np.random.default_rng((self._seed, epoch))
        shuffled = random.permutation(len(self._padded))
        ordered = shuffled[np.argsort(-self._padded[shuffled], kind="stable")]
        batches, start = [], 0
        while start < len(ordered):
            size = max(1, self._budget // int(self._padded[ordered[start]]))
            batches.append(ordered[start : start + size].tolist())
            start += size
        while len(batches) % self._together:  # the largest are halved until every process and step has its share
            largest = max(range(len(batches)), key=lambda i: len(batches[i]))
            whole = batches.pop(largest)
            if len(whole) == 1:  # nothing is left to halve: a row is drawn twice
                batches += [whole, list(whole)]
            else:
                batches += [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
        return [batches[i] for i in random.permutation(len(batches))]


Order = RandomOrder | TokenBudgetBatches | DividedBatches


def build_order(lengths: npt.NDArray[Any], batching: str, arguments: TrainingArguments) -> Order:
    """The order in which rows of these lengths are drawn: ``random``, ``length_grouped`` or ``token_budget``.

    ``length_split`` is random too: its batches are cut later (`backend.training.parts`).
    """
    if batching == "token_budget":
        return TokenBudgetBatches(
            lengths,
            token_budget(lengths, arguments.train_batch_size),
            arguments.seed,
            processes=arguments.world_size,
            process=arguments.process_index,
            accumulation=arguments.gradient_accumulation_steps,
        )
    kind = LengthGroupedOrder if batching == "length_grouped" else RandomOrder
    processes, batch_size = arguments.world_size, arguments.train_batch_size * arguments.world_size
    order = kind(lengths, batch_size, arguments.seed)
    if processes == 1:
        return order
    return DividedBatches(order, batch_size, processes=processes, process=arguments.process_index)


def steps_an_epoch(order: Order, arguments: TrainingArguments) -> int:
    """Optimizer steps in each epoch, of all processes together."""
    whole = isinstance(order, TokenBudgetBatches | DividedBatches)
    batches = len(order) if whole else math.ceil(len(order) / arguments.train_batch_size)
    return max(1, math.ceil(batches / arguments.gradient_accumulation_steps))


def token_budget(lengths: npt.NDArray[Any], batch_size: int) -> int:
    """The padded tokens of a batch of ``batch_size`` texts of mean length, but room for the longest text."""
    return max(round(float(lengths.mean()) * batch_size), int(lengths.max()))
