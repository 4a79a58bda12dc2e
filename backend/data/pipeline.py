"""From an imported table and its choices to rows, labels and parts: one way for reports, runs and exports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from backend.data.choices import split_column
from backend.data.columns import taken, trimmed
from backend.data.composing import check_columns, compose_rows
from backend.data.datasets import report_key
from backend.data.describing import ReportOptions, describe
from backend.data.labelling import LabelledTexts, label_rows
from backend.data.preparing import Surroundings, apply_steps
from backend.data.report.divisions import on_division
from backend.data.report.rows import untold
from backend.data.rows import TextRows
from backend.data.sampling import sampled
from backend.data.splitting import PARTS, Division, divide
from backend.data.template import label_columns, text_columns
from backend.errors import StudioError
from backend.jobs.files import write_json
from backend.specs import Choices, Task

Profile = Mapping[str, Any]


@dataclass(frozen=True)
class PreparedRows:
    """The rows after the steps, and the column that the split goes by."""

    rows: TextRows
    task: Task
    """``auto`` where it was left open and the form of the cells does not tell it."""
    steps: list[dict[str, Any]]
    """What each step did, as `backend.data.preparing.apply_steps` tells it."""
    split_cells: pa.ChunkedArray | None
    """Of the whole imported table."""
    imported_rows: int


def needed_columns(choices: Choices, profile: Profile, *others: str) -> list[str]:
    """The columns that the choices are about, each once; ``others`` are added.

    Raises:
        ColumnMissing, SameColumn, SplitColumnMissing, TemplateUnreadable, TemplateUsesLabel: they will not do.
    """
    check_columns(choices.data, [column["name"] for column in profile["columns"]])
    named = [*text_columns(choices.data), *label_columns(choices.data), split_column(choices, profile), *others]
    return [column for column in dict.fromkeys(named) if column]


def read_table(folder: Path, columns: list[str], *, trim: str = "") -> pa.Table:
    """Columns of the imported table in a dataset's folder, one of them trimmed on the way if it is named.

    Piece by piece: read at one time, a long table takes half as much memory again while its pages are unpacked.
    """
    pieces = []
    with pq.ParquetFile(folder / "table.parquet") as file:
        for number in range(file.num_row_groups):
            piece = file.read_row_group(number, columns=columns)
            if trim:
                piece = piece.set_column(piece.column_names.index(trim), trim, trimmed(piece[trim]))
            pieces.append(piece)
            pa.default_memory_pool().release_unused()
        return pa.concat_tables(pieces) if pieces else file.read(columns=columns)


def prepare_rows(
    table: pa.Table, profile: Profile, choices: Choices, around: Surroundings | None = None
) -> PreparedRows:
    """The rows of the table after the chosen steps. Raises as `needed_columns` does.

    A caller who keeps no table of its own has its texts once: they are let go when a step has made others.
    """
    column, imported = split_column(choices, profile), table.num_rows
    split_cells = table[column] if column else None
    rows, task = compose_rows(table, choices.data)
    given = [rows]
    del table, rows  # or the texts as imported would stay in memory beside those that the steps make
    after, told = apply_steps(given.pop(), choices.prepare.steps, around)
    pa.default_memory_pool().release_unused()
    return PreparedRows(after, task, told, split_cells, imported)


def label_prepared(prepared: PreparedRows, choices: Choices, *, with_texts: bool = True) -> LabelledTexts:
    """The rows that are used, with their labels numbered. Raises as `backend.data.labelling.label_rows` does."""
    labelled = label_rows(prepared.rows, choices.data, prepared.task, with_texts=with_texts)
    return sampled(labelled, choices.sample, choices.split.seed)


def divide_prepared(labelled: LabelledTexts, prepared: PreparedRows, choices: Choices) -> Division:
    """The parts of the rows that are used. Raises as `backend.data.splitting.divide` does."""
    cells = None if prepared.split_cells is None else taken(prepared.split_cells, labelled.rows).to_pylist()
    return divide(labelled, choices.split, choices.sample, cells)


# ------------------------------------------------------------------------------------------------ the report


def make_report(folder: Path, profile: Profile, choices: Choices, around: Surroundings | None = None) -> dict[str, Any]:
    """The report on the rows as they will be learned from: `describe`, with what the steps did and the parts."""
    roles = profile["guess"].get("roles") or {}
    group = roles.get("group") or ""
    data, column = choices.data, split_column(choices, profile)
    # Steps tell what they change, white space too, so they need the texts as they stand.
    columns, as_it_stands = needed_columns(choices, profile), bool(choices.prepare.steps or data.template)
    prepared = prepare_rows(
        read_table(folder, columns, trim="" if as_it_stands else data.text_column),
        profile,
        choices,
        around,
    )
    rows, by_group = prepared.rows, choices.split.method == "group"
    options = ReportOptions(
        part_column="" if by_group or choices.split.method == "time" or choices.split.overlap == "drop" else column,
        group_column="" if by_group else group,
        row_numbers=rows.numbers + 1,
        tell=around.described if around else untold,
    )
    text, label = data.text_column or data.template, data.label_column or ", ".join(data.label_columns)
    whole = len(rows) == prepared.imported_rows
    others = read_table(folder, [name for name in dict.fromkeys((column, group)) if name])
    kept = {name: others[name] if whole else taken(others[name], rows.numbers) for name in others.column_names}
    described = pa.table({**kept, text: rows.texts, label: rows.cells})
    report = describe(described, text, label, prepared.task, rows.separator, list(profile["notes"]), options)
    report |= {"text": data.text_column, "label": data.label_column, "label_columns": list(data.label_columns)}
    report |= {"template": data.template, "imported_rows": prepared.imported_rows}
    del described, kept, others
    parts = _parts(prepared, choices)
    told = {found["code"] for found in report["findings"]}
    if "same_text_in_parts" not in told and (shared := on_division(parts)):
        report["findings"] = [*(found for found in report["findings"] if found["code"] != "no_problems"), *shared]
    return {**report, "steps": prepared.steps, "parts": parts}


def _parts(prepared: PreparedRows, choices: Choices) -> dict[str, Any]:
    unnamed = choices.replaced({"data.label_names": {}})
    try:
        labelled = label_prepared(prepared, unnamed, with_texts=False)
        division = divide_prepared(labelled, prepared, unnamed)
    except StudioError as error:
        return {"error": error.to_dict()}
    counted = {name: getattr(division.splits, name) for name in PARTS}
    parts = {name: {"rows": len(rows), "labels": labelled.counts(rows)} for name, rows in counted.items()}
    return {"method": division.method, "used_rows": len(labelled), "notes": division.notes, **parts}


def write_report(folder: Path, report: dict[str, Any], choices: Choices) -> None:
    """Keep the report under what was asked, and under what that turned out to mean."""
    separator = "" if choices.data.label_columns else report["separator"]
    meant = choices.replaced({"data.task": report["task"], "data.label_separator": separator})
    (folder / "reports").mkdir(exist_ok=True)
    for key in sorted({report_key(choices), report_key(meant)}):
        write_json(folder / "reports" / f"{key}.json", report)
