"""Labels that stand in columns of their own, one a label, as 0 and 1: made into cells that hold lists of labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.errors import ColumnMissing, LabelColumnNotBinary

YES = ("1", "1.0", "true", "yes", "y", "t", "x", "是")
NO = ("0", "0.0", "false", "no", "n", "f", "-", "否", "")
SHOWN = 10


def holds_yes_and_no(cells: Iterable[str]) -> bool:
    """Whether a column's cells say yes or no, in numbers or truth values, and both of them."""
    found = {cell.strip().casefold() for cell in cells}
    return bool(found & {"1", "1.0", "true"}) and bool(found & {"0", "0.0", "false"}) and found <= {*YES[:3], *NO[:3]}


def label_cells(table: pa.Table, label: str, label_columns: Sequence[str] = ()) -> pa.ChunkedArray:
    """The cells that hold the labels: those of the column ``label``; or, of columns of 0 and 1, JSON lists of names.

    A row of zeros has the empty list: it says that no label applies. A row whose columns are all blank is null.
    Where columns are named, ``label`` has no say, and the separator is `backend.data.labels.LIST_SEPARATOR`.

    Raises:
        ColumnMissing: a column is not in the table.
        LabelColumnNotBinary: a column holds anything but 0 and 1.
    """
    for column in label_columns or (label,):
        if column not in table.column_names:
            raise ColumnMissing(column=column, available=table.column_names)
    if not label_columns:
        return table[label]
    # Rows of the same labels share a number, so that millions of rows need no lists of their own.
    codes = np.zeros(table.num_rows, dtype=np.int64)
    lists: list[list[str]] = [[]]
    blank = np.ones(table.num_rows, dtype=bool)
    for column in label_columns:
        holds, empty = _read(table[column], column)
        blank &= empty
        used, codes = np.unique(codes * 2 + holds, return_inverse=True)
        lists = [[*lists[code // 2], column] if code % 2 else lists[code // 2] for code in used.tolist()]
    cells = pa.array([json.dumps(labels, ensure_ascii=False) for labels in lists], pa.string())
    return pa.chunked_array([cells.take(pa.array(codes, mask=blank))])


def _read(cells: pa.ChunkedArray, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    plain = pc.utf8_lower(pc.fill_null(pc.utf8_trim_whitespace(cells), ""))
    yes = pc.is_in(plain, value_set=pa.array(YES, pa.string()))
    known = pc.or_(yes, pc.is_in(plain, value_set=pa.array(NO, pa.string())))
    if not pc.all(known).as_py():
        others = pc.unique(cells.filter(pc.invert(known))).slice(0, SHOWN).to_pylist()
        raise LabelColumnNotBinary(column=column, values=[value[:80] for value in others])
    return yes.to_numpy().astype(np.int64), pc.equal(plain, "").to_numpy()
