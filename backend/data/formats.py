"""One file of any known format as a table of texts. Child process only.

Formats are found by name and by content: delimited text, lines with a label before the text, JSON, JSON Lines,
Parquet and workbooks. A new format is one more entry in ``READERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data import delimited
from backend.data.cells import ListSeparators, cell_text, without_lone_surrogates
from backend.data.encodings import BinaryContent, TextFacts, detect_text, read_block
from backend.data.prefixed import Prefixes, find_prefixes, read_prefixed
from backend.data.records import JsonLineRecords, JsonRecords, ParquetRecords, Record, survey
from backend.data.regular import RegularRows
from backend.data.sources import KNOWN_FORMATS, OLE_MARK, SUFFIXES, Source, suffix_of
from backend.data.spreadsheets import Sheet
from backend.errors import FormatUnknown, NotATable
from backend.specs import ReadingSpec

BATCH_ROWS = 8192
SURE_CONSISTENCY = 0.9
"""Where fewer rows than this have the same number of cells, labels before the texts are looked for too."""
BROKEN_ROWS_LISTED = 20
BROKEN_TEXT_SHOWN = 120

Batches = Iterator[pa.RecordBatch]


@dataclass
class ReadingFacts:
    """How the file was read. Counts in ``notes`` are complete once all batches were taken."""

    format: str
    compression: str = ""
    encoding: str = ""
    delimiter: str = ""
    has_header: bool = True
    sheet: str = ""
    sheets: list[str] = field(default_factory=list)
    """All sheets of a workbook; ``sheet`` is the one that was read."""
    given_split: str = ""
    """The column that says which part of the data a row belongs to, where files or folders said it."""
    list_separators: dict[str, str] = field(default_factory=dict)
    """For columns that held lists of values: what joins them in the table."""
    classes: list[str] = field(default_factory=list)
    """Columns that are declared to hold classes."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Findings about the file itself: ``{"code", "count", "facts"}``, some with ``examples`` and a ``severity``."""

    def note(
        self, code: str, count: int, *, severity: str = "", examples: list[dict[str, Any]] | None = None, **facts: Any
    ) -> None:
        """Add a finding, if it occurred at all."""
        if count:
            more = {"severity": severity, "examples": examples}
            self.notes.append({"code": code, "count": count, "facts": facts, **{k: v for k, v in more.items() if v}})


@dataclass
class Reading:
    """An opened table: its columns, its rows in batches of texts, and how far into the file they are."""

    columns: list[str]
    batches: Batches
    facts: ReadingFacts
    position: Callable[[], float]
    """The share of the file read so far, 0 to 1."""
    separators: ListSeparators | None = None
    """What joins lists, where the format has lists; known once all pieces of a table are opened."""


def schema_of(columns: list[str]) -> pa.Schema:
    """The schema of every table here: text columns."""
    return pa.schema([(column, pa.string()) for column in columns])


def text_batches(columns: list[str], rows: Iterator[list[str]] | Iterator[list[str | None]]) -> Batches:
    """Rows of cells as batches; empty cells become null."""
    schema = schema_of(columns)
    while block := list(islice(rows, BATCH_ROWS)):
        arrays = [pa.array([cell or None for cell in cells], pa.string()) for cells in zip(*block, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def open_source(source: Source, asked: ReadingSpec) -> Reading:
    """Open one file; ``asked`` overrides what is found of itself. Raises what `backend.data.reading.open_files` does
    for one."""
    with source.reading_errors():
        reading = READERS[_format_of(source)](source, asked)
    reading.facts.compression = source.compression
    reading.columns = list(reading.columns)
    reading.batches = _guarded(source, reading.batches)
    return reading


def _guarded(source: Source, batches: Batches) -> Batches:
    with source.reading_errors():
        yield from batches


def _format_of(source: Source) -> str:
    if source.head.startswith(b"PAR1"):
        return "parquet"
    named = SUFFIXES.get(suffix_of(source.inner_name))
    if named == "parquet":
        raise NotATable(file=source.name, detail="damaged")
    if named == "sheet" or source.head.startswith(OLE_MARK) or source.is_workbook:
        return "sheet"
    start = source.head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if named == "json" and start == b"{" and _first_line_is_object(source):
        return "jsonl"
    if named is None and start in (b"[", b"{"):
        return "json" if start == b"[" else "jsonl"
    return named or "unnamed"


def _first_line_is_object(source: Source) -> bool:
    """Whether a ``.json`` file is JSON Lines: its first line is a whole object and another one follows."""
    with source.open() as stream:
        lines = [line for line in read_block(stream, 1 << 20).splitlines() if line.strip()]
    return len(lines) > 1 and lines[0].rstrip().endswith(b"}") and lines[1].lstrip().startswith(b"{")


def _text_of(source: Source, asked: ReadingSpec) -> TextFacts:
    try:
        return detect_text(source.open, asked.encoding)
    except BinaryContent as error:
        if _format_of(source) == "unnamed":
            raise FormatUnknown(file=source.name, known=KNOWN_FORMATS) from error
        raise NotATable(file=source.name, detail="binary") from error


def _read_delimited(source: Source, asked: ReadingSpec) -> Reading:
    text = _text_of(source, asked)
    try:
        dialect = delimited.sniff(source.open, text, source.name, asked.delimiter, asked.header)
    except NotATable:
        if prefixes := find_prefixes(source.open, text):
            return _read_prefixed(source, text, prefixes)
        raise
    if dialect.consistency < SURE_CONSISTENCY and not asked.delimiter and (named := find_prefixes(source.open, text)):
        return _read_prefixed(source, text, named)
    facts = ReadingFacts("csv", encoding=text.encoding, delimiter=dialect.delimiter, has_header=dialect.has_header)
    columns = delimited.header_of(source.open, text, dialect)

    def batches() -> Batches:
        fast = RegularRows(source.open, text, dialect, delimited.first_row(source.open, text, dialect))
        yield from fast.batches(schema_of(columns))
        irregular = delimited.Irregularities()
        if not fast.whole:
            rows = delimited.read_rows(source.open, text, dialect, irregular, source.name)
            rows = islice(rows, fast.rows, None)
            first = next(rows, None)
            if first is None and not fast.rows:
                raise NotATable(file=source.name, detail="no_rows")
            yield from text_batches(columns, chain([first] if first else [], rows))
        facts.note("rows_filled_up", irregular.short)
        facts.note("rows_left_out", irregular.long, lines=irregular.long_lines)
        facts.note("no_header", int(not dialect.has_header), columns=columns)

    return Reading(columns, _watched(batches(), text, facts), facts, source.position)


def _read_prefixed(source: Source, text: TextFacts, prefixes: Prefixes) -> Reading:
    facts = ReadingFacts("lines", encoding=text.encoding, has_header=False)
    facts.list_separators = {"label": prefixes.separator} if prefixes.separator else {}
    rows = read_prefixed(source.open, text, prefixes)
    batches = text_batches(prefixes.columns, rows)
    return Reading(prefixes.columns, _watched(batches, text, facts), facts, source.position)


def _watched(batches: Batches, text: TextFacts, facts: ReadingFacts) -> Batches:
    """The same batches; where bytes could not be decoded, the rows that hold them are told at the end."""
    if not text.undecodable:
        yield from batches
        return
    done, rows, numbers = 0, 0, list[int]()
    examples: list[dict[str, Any]] = []
    for batch in batches:
        broken = reduce(pc.or_, [pc.fill_null(pc.match_substring(c, "\ufffd"), False) for c in batch.columns])
        places = np.flatnonzero(broken.to_numpy(zero_copy_only=False))
        rows += len(places)
        for place in map(int, places[: BROKEN_ROWS_LISTED - len(numbers)]):
            numbers.append(done + place + 1)
            cells = [cell for cell in (column[place].as_py() for column in batch.columns) if cell and "\ufffd" in cell]
            examples.append({"row": done + place + 1, "text": _around(cells[0])})
        done += batch.num_rows
        yield batch
    facts.note("undecodable", text.undecodable, encoding=text.encoding, rows=rows, numbers=numbers, examples=examples)


def _around(cell: str) -> str:
    """The part of a cell around its first broken character."""
    start = max(0, cell.index("\ufffd") - BROKEN_TEXT_SHOWN // 2)
    cut = cell[start : start + BROKEN_TEXT_SHOWN]
    return ("…" if start else "") + cut + ("…" if start + BROKEN_TEXT_SHOWN < len(cell) else "")


def _read_sheet(source: Source, asked: ReadingSpec) -> Reading:
    sheet = Sheet(source, asked.sheet, asked.header)
    facts = ReadingFacts("sheet", has_header=sheet.has_header, sheet=sheet.sheet, sheets=sheet.sheets)

    def batches() -> Batches:
        with sheet:
            rows = sheet.rows()
            first = next(rows, None)
            if first is None:
                raise NotATable(file=source.name, detail="no_rows")
            yield from text_batches(sheet.columns, chain([first], rows))
        facts.note("rows_above_header", sheet.rows_above, severity="note")
        facts.note("no_header", int(not sheet.has_header), columns=sheet.columns)

    if len(sheet.columns) < 2:
        sheet.close()
        raise NotATable(file=source.name, detail="one_column")
    return Reading(sheet.columns, batches(), facts, lambda: min(1.0, sheet.read / sheet.total))


def _read_json(source: Source, asked: ReadingSpec) -> Reading:
    text = _text_of(source, asked)
    return _read_records(source, text, JsonRecords(source.open, text, source.name), "json")


def _read_json_lines(source: Source, asked: ReadingSpec) -> Reading:
    text = _text_of(source, asked)
    return _read_records(source, text, JsonLineRecords(source.open, text, source.name), "jsonl")


def _read_records(source: Source, text: TextFacts, records: JsonRecords | JsonLineRecords, kind: str) -> Reading:
    names, separators, count = survey(records)
    if not count or not names:
        raise NotATable(file=source.name, detail="no_rows")
    if len(names) < 2:
        raise NotATable(file=source.name, detail="one_column")
    columns = delimited.unique_names(names)
    facts = ReadingFacts(kind, encoding=text.encoding)
    found = separators.found()
    facts.list_separators = {c: found[name] for c, name in zip(columns, names, strict=True) if name in found}

    def batches() -> Batches:
        rows = iter(records)
        while block := list(islice(rows, BATCH_ROWS)):
            cells = [[cell_text(row.get(name), separators.of(name)) for row in block] for name in names]
            arrays = [pa.array(without_lone_surrogates(texts), pa.string()) for texts in cells]
            yield pa.record_batch(arrays, schema=schema_of(columns))

    return Reading(columns, _watched(batches(), text, facts), facts, source.position, separators)


def _read_parquet(source: Source, _asked: ReadingSpec) -> Reading:
    parquet = ParquetRecords(source.open, source.name)
    if not parquet.rows:
        raise NotATable(file=source.name, detail="no_rows")
    if len(parquet.columns) < 2:
        raise NotATable(file=source.name, detail="one_column")
    columns = delimited.unique_names(parquet.columns)
    facts = ReadingFacts("parquet")
    rows: Iterable[Record] = []
    if parquet.list_columns:  # only they need to be looked through first
        rows = (row for batch in parquet.batches(parquet.list_columns) for row in batch.to_pylist())
    _names, separators, _count = survey(rows)
    facts.list_separators = separators.found()

    def batches() -> Batches:
        decoded = 0
        for batch in parquet.batches():
            try:
                arrays = [
                    _text_array(column, separators.of(name))
                    for column, name in zip(batch.columns, parquet.columns, strict=True)
                ]
            except pa.ArrowInvalid as error:
                raise NotATable(file=source.name, detail="damaged") from error
            decoded += sum(array.nbytes for array in arrays)
            source.refuse(decoded)
            yield pa.record_batch(arrays, schema=schema_of(columns))

    return Reading(columns, batches(), facts, source.position, separators)


def _text_array(column: pa.Array, separator: str) -> pa.Array:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column.validate(full=True)  # a file may claim any bytes to be text
        return pc.if_else(pc.equal(column, ""), None, column).cast(pa.string())
    texts = [cell_text(value, separator) for value in column.to_pylist()]
    return pa.array(without_lone_surrogates(texts), pa.string())


READERS: dict[str, Callable[[Source, ReadingSpec], Reading]] = {
    "sheet": _read_sheet,
    "csv": _read_delimited,
    "unnamed": _read_delimited,
    "json": _read_json,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
}
