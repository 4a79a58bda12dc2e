"""What the label column of a new table says in the labels of a finished run: its recipe's label steps, done again.

A step that looks at many rows (`minimum_rows`, `merge_label_variants`) did so when the run was made; here the labels
that the run ended up with tell what it decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from backend.data.label_columns import label_cells
from backend.data.labels import LIST_SEPARATOR, SEPARATORS, split_cell
from backend.data.relabelling import variant_key
from backend.data.rows import Mask, TextRows
from backend.data.template import label_columns
from backend.specs import DataSpec

Step = Mapping[str, Any]


class LabelReader:
    """Reads one label of a new table. ``labels`` are the run's, named by ``names`` (value: name) as the user asked."""

    def __init__(self, steps: Sequence[Step], labels: Sequence[str], names: Mapping[str, str]) -> None:
        value_of = {name.strip(): value.strip() for value, name in names.items() if name.strip()}
        values = [value_of.get(label, label) for label in labels]
        # Where a table is labelled with the names already, those are known too; the values come first.
        self._named = {**{label: label for label in labels}, **dict(zip(values, labels, strict=True))}
        self._steps: list[tuple[Step, list[str]]] = []
        known = [*values, *labels]
        for step in reversed([step for step in steps if step.get("on", True)]):
            self._steps.insert(0, (step, known))
            known = [*known, *step.get("mapping", {}), *step.get("labels", ())]

    def read(self, label: str) -> str | None:
        """The run's name for the label; None where a step leaves such rows out.

        Raises:
            LookupError: the run knows no such label.
        """
        found = label
        for step, known in self._steps:
            match step["kind"]:
                case "map_labels":
                    found = step["mapping"].get(found, found)
                case "drop_labels" if found in step["labels"]:
                    return None
                case "merge_label_variants" if found not in known:
                    key = variant_key(found)
                    found = next((spelling for spelling in known if variant_key(spelling) == key), found)
                case "minimum_rows" if step["action"] == "merge" and found not in known:
                    found = step["into"]
        if found not in self._named:
            raise LookupError(label)
        return self._named[found]


@dataclass(frozen=True)
class Truth:
    """What a table says of the labels of its rows."""

    targets: np.ndarray[Any, Any]
    """As `backend.data.labelling.LabelledTexts.targets`; of rows without a known label they mean nothing."""
    known: Mask
    """(rows,) whether the row says something that the run can be measured by."""
    unknown: Counter[str]
    """Labels that the run does not know, with their rows."""


def read_truth(
    table: pa.Table, data: DataSpec, steps: Sequence[Step], task: str, labels: Sequence[str]
) -> Truth | None:
    """The labels of a new table in those of a run (``task``, ``labels``); None where it has no such column.

    Raises:
        LabelColumnNotBinary: a column that stands for one label holds anything but 0 and 1.
    """
    if not set(label_columns(data)) <= set(table.column_names):
        return None
    reader = LabelReader(steps, labels, data.label_names)
    cells = label_cells(table, data.label_column, data.label_columns)
    rows = TextRows(cells, cells, np.arange(table.num_rows, dtype=np.int64))
    separator = _separator(rows, data, reader) if task == "multilabel" else ""
    codes, values = rows.cell_codes
    unknown: Counter[str] = Counter()
    number = {label: index for index, label in enumerate(labels)}
    known = np.zeros(len(values), dtype=bool)
    wide = (len(values), len(labels)) if task == "multilabel" else (len(values),)
    targets = np.zeros(wide, dtype=np.int8 if task == "multilabel" else np.int64)
    for cell, (value, count) in enumerate(zip(values, np.bincount(codes, minlength=len(values)), strict=True)):
        given, foreign = _read_cell(value, separator, reader)
        unknown.update({label: int(count) for label in foreign})
        # A cell whose labels were all left out says nothing; an empty list says that no label applies.
        known[cell] = bool(value) and not foreign and (bool(given) or not split_cell(value, separator))
        if task == "multilabel":
            targets[cell, [number[label] for label in given]] = 1
        elif given:
            targets[cell] = number[given[0]]
    return Truth(targets[codes], known[codes], unknown)


def _read_cell(cell: str, separator: str, reader: LabelReader) -> tuple[list[str], list[str]]:
    """The labels of a cell that the run knows, and those that it does not know."""
    known, unknown = [], []
    for label in split_cell(cell, separator):
        try:
            found = reader.read(label)
        except LookupError:
            unknown.append(label)
        else:
            known += [found] if found is not None else []
    return known, unknown


def _separator(rows: TextRows, data: DataSpec, reader: LabelReader) -> str:
    """What stands between the labels of a cell: as asked for, else what makes most cells known labels."""
    if data.label_columns:
        return LIST_SEPARATOR
    if data.label_separator:
        return data.label_separator

    def rows_known(separator: str) -> int:
        return sum(count for cell, count in rows.cell_counts.items() if not _read_cell(cell, separator, reader)[1])

    return max(("", LIST_SEPARATOR, *SEPARATORS), key=rows_known)
