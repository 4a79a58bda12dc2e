"""From the columns of a table to texts with labels: one column, a template of several, or a column for each label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.label_columns import label_cells
from backend.data.labels import LIST_SEPARATOR, resolve_task
from backend.data.rows import TextRows
from backend.data.template import check_apart, check_template, label_columns, template_parts, text_columns
from backend.errors import ColumnMissing
from backend.specs import DataSpec, Task


def compose_rows(table: pa.Table, data: DataSpec) -> tuple[TextRows, Task]:
    """The rows of the chosen columns, and the task as far as the form of the cells tells it.

    A task other than multi-label stays as it was asked for, ``auto`` too: which labels there are is known when the
    steps are done.

    Raises:
        ColumnMissing, SameColumn: the columns are not there, or one is asked for as text and as label.
        TemplateUnreadable, TemplateUsesLabel: the template will not do.
    """
    check_columns(data, table.column_names)
    texts = composed_texts(table, data.template) if data.template else table[data.text_column]
    cells = label_cells(table, data.label_column, data.label_columns)
    rows = TextRows(texts, cells, np.arange(table.num_rows, dtype=np.int64))
    asked = ("multilabel", LIST_SEPARATOR) if data.label_columns else (data.task, data.label_separator)
    task, separator = resolve_task(rows.cell_counts, *asked)
    if task != "multilabel":
        return rows, data.task
    return replace(rows, separator=separator), "multilabel"


def check_columns(data: DataSpec, available: list[str]) -> None:
    """Whether texts and labels can be made of the columns. Raises as `compose_rows` does."""
    if data.template:
        check_template(data.template, data, available)
    for column in (*text_columns(data), *label_columns(data)):
        if column not in available:
            raise ColumnMissing(column=column, available=available)
    check_apart(data)


def composed_texts(table: pa.Table, template: str) -> pa.ChunkedArray:
    """The text of each row, as `backend.data.text_cleaning.render` makes that of one; the columns must be there."""
    parts = template_parts(template)
    chunks = []
    for batch in table.to_batches():
        said = None
        pieces: list[pa.Array | str] = []
        for plain, column in parts:
            pieces.append(plain)
            if column is not None:
                cells = pc.fill_null(batch.column(column), "")
                filled = pc.not_equal(pc.utf8_trim_whitespace(cells), "")
                said = filled if said is None else pc.or_(said, filled)
                pieces.append(cells)
        joined = pc.binary_join_element_wise(*pieces, "")
        chunks.append(pc.if_else(said, joined, pa.scalar("", joined.type)))
    return pa.chunked_array(chunks, pa.string() if not chunks else chunks[0].type)
