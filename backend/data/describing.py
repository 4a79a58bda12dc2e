"""The report on a text column and a label column: counts, lengths, languages, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.columns import trimmed
from backend.data.label_columns import label_cells
from backend.data.labels import LIST_SEPARATOR, label_counts, label_order, resolve_task
from backend.data.profiling import count_cells
from backend.data.report.blanks import on_blanks, on_file
from backend.data.report.contents import on_contents, on_leaks
from backend.data.report.divisions import on_given_parts, on_groups
from backend.data.report.label_findings import on_labels
from backend.data.report.languages import on_languages
from backend.data.report.lengths import by_label, lengths_of, on_lengths, summary_of
from backend.data.report.pairs import cooccurrence
from backend.data.report.repeats import on_repeats
from backend.data.report.rows import Finding, Indices, ReportRows, Tell, finding, untold
from backend.errors import ColumnMissing, SameColumn


@dataclass(frozen=True)
class ReportOptions:
    """What else is known of the table. Columns that are named must stand in it; empty: there is none."""

    label_columns: tuple[str, ...] = ()
    """Columns of 0 and 1, one a label, instead of the label column."""
    part_column: str = ""
    """Says which part a row belongs to, where the run will use these parts."""
    group_column: str = ""
    """Rows of one value belong together, and the run does not yet keep them so."""
    row_numbers: Indices | None = None
    """(rows,) each row's number in the imported table, from 1; None: they are the table's own."""
    tell: Tell = untold
    """Called after each thing that was looked for."""


PLAIN = ReportOptions()


def describe(
    table: pa.Table,
    text: str,
    label: str,
    task: str,
    separator: str,
    notes: list[dict[str, Any]] | None = None,
    options: ReportOptions = PLAIN,
) -> dict[str, Any]:
    """The report (``docs/architecture.md``) on these columns of a table of texts; ``notes`` are on its file.

    What would take too long for millions of rows is looked for in a sample, and its finding says so.

    Raises:
        ColumnMissing, SameColumn, LabelColumnNotBinary: they are not columns that hold texts and labels.
    """
    if text not in table.column_names:
        raise ColumnMissing(column=text, available=table.column_names)
    if text in (options.label_columns or (label,)):
        raise SameColumn(column=text)
    if options.label_columns:
        task, separator = "multilabel", LIST_SEPARATOR
    texts = trimmed(table[text])
    cells = pc.fill_null(pc.utf8_trim_whitespace(label_cells(table, label, options.label_columns)), "")
    has_text, has_label = pc.not_equal(texts, "").to_numpy(), pc.not_equal(cells, "").to_numpy()
    usable = has_text & has_label
    numbers = np.arange(1, len(texts) + 1) if options.row_numbers is None else options.row_numbers
    rows, cell_counts = _usable_rows(texts, cells, numbers, usable, task, separator)
    lengths = lengths_of(rows)
    language, mixed = on_languages(rows)
    looks: tuple[Callable[[], list[Finding]], ...] = (
        lambda: on_file(notes or []),
        lambda: on_blanks(texts, cells, numbers, has_text, has_label),
        lambda: on_labels(rows),
        lambda: on_repeats(rows),
        lambda: _on_other_columns(table, rows, usable, options),
        lambda: on_leaks(rows),
        lambda: on_contents(rows),
        lambda: mixed,
        lambda: on_lengths(rows, lengths, language),
    )
    findings: list[Finding] = []
    for number, look in enumerate(looks, 1):
        options.tell(number - 1, len(looks))
        findings += look()
    options.tell(len(looks), len(looks))
    if not any(found["severity"] in ("error", "warning") for found in findings):
        findings.insert(0, finding("no_problems", "ok", len(rows)))
    report = {
        "text": text,
        "label": label,
        "label_columns": list(options.label_columns),
        "task": rows.task,
        "separator": rows.separator,
        "rows": table.num_rows,
        "usable_rows": len(rows),
        "labels": [{"value": value, "count": rows.counts[value]} for value in label_order(rows.counts)],
        "lengths": summary_of(lengths) | {"by_label": by_label(rows, lengths)},
        "language": language,
        "findings": findings,
    }
    several = rows.task == "multilabel" and len(rows.counts) > 1
    return report | ({"pairs": cooccurrence(cell_counts, rows.separator)} if several else {})


def _usable_rows(
    texts: pa.ChunkedArray, cells: pa.ChunkedArray, numbers: Indices, usable: Any, task: str, separator: str
) -> tuple[ReportRows, dict[str, int]]:
    # A filter copies; in a large table without gaps that would be a gigabyte for nothing.
    if not usable.all():
        mask = pa.array(usable)
        texts, cells, numbers = texts.filter(mask), cells.filter(mask), numbers[usable]
    counts_of_cells = count_cells(cells)
    found_task, separator = resolve_task(counts_of_cells, task, separator)
    counts = label_counts(counts_of_cells, separator)
    return ReportRows(texts, cells, numbers, found_task, separator, counts), counts_of_cells


def _on_other_columns(table: pa.Table, rows: ReportRows, usable: Any, options: ReportOptions) -> list[Finding]:
    found: list[Finding] = []
    for column, look in ((options.part_column, on_given_parts), (options.group_column, on_groups)):
        if column:
            if column not in table.column_names:
                raise ColumnMissing(column=column, available=table.column_names)
            found += look(rows, column, table[column].filter(pa.array(usable)))
    return found
