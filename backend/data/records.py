"""JSON arrays, JSON Lines and Parquet: files whose rows are records with named values. Child process only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from backend.data.cells import ListSeparators
from backend.data.encodings import Opener, TextFacts
from backend.errors import NotATable

Record = dict[str, Any]
BATCH_ROWS = 8192
BATCH_BYTES = 32 << 20
SAMPLE_ROWS = 16


class Number(str):
    """A JSON number as it is written, so that 0.10 and 12345678901234567890 keep their digits."""

    __slots__ = ()


def _number(text: str) -> Number:
    whole, point, decimals = text.partition(".")
    return Number(whole if point and decimals.strip("0") == "" else text)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=Number, parse_constant=lambda _name: None)


class JsonRecords:
    """The records of a JSON array of objects; also of an object that holds one, or that holds columns."""

    def __init__(self, open_bytes: Opener, text: TextFacts, file: str) -> None:
        with io.TextIOWrapper(open_bytes(), encoding=text.encoding, errors="replace") as stream:
            content = stream.read()
        try:
            document = _DECODER.decode(content.lstrip("\ufeff"))
        except (json.JSONDecodeError, RecursionError) as error:
            raise NotATable(file=file, detail="json_syntax") from error
        self._records = _records_of(document, file)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)


def _records_of(document: Any, file: str) -> list[Record]:
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        holders = [value for value in lists if value and all(isinstance(item, dict) for item in value)]
        if len(holders) == 1:
            document = holders[0]
        elif lists and len(lists) == len(document) and len({len(value) for value in lists}) == 1:
            document = [dict(zip(document, row, strict=True)) for row in zip(*document.values(), strict=True)]
        else:
            document = [document]
    if not isinstance(document, list) or not all(isinstance(item, dict) for item in document):
        raise NotATable(file=file, detail="json_shape")
    return document


class JsonLineRecords:
    """The records of a file with one JSON object a line, read anew each time it is iterated."""

    def __init__(self, open_bytes: Opener, text: TextFacts, file: str) -> None:
        self._open_bytes, self._text, self._file = open_bytes, text, file

    def __iter__(self) -> Iterator[Record]:
        with io.TextIOWrapper(self._open_bytes(), encoding=self._text.encoding, errors="replace") as stream:
            for line in stream:
                line = line.strip("\ufeff \t\r\n\0")
                if line:
                    yield self._record(line)

    def _record(self, line: str) -> Record:
        try:
            record = _DECODER.decode(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise NotATable(file=self._file, detail="json_syntax") from error
        if not isinstance(record, dict):
            raise NotATable(file=self._file, detail="json_shape")
        return record


class ParquetRecords:
    """A Parquet file's rows by column, as many at a time as fit a batch: its footer does not tell their size."""

    def __init__(self, open_bytes: Opener, file: str) -> None:
        self._file = file
        try:
            self._parquet = pq.ParquetFile(open_bytes())
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            self._fail(error)
        self.columns: list[str] = list(self._parquet.schema_arrow.names)
        self.rows: int = self._parquet.metadata.num_rows
        self.list_columns = [f.name for f in self._parquet.schema_arrow if pa.types.is_nested(f.type)]

    def batches(self, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of some columns, or of all."""
        try:
            first = next(self._parquet.iter_batches(batch_size=SAMPLE_ROWS, columns=columns), None)
            row_bytes = first.nbytes // max(1, len(first)) if first is not None else 0
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, row_bytes)))
            yield from self._parquet.iter_batches(batch_size=rows, columns=columns)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            self._fail(error)

    def _fail(self, error: Exception) -> NoReturn:
        raise NotATable(file=self._file, detail="damaged") from error


def survey(records: Iterable[Record]) -> tuple[list[str], ListSeparators, int]:
    """All the names that occur, in order of first appearance, how lists are joined, and the number of records."""
    names: dict[str, None] = {}
    separators = ListSeparators()
    count = 0
    for record in records:
        count += 1
        for name, value in record.items():
            names.setdefault(name)
            separators.see(name, value)
    return list(names), separators, count
