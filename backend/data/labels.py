"""What a column of labels says: which labels there are, whether a cell holds several, which task that makes. Pure.

Everything here works on the *cells* of a column: each different cell text with the number of its rows.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache

from backend.errors import LabelNamesClash, LabelNamesUnknown
from backend.specs import Task

SEPARATORS = ("|", ";", "；", "、", ",", "，", "/")
SAME_SPLIT_ROWS = 3
"""Rows that each label needs: one for each of the training, validation and test parts."""
LIST_SEPARATOR = "[]"
"""Stands for a separator where cells are lists as JSON or Python writes them: ``["a", "b"]``, ``['a']``, ``[]``."""
LONGEST_LIST = 20_000
LISTS_TRIED = 1000
LONGEST_LABEL = 60
MOST_PARTS = 1000
_NUMPY_GAP = re.compile(r"""(['"])\s+(['"])""")


def cell_counts(cells: Iterable[str | None]) -> Counter[str]:
    """Each different cell, stripped, with its number of rows; blank ones are left out."""
    return Counter(cell for text in cells if text is not None and (cell := text.strip()))


def split_cell(cell: str, separator: str) -> list[str]:
    """The labels of one cell: stripped, each once, in the order they stand in. Without a separator it is one label."""
    if separator == LIST_SEPARATOR:
        listed = list_in(cell)
        return [cell] if listed is None else list(listed)
    parts = cell.split(separator.strip() or separator) if separator else [cell]
    return list(dict.fromkeys(label for part in parts if (label := part.strip())))


@lru_cache(maxsize=1 << 16)
def list_in(cell: str) -> tuple[str, ...] | None:
    """The labels of a cell that is written as a list, each once; None if it is none.

    JSON and Python lists of texts or numbers; also ``['a' 'b']``, as numpy prints them.
    """
    cell = cell.strip()
    if not (cell.startswith("[") and cell.endswith("]")) or len(cell) > LONGEST_LIST:
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        try:
            found = ast.literal_eval(_NUMPY_GAP.sub(r"\1, \2", cell))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    if not isinstance(found, list) or not all(isinstance(part, (str, int, float)) for part in found):
        return None
    return tuple(dict.fromkeys(label for part in found if (label := str(part).strip())))


def label_counts(cells: Mapping[str, int], separator: str) -> Counter[str]:
    """Each label with its number of rows."""
    counts: Counter[str] = Counter()
    for cell, rows in cells.items():
        for label in split_cell(cell, separator):
            counts[label] += rows
    return counts


def label_order(labels: Iterable[str]) -> list[str]:
    """The labels in the order that a model numbers them: by value if all are numbers, else by their characters."""
    found = list(labels)
    try:
        values = {label: float(label) for label in found}
    except ValueError:
        return sorted(found)
    if any(math.isnan(value) for value in values.values()):
        return sorted(found)  # "nan" has no place among numbers
    return sorted(found, key=lambda label: (values[label], label))


def guess_separator(cells: Mapping[str, int]) -> str:
    """What stands between several labels of one cell; empty if each cell holds one label.

    A separator counts when its parts come again in other cells: "Action, Comedy" beside "Comedy, Drama" are
    labels, "Home, garden" in every row of its class is a name, and the parts of sentences come once.
    """
    if _are_lists(cells):
        return LIST_SEPARATOR
    found = [(uses, s) for s in SEPARATORS if (uses := _uses_of(cells, s))]
    if not found:
        return ""
    separator = max(found, key=lambda pair: (pair[0], -SEPARATORS.index(pair[1])))[1]
    followed = sum(rows * cell.count(separator + " ") for cell, rows in cells.items())
    every = sum(rows * cell.count(separator) for cell, rows in cells.items())
    return separator + " " if followed == every else separator


def _are_lists(cells: Mapping[str, int]) -> bool:
    tried = list(cells)[:: len(cells) // LISTS_TRIED + 1]
    lists = [cell for cell in tried if cell.startswith("[") and list_in(cell) is not None]
    rows, listed = (sum(cells[cell] for cell in found) for found in (tried, lists))
    labels = label_counts({cell: cells[cell] for cell in lists}, LIST_SEPARATOR)
    # Vectors are lists of numbers that never come again.
    come_again = len(labels) <= MOST_PARTS and labels.total() >= 2 * len(labels)
    return len(tried) > 1 and listed >= 0.9 * rows and come_again


def _uses_of(cells: Mapping[str, int], separator: str) -> float:
    """The share of rows in which this separator divides labels, 0 if it does not."""
    rows = sum(cells.values())
    divided = sum(count for cell, count in cells.items() if separator in cell)
    if divided < max(2, 0.02 * rows):
        return 0.0
    in_cells: Counter[str] = Counter()
    uses = 0
    for cell, count in cells.items():
        parts = split_cell(cell, separator)
        in_cells.update(parts)
        uses += len(parts) * count
        if len(in_cells) > MOST_PARTS:
            return 0.0
    shared = sum(n for n in in_cells.values() if n > 1)
    if any(len(part) > LONGEST_LABEL for part in in_cells) or uses < 3 * len(in_cells):
        return 0.0
    if shared < 0.5 * sum(in_cells.values()):
        return 0.0
    return divided / rows


def looks_like_no_labels(labels: int, rows: int) -> bool:
    """Whether there are so many different labels that the column is rather a text or an id."""
    return labels > 50 and (labels * 2 > rows or labels > 5 * MOST_PARTS)


def resolve_task(cells: Mapping[str, int], task: str, separator: str) -> tuple[Task, str]:
    """The task and the separator where they were left open (``auto``, empty): told from the cells.

    A separator that was given makes the task multi-label; one is only looked for if the task leaves room for it.
    """
    if task == "auto" and separator:
        return "multilabel", separator
    if task in ("auto", "multilabel"):
        separator = separator or guess_separator(cells)
        if separator or task == "multilabel":
            return "multilabel", separator
        return ("binary" if len(cells) == 2 else "multiclass"), ""
    return ("binary" if task == "binary" else "multiclass"), ""


def named_labels(values: list[str], names: Mapping[str, str]) -> list[str]:
    """The name of each label value; those without one, or with a blank one, keep their value.

    Raises:
        LabelNamesUnknown: a name is given for a value that does not exist.
        LabelNamesClash: two labels would have the same name.
    """
    names = {value.strip(): name.strip() for value, name in names.items()}
    unknown = [value for value in names if value not in values]
    if unknown:
        raise LabelNamesUnknown(labels=unknown, available=values[:50])
    named = [names.get(value) or value for value in values]
    for name, times in Counter(named).items():
        if times > 1:
            clashing = [value for value, given in zip(values, named, strict=True) if given == name]
            raise LabelNamesClash(name=name, labels=clashing)
    return named
