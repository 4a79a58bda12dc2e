"""From a table to labelled texts, and from those to the training, validation and test parts of a run. No torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from backend.data.label_columns import label_cells
from backend.data.labels import (
    LIST_SEPARATOR,
    SAME_SPLIT_ROWS,
    cell_counts,
    label_counts,
    label_order,
    looks_like_no_labels,
    named_labels,
    resolve_task,
    split_cell,
)
from backend.errors import (
    ColumnMissing,
    LabelTooRare,
    NoLabels,
    NotBinary,
    NothingLeft,
    OneLabelOnly,
    SameColumn,
    TooManyLabels,
)
from backend.specs import DataSpec, SplitSpec, Task

LEAST_ROWS = 6
"""Two labels with a row in each of three parts."""

Indices = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class LabelledTexts:
    """The rows that can be learned from."""

    task: Task
    """Never ``auto``."""
    texts: list[str]
    labels: list[str]
    """The label names in the order of their numbers; for a binary task the second is the positive one."""
    targets: np.ndarray[Any, Any]
    """Label numbers, int64 of shape (texts,); for a multi-label task 0 and 1, float32 of shape (texts, labels)."""
    rows: Indices
    """For each text, its row in the imported table, from 0."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows not used: ``blank_texts``, ``blank_labels`` (of those with a text)."""

    def __len__(self) -> int:
        return len(self.texts)

    def counts(self, indices: Indices | None = None) -> dict[str, int]:
        """Rows of each label name among these texts, or among all."""
        targets = self.targets if indices is None else self.targets[indices]
        if self.task == "multilabel":
            sums = targets.sum(axis=0).astype(int)
        else:
            sums = np.bincount(targets, minlength=len(self.labels))
        return {label: int(count) for label, count in zip(self.labels, sums, strict=True)}


@dataclass(frozen=True)
class Splits:
    """Three disjoint sets of indices into the labelled texts, together all of them, each ascending."""

    train: Indices
    validation: Indices
    test: Indices


def prepare(table: pa.Table, data: DataSpec) -> LabelledTexts:
    """The texts and labels of the chosen columns; rows without either are left out and counted.

    Raises:
        ColumnMissing, SameColumn: the columns are not two of the table's.
        NoLabels, NothingLeft, OneLabelOnly, TooManyLabels, NotBinary: the label column will not do.
        LabelNamesUnknown, LabelNamesClash: the names given for labels do not fit them.
    """
    text_column, label_column = data.text_column, data.label_column or ", ".join(data.label_columns)
    if text_column not in table.column_names:
        raise ColumnMissing(column=text_column, available=table.column_names)
    if text_column in (data.label_columns or (label_column,)):
        raise SameColumn(column=text_column)
    all_texts = table[text_column].to_pylist()
    all_cells = label_cells(table, data.label_column, data.label_columns).to_pylist()
    rows, texts, cells = [], [], []
    left_out = Counter(blank_texts=0, blank_labels=0)
    for row, (text, cell) in enumerate(zip(all_texts, all_cells, strict=True)):
        if text is None or not text.strip():
            left_out["blank_texts"] += 1
        elif cell is None or not cell.strip():
            left_out["blank_labels"] += 1
        else:
            rows.append(row)
            texts.append(text)
            cells.append(cell.strip())
    counted = cell_counts(cells)
    asked = ("multilabel", LIST_SEPARATOR) if data.label_columns else (data.task, data.label_separator)
    task, separator = resolve_task(counted, *asked)
    counts = label_counts(counted, separator)
    if not counts:
        raise NoLabels(column=label_column) if not cell_counts(all_cells) else NothingLeft(rows=0, needed=LEAST_ROWS)
    values = label_order(counts)
    if len(values) == 1:
        raise OneLabelOnly(column=label_column, label=values[0])
    if looks_like_no_labels(len(values), len(texts)):
        raise TooManyLabels(column=label_column, labels=len(values), rows=len(texts))
    if task == "binary" and len(values) > 2:
        raise NotBinary(column=label_column, labels=values[:20])
    if len(texts) < LEAST_ROWS:
        raise NothingLeft(rows=len(texts), needed=LEAST_ROWS)
    return LabelledTexts(
        task=task,
        texts=texts,
        labels=named_labels(values, data.label_names),
        targets=_targets(cells, values, task, separator),
        rows=np.array(rows, dtype=np.int64),
        left_out=dict(left_out),
    )


def _targets(cells: list[str], values: list[str], task: Task, separator: str) -> np.ndarray[Any, Any]:
    number = {value: index for index, value in enumerate(values)}
    if task != "multilabel":
        return np.array([number[cell] for cell in cells], dtype=np.int64)
    targets = np.zeros((len(cells), len(values)), dtype=np.float32)
    for row, cell in enumerate(cells):
        for label in split_cell(cell, separator):
            targets[row, number[label]] = 1
    return targets


def split(labelled: LabelledTexts, spec: SplitSpec) -> Splits:
    """Divide the texts, the same way for the same seed.

    Rows with one and the same text stay together, or the test would ask what training was told; so the shares
    are met in distinct texts. Each label has its share in each part: exactly, and never less than one, where a
    text has one label; nearly (iterative stratification) where it has several, and there a label with fewer
    texts than parts goes to training.

    Raises:
        LabelTooRare: a label has fewer distinct texts than there are parts.
    """
    firsts, group_of = _groups(labelled.texts)
    rng = np.random.default_rng(spec.seed)
    if labelled.task == "multilabel":
        test, validation = spec.test_share, spec.validation_share * (1 - spec.test_share)
        shares = np.array([1 - test - validation, validation, test])
        part_of = iterative_stratification(labelled.targets[firsts], shares, rng)
    else:
        targets = labelled.targets[firsts]
        _refuse_rare(labelled, targets)
        part_of = np.zeros(len(firsts), dtype=np.int64)
        part_of[_draw(targets, np.arange(len(firsts)), spec.test_share, 2, rng)] = 2
        rest = np.flatnonzero(part_of == 0)
        part_of[_draw(targets, rest, spec.validation_share, 1, rng)] = 1
    parts = part_of[group_of]
    return Splits(*(np.flatnonzero(parts == part) for part in range(3)))


def _groups(texts: list[str]) -> tuple[Indices, Indices]:
    """Where each distinct text stands first, and for each text the number of its distinct one."""
    numbers: dict[str, int] = {}
    firsts: list[int] = []
    group_of = np.empty(len(texts), dtype=np.int64)
    for index, text in enumerate(texts):
        number = numbers.setdefault(text.strip(), len(firsts))
        if number == len(firsts):
            firsts.append(index)
        group_of[index] = number
    return np.array(firsts, dtype=np.int64), group_of


def _refuse_rare(labelled: LabelledTexts, targets: Indices) -> None:
    counts = np.bincount(targets, minlength=len(labelled.labels))
    rare = [label for label, count in zip(labelled.labels, counts, strict=True) if count < SAME_SPLIT_ROWS]
    if rare:
        raise LabelTooRare(labels=rare, needed=SAME_SPLIT_ROWS)


def _draw(targets: Indices, pool: Indices, share: float, spare: int, rng: np.random.Generator) -> Indices:
    """A stratified sample of the pool: ``share`` of it in all, by largest remainder over the labels.

    Each label gives at least one and keeps at least ``spare``. (scikit-learn's stratified splitting can leave a
    rare label out of a part altogether, and refuses more labels than sampled rows.)
    """
    members = [pool[targets[pool] == label] for label in range(int(targets.max()) + 1)]
    sizes = np.array([len(rows) for rows in members])
    quota = sizes * share
    most = np.maximum(sizes - spare, 0)
    taken = np.minimum(np.maximum(np.floor(quota).astype(int), 1), most)
    total = round(float(share * sizes.sum()))
    while taken.sum() < total and (taken < most).any():
        taken[np.argmax(np.where(taken < most, quota - taken, -np.inf))] += 1
    while taken.sum() > total and (taken > 1).any():
        taken[np.argmin(np.where(taken > 1, quota - taken, np.inf))] -= 1
    drawn = [rng.permutation(rows)[:count] for rows, count in zip(members, taken, strict=True)]
    return np.concatenate(drawn)


def iterative_stratification(targets: np.ndarray[Any, Any], shares: Any, rng: np.random.Generator) -> Indices:
    """The part of each row of a 0/1 matrix (rows, labels), so that each part has about its share of each label.

    Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011. The rarest label
    among the rows left is dealt out first, each of its rows to the part that still lacks most of it.
    """
    has = targets.astype(bool)
    count, label_count = has.shape
    order = rng.permutation(count)
    lacking = np.outer(shares, has.sum(axis=0)).astype(float)
    room = np.asarray(shares, dtype=float) * count
    part_of = np.full(count, -1, dtype=np.int64)
    remaining = has.sum(axis=0).astype(int)
    for _ in range(label_count):
        open_labels = np.flatnonzero(remaining > 0)
        if not len(open_labels):
            break
        label = open_labels[np.argmin(remaining[open_labels])]
        for row in order[has[order, label] & (part_of[order] < 0)]:
            part = max(range(len(room)), key=lambda p: (lacking[p, label], room[p]))
            part_of[row] = part
            lacking[part, has[row]] -= 1
            room[part] -= 1
            remaining[has[row]] -= 1
    for row in order[part_of[order] < 0]:
        part = int(np.argmax(room))
        part_of[row] = part
        room[part] -= 1
    return part_of
