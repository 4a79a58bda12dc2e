"""What the columns of an imported table are, and which of them are probably the texts and the labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.columns import taken
from backend.data.labels import LONGEST_LABEL, cell_counts, guess_separator, label_counts
from backend.data.roles import DATE, Roles, guess_roles

LABEL_NAMES = (
    ("label", "labels", "标签", "标记", "target", "y"),
    ("class", "classes", "category", "categories", "cat", "类别", "分类", "类型", "genre", "genres", "tags", "tag"),
    ("sentiment", "emotion", "emotions", "intent", "topic", "type", "polarity", "情感", "情绪", "意图", "主题"),
    ("stars", "star", "rating", "score", "grade", "评分", "星级"),
)
"""Names of label columns; those of the first line are the surest."""
TEXT_NAMES = (
    *("text", "texts", "review", "reviews", "content", "sentence", "comment", "comments", "synopsis", "post", "posts"),
    *("body", "message", "tweet", "document", "utterance", "question", "文本", "内容", "评论", "正文", "句子", "评价"),
)
ID_NAME = re.compile(r"(?i)(id|idx|index|uuid|guid|no|nr|key|序号|编号|unnamed: ?\d+)|.*[_ ]id|.*[a-z]Id")
MOST_LABELS = 1000
MOST_NUMBERS = 30
KIND_SAMPLE = 100_000
DATES_SHARE = 0.95
EXAMPLES = 3
NEAR = 1.5
"""A column this many times as text-like as the next is surely the text."""


@dataclass(frozen=True)
class ColumnProfile:
    """One column: ``blank`` cells are missing or hold white space only; lengths are in characters."""

    name: str
    kind: str
    distinct: int
    blank: int
    mean_length: float
    examples: list[str]
    separator: str = ""
    """What divides the labels of one cell, where cells hold several."""
    rows: int = 0
    """Cells that are not blank."""


@dataclass(frozen=True)
class Guess:
    """The probable text and label columns; None where no column will do, or where each label has a column."""

    text: str | None
    label: str | None
    task: str
    separator: str
    certain: bool
    reasons: dict[str, str]
    roles: Roles = field(default_factory=Roles)

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``profile.json``."""
        return asdict(self)


def evenly(column: pa.ChunkedArray, most: int) -> pa.ChunkedArray:
    """At most about ``most`` cells of the column, evenly spread over it."""
    step = len(column) // most + 1
    return column if step == 1 else pa.chunked_array([taken(column, range(0, len(column), step))])


def count_cells(column: pa.ChunkedArray) -> Counter[str]:
    """`backend.data.labels.cell_counts` of a whole column, counted where it lies: millions of cells, few labels."""
    counts: Counter[str] = Counter()
    for entry in pc.value_counts(pc.utf8_trim_whitespace(column.drop_null())).to_pylist():
        if entry["values"]:
            counts[entry["values"].strip()] += entry["counts"]
    return counts


def filled_cells(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column's cells without white space around them, those with nothing left taken out."""
    trimmed = pc.utf8_trim_whitespace(column.drop_null())
    return trimmed.filter(pc.not_equal(trimmed, ""))


def hashes_of(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A 64-bit hash of each cell: a hundredth of the memory that a table of the texts themselves would take."""
    parts = [np.fromiter(map(hash, chunk.to_pylist()), np.int64, len(chunk)) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def profile_column(name: str, column: pa.ChunkedArray, list_separator: str = "") -> ColumnProfile:
    """Count one column of texts. ``list_separator`` is known where the file held lists."""
    rows, characters = 0, 0
    hashes, examples = [], dict[str, None]()
    for chunk in column.chunks:  # piece by piece: whole copies of a large column are gigabytes
        filled = filled_cells(pa.chunked_array([chunk]))
        rows += len(filled)
        characters += int(pc.sum(pc.utf8_length(filled)).as_py() or 0)
        hashes.append(hashes_of(filled))
        if len(examples) < EXAMPLES:
            examples |= dict.fromkeys(text[:300] for text in filled.slice(0, 1000).to_pylist())
    blank = len(column) - rows
    if not rows:
        return ColumnProfile(name, "empty", 0, blank, 0.0, [], rows=0)
    distinct, mean_length = len(np.unique(np.concatenate(hashes))), characters / rows
    # Cells as long as paragraphs are no labels, so theirs are never looked at one by one; of the others, a sample.
    sample = column.slice(0, 0) if mean_length > 4 * LONGEST_LABEL else evenly(column, KIND_SAMPLE)
    cells = cell_counts(sample.to_pylist())
    separator = list_separator or guess_separator(cells)
    kind = _kind(name, cells, rows, distinct, mean_length, separator)
    shown = separator if kind == "label" else ""
    return ColumnProfile(name, kind, distinct, blank, round(mean_length, 2), list(examples)[:EXAMPLES], shown, rows)


def _kind(name: str, cells: Mapping[str, int], rows: int, distinct: int, mean_length: float, separator: str) -> str:
    numbers = bool(cells) and all(_is_number(cell) for cell in cells)
    if separator and not numbers:
        return "label"
    unique = distinct == rows and rows > 2
    named_id = ID_NAME.fullmatch(name) is not None
    codes = unique and len({len(cell) for cell in cells}) == 1 and mean_length >= 6 and not any(" " in c for c in cells)
    whole = numbers and all(cell.lstrip("-").isdigit() for cell in cells)
    if (named_id and (unique or numbers)) or (unique and whole) or (codes and all(c.isascii() for c in cells)):
        return "id"
    dates = sum(DATE.fullmatch(cell) is not None for cell in cells)
    if cells and dates >= DATES_SHARE * len(cells):
        return "time"
    if numbers and distinct > MOST_NUMBERS:
        return "number"
    few = distinct <= 2 or (distinct <= rows / 2 if rows < 100 else distinct <= max(50, min(MOST_LABELS, rows / 10)))
    return "label" if few and mean_length <= LONGEST_LABEL else "text"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def guess_columns(columns: Sequence[ColumnProfile], cells_of: Any, classes: Sequence[str] = ()) -> Guess:
    """The probable text and label columns; their order in the table does not matter.

    ``cells_of(name)`` gives a column's cell counts, asked for columns of few values and the label column only.
    ``classes`` are columns that the data itself declares to hold classes: where there are any, one is the label.
    """
    found = sorted(columns, key=lambda column: column.name)
    declared = [c for c in found if c.name in classes and c.kind != "empty"]
    named = declared or [c for c in found if c.kind == "label" and _label_rank(c.name) is not None]
    roles = guess_roles(columns, cells_of, min(named, key=_label_order).name if named else "")
    taken = roles.taken()
    free = [column for column in found if column.name not in taken or column in declared]
    text, text_reason, text_certain = _guess_text([column for column in free if column not in declared])
    others = [column for column in free if text is None or column.name != text.name]
    if declared:
        label, label_reason, label_certain = min(declared, key=_label_order), "classes", len(declared) == 1
        roles = replace(roles, label_columns=[])
    elif roles.label_columns:
        label, label_reason, label_certain = None, "columns", True
    else:
        label, label_reason, label_certain = _guess_label(others)
    task, separator = "multilabel" if roles.label_columns else "auto", ""
    if label is not None:
        separator = label.separator
        labels = label_counts(cells_of(label.name), separator)
        task = "multilabel" if separator else "binary" if len(labels) == 2 else "multiclass"
    return Guess(
        text=text.name if text else None,
        label=label.name if label else None,
        task=task,
        separator=separator,
        certain=bool(text and (label or roles.label_columns) and text_certain and label_certain),
        reasons={"text": text_reason, "label": label_reason},
        roles=roles,
    )


def _guess_text(columns: list[ColumnProfile]) -> tuple[ColumnProfile | None, str, bool]:
    candidates = [c for c in columns if c.kind == "text"]
    candidates = candidates or [c for c in columns if c.kind == "label" and _label_rank(c.name) is None]
    if not candidates:
        return None, "none", False

    def likeness(column: ColumnProfile) -> float:
        named = column.name.strip().lower() in TEXT_NAMES
        return column.mean_length * (3 if named else 1)

    ordered = sorted(candidates, key=likeness, reverse=True)
    if len(ordered) == 1:
        return ordered[0], "only_text", True
    return ordered[0], "longest", likeness(ordered[0]) >= NEAR * likeness(ordered[1])


def _guess_label(columns: list[ColumnProfile]) -> tuple[ColumnProfile | None, str, bool]:
    candidates = [c for c in columns if c.kind == "label"]
    named = [c for c in candidates if _label_rank(c.name) is not None]
    if not candidates:
        # In a small table every cell of the label column may differ: then only its name tells.
        named = [c for c in columns if c.kind in ("text", "number", "id") and _label_rank(c.name) is not None]
        return (min(named, key=_label_order), "name", False) if named else (None, "none", False)
    if named:
        return min(named, key=_label_order), "name", len(named) == 1
    return min(candidates, key=_label_order), "few_values", len(candidates) == 1


def _label_rank(name: str) -> int | None:
    plain = name.strip().lower()
    return next((rank for rank, names in enumerate(LABEL_NAMES) if plain in names), None)


def _label_order(column: ColumnProfile) -> tuple[bool, int, int, str]:
    rank = _label_rank(column.name)
    return column.distinct < 2, len(LABEL_NAMES) if rank is None else rank, column.distinct, column.name
