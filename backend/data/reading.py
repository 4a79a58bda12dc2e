"""A user's file as a table of texts. Parses what others made, so it runs in a child process with limits only.

Formats are found by name and by content: delimited text, JSON, JSON Lines, Parquet, each also compressed by gzip,
and a zip archive that holds exactly one of them. A new format is one more entry in ``READERS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from backend.data import delimited
from backend.data.cells import cell_text, without_lone_surrogates
from backend.data.encodings import BinaryContent, TextFacts, detect_text, read_block
from backend.data.records import JsonLineRecords, JsonRecords, ParquetRecords, Record, survey
from backend.data.sources import DECODED_BYTES_LIMIT, KNOWN_FORMATS, SUFFIXES, Source, suffix_of
from backend.errors import FileMissing, FormatUnknown, NotATable

BATCH_ROWS = 8192


@dataclass
class ReadingFacts:
    """How the file was read. Counts in ``notes`` are complete once all batches were taken."""

    format: str
    compression: str = ""
    encoding: str = ""
    delimiter: str = ""
    has_header: bool = True
    list_separators: dict[str, str] = field(default_factory=dict)
    """For columns that held lists of values: what joins them in the table."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Findings about the file itself: ``{"code", "count", "facts"}``."""

    def note(self, code: str, count: int, **facts: Any) -> None:
        """Add a finding, if it occurred at all."""
        if count:
            self.notes.append({"code": code, "count": count, "facts": facts})


@dataclass
class Reading:
    """An opened table: its columns, its rows in batches of texts, and how far into the file they are."""

    columns: list[str]
    batches: Iterator[pa.RecordBatch]
    facts: ReadingFacts
    position: Callable[[], float]
    """The share of the file read so far, 0 to 1."""


def open_table(path: Path, name: str = "", limit_bytes: int = DECODED_BYTES_LIMIT) -> Reading:
    """Open the file at ``path``, which the user knows as ``name``.

    Raises:
        FileMissing, FileEmpty, FormatUnknown, NotATable, QuoteNeverClosed: it holds no table that can be read.
        TooLarge: it unpacks to more than ``limit_bytes``.
    """
    name = name or path.name
    if not path.is_file():
        raise FileMissing(path=str(path))
    source = Source(path, name, limit_bytes)
    with source.reading_errors():
        reading = READERS[_format_of(source)](source)
    reading.facts.compression = source.compression
    reading.columns = list(reading.columns)
    reading.batches = _guarded(source, reading.batches)
    return reading


def read_table(path: Path, name: str = "", limit_bytes: int = DECODED_BYTES_LIMIT) -> tuple[pa.Table, ReadingFacts]:
    """The whole file as a table in memory: every column text, missing cells null. Raises what `open_table` does."""
    reading = open_table(path, name, limit_bytes)
    schema = schema_of(reading.columns)
    return pa.Table.from_batches(reading.batches, schema=schema), reading.facts


def schema_of(columns: list[str]) -> pa.Schema:
    """The schema of every table here: text columns."""
    return pa.schema([(column, pa.string()) for column in columns])


def _guarded(source: Source, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    with source.reading_errors():
        yield from batches


def _format_of(source: Source) -> str:
    if source.head.startswith(b"PAR1"):
        return "parquet"
    named = SUFFIXES.get(suffix_of(source.inner_name))
    if named == "parquet":
        raise NotATable(file=source.name, detail="damaged")
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


def _text_of(source: Source) -> TextFacts:
    try:
        return detect_text(source.open)
    except BinaryContent as error:
        if _format_of(source) == "unnamed":
            raise FormatUnknown(file=source.name, known=KNOWN_FORMATS) from error
        raise NotATable(file=source.name, detail="binary") from error


def _read_delimited(source: Source) -> Reading:
    text = _text_of(source)
    dialect = delimited.sniff(source.open, text, source.name)
    facts = ReadingFacts("csv", encoding=text.encoding, delimiter=dialect.delimiter, has_header=dialect.has_header)
    columns = delimited.header_of(source.open, text, dialect)
    schema = schema_of(columns)

    def batches() -> Iterator[pa.RecordBatch]:
        irregular = delimited.Irregularities()
        rows = delimited.read_rows(source.open, text, dialect, irregular, source.name)
        first = next(rows, None)
        if first is None:
            raise NotATable(file=source.name, detail="no_rows")
        rows = chain([first], rows)
        while block := list(islice(rows, BATCH_ROWS)):
            arrays = [pa.array([cell or None for cell in cells], pa.string()) for cells in zip(*block, strict=True)]
            yield pa.record_batch(arrays, schema=schema)
        facts.note("undecodable", text.undecodable, encoding=text.encoding)
        facts.note("rows_filled_up", irregular.short)
        facts.note("rows_left_out", irregular.long, lines=irregular.long_lines)
        facts.note("no_header", int(not dialect.has_header), columns=columns)

    return Reading(columns, batches(), facts, source.position)


def _read_json(source: Source) -> Reading:
    text = _text_of(source)
    return _read_records(source, text, JsonRecords(source.open, text, source.name), "json")


def _read_json_lines(source: Source) -> Reading:
    text = _text_of(source)
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

    def batches() -> Iterator[pa.RecordBatch]:
        rows = iter(records)
        while block := list(islice(rows, BATCH_ROWS)):
            cells = [[cell_text(row.get(name), separators.of(name)) for row in block] for name in names]
            arrays = [pa.array(without_lone_surrogates(texts), pa.string()) for texts in cells]
            yield pa.record_batch(arrays, schema=schema_of(columns))
        facts.note("undecodable", text.undecodable, encoding=text.encoding)

    return Reading(columns, batches(), facts, source.position)


def _read_parquet(source: Source) -> Reading:
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

    def batches() -> Iterator[pa.RecordBatch]:
        decoded = 0
        for batch in parquet.batches():
            arrays = [
                _text_array(column, separators.of(name))
                for column, name in zip(batch.columns, parquet.columns, strict=True)
            ]
            decoded += sum(array.nbytes for array in arrays)
            source.refuse(decoded)
            yield pa.record_batch(arrays, schema=schema_of(columns))

    return Reading(columns, batches(), facts, source.position)


def _text_array(column: pa.Array, separator: str) -> pa.Array:
    texts = [cell_text(value, separator) for value in column.to_pylist()]
    return pa.array(without_lone_surrogates(texts), pa.string())


READERS: dict[str, Callable[[Source], Reading]] = {
    "csv": _read_delimited,
    "unnamed": _read_delimited,
    "json": _read_json,
    "jsonl": _read_json_lines,
    "parquet": _read_parquet,
}
