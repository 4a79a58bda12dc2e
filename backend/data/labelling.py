"""From rows with cells of labels to label numbers: the class set of a run, fixed before it is divided. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from backend.data.composing import compose_rows
from backend.data.labels import (
    label_order,
    looks_like_no_labels,
    named_labels,
    resolve_task,
    split_cell,
)
from backend.data.rows import Indices, TextRows
from backend.errors import NoLabels, NotBinary, NothingLeft, OneLabelOnly, TooManyLabels
from backend.specs import DataSpec, Task

LEAST_ROWS = 6
"""Two labels with a row in each of three parts."""


@dataclass(frozen=True)
class LabelledTexts:
    """The rows that can be learned from."""

    task: Task
    """Never ``auto``."""
    texts: Sequence[str]
    """Empty where only the counts are wanted: a million texts as Python objects are gigabytes."""
    labels: list[str]
    """The label names in the order of their numbers; for a binary task the second is the positive one."""
    targets: np.ndarray[Any, Any]
    """Label numbers, int64 of shape (rows,); for a multi-label task 0 and 1, float32 of shape (rows, labels)."""
    rows: Indices
    """For each text, its row in the imported table, from 0."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows not used: ``blank_texts``, ``blank_labels`` (of those with a text)."""
    hashes: Indices | None = None
    """A number for each text, the same for the same text; without it the texts are hashed when they are needed."""

    told: dict[str, Any] = field(default_factory=dict)
    """What was done to make them: ``{"steps", "split", "notes"}``, for the report of the run."""

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def keys(self) -> Indices:
        """(rows,) a number for each text, the same for the same text."""
        if self.hashes is not None:
            return self.hashes
        found: Indices = np.fromiter((hash(text.strip()) for text in self.texts), np.int64, len(self.texts))
        return found

    @cached_property
    def strata(self) -> Indices:
        """(rows,) the label number; of a text with several labels, that of its rarest; without any, one more."""
        if self.task != "multilabel":
            return np.asarray(self.targets, dtype=np.int64)
        counts = self.targets.sum(axis=0)
        rarest = np.argmin(np.where(self.targets > 0, counts, np.inf), axis=1)
        return np.where(self.targets.any(axis=1), rarest, len(self.labels)).astype(np.int64)

    def counts(self, indices: Indices | None = None) -> dict[str, int]:
        """Rows of each label name among these texts, or among all."""
        targets = self.targets if indices is None else self.targets[indices]
        if self.task == "multilabel":
            sums = targets.sum(axis=0).astype(int)
        else:
            sums = np.bincount(targets, minlength=len(self.labels))
        return {label: int(count) for label, count in zip(self.labels, sums, strict=True)}

    def taken(self, indices: Indices) -> LabelledTexts:
        """These rows alone; the class set stays."""
        return replace(
            self,
            texts=[self.texts[i] for i in indices] if len(self.texts) else (),
            targets=self.targets[indices],
            rows=self.rows[indices],
            hashes=self.keys[indices],
        )


def prepare(table: pa.Table, data: DataSpec) -> LabelledTexts:
    """The texts and labels of the chosen columns as they stand in the table, without any step.

    Raises:
        DataError: as `compose_rows` and `label_rows` do.
    """
    rows, task = compose_rows(table, data)
    return label_rows(rows, data, task)


def label_rows(rows: TextRows, data: DataSpec, task: Task, *, with_texts: bool = True) -> LabelledTexts:
    """The rows with a text and a label, numbered; those without either are left out and counted.

    Raises:
        NoLabels, NothingLeft, OneLabelOnly, TooManyLabels, NotBinary: the labels will not do.
        LabelNamesUnknown, LabelNamesClash: the names given for labels do not fit them.
    """
    usable = rows.has_text & rows.has_label
    left_out = {
        "blank_texts": int((~rows.has_text).sum()),
        "blank_labels": int((rows.has_text & ~rows.has_label).sum()),
    }
    had_labels = bool(rows.has_label.any())
    used = rows.kept(usable)
    values = label_order(used.label_counts)
    task = resolve_task(used.cell_counts, task, rows.separator)[0]
    _check(values, task, len(used), data, had_labels=had_labels)
    return LabelledTexts(
        task=task,
        texts=used.text_at(np.arange(len(used))) if with_texts else (),
        labels=named_labels(values, data.label_names),
        targets=_targets(used, values, task),
        rows=used.numbers,
        left_out=left_out,
        hashes=used.text_keys,
    )


def _check(values: list[str], task: Task, rows: int, data: DataSpec, *, had_labels: bool) -> None:
    column = data.label_column or ", ".join(data.label_columns)
    if not values:
        raise NothingLeft(rows=0, needed=LEAST_ROWS) if had_labels else NoLabels(column=column)
    if len(values) == 1:
        raise OneLabelOnly(column=column, label=values[0])
    if looks_like_no_labels(len(values), rows):
        raise TooManyLabels(column=column, labels=len(values), rows=rows)
    if task == "binary" and len(values) > 2:
        raise NotBinary(column=column, labels=values[:20])
    if rows < LEAST_ROWS:
        raise NothingLeft(rows=rows, needed=LEAST_ROWS)


def _targets(rows: TextRows, values: list[str], task: Task) -> np.ndarray[Any, Any]:
    number = {value: index for index, value in enumerate(values)}
    codes, cells = rows.cell_codes
    if task != "multilabel":
        return np.array([number.get(cell, -1) for cell in cells], dtype=np.int64)[codes]
    given = np.zeros((len(cells), len(values)), dtype=np.float32)
    for row, cell in enumerate(cells):
        for label in split_cell(cell, rows.separator):
            given[row, number[label]] = 1
    return given[codes]
