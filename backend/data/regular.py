"""The regular rows at the beginning of a delimited file, read by Arrow: many times as fast as row by row.

Arrow and Python's ``csv`` agree on every row that Arrow accepts (a test compares them on random texts). It stops at
the first row with another number of cells; from there `backend.data.delimited` reads on, which knows what to do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from backend.data.delimited import Dialect, Row
from backend.data.encodings import Opener, TextFacts

BLOCK_BYTES = 8 << 20


class RegularRows:
    """Batches of text columns; ``whole`` tells, after the last one, whether they were all there is."""

    def __init__(
        self, open_bytes: Opener, text: TextFacts, dialect: Dialect, first: Row, block_bytes: int = BLOCK_BYTES
    ) -> None:
        self._open_bytes, self._text, self._dialect, self._first = open_bytes, text, dialect, first
        self._block_bytes = block_bytes
        self.rows = 0
        self.whole = False

    @property
    def is_possible(self) -> bool:
        """Whether Arrow can read this file at all: valid UTF-8 without NUL characters."""
        plain = self._text.encoding in ("utf-8", "utf-8-sig", "ascii") and not self._text.undecodable
        return plain and not self._text.has_nul and self._dialect.delimiter.isascii()

    def batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """The rows with these columns; blank rows and repeated headers are passed over."""
        if not self.is_possible:
            return
        names = [str(number) for number in range(self._dialect.width)]
        last = ""
        with self._open_bytes() as stream:
            try:
                with pa.csv.open_csv(
                    stream,
                    read_options=pa.csv.ReadOptions(column_names=names, block_size=self._block_bytes),
                    parse_options=pa.csv.ParseOptions(
                        delimiter=self._dialect.delimiter,
                        quote_char=False if self._dialect.quoting == csv.QUOTE_NONE else '"',
                        newlines_in_values=self._dialect.quoting != csv.QUOTE_NONE,
                    ),
                    convert_options=pa.csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        null_values=[""],
                        strings_can_be_null=True,
                    ),
                ) as reader:
                    for batch in reader:
                        kept = self._kept(batch)
                        self.rows += len(kept)
                        last = batch.columns[-1][-1].as_py() or "" if len(batch) else last
                        if len(kept):
                            yield pa.record_batch([self._cleaned(column) for column in kept.columns], schema=schema)
            except pa.ArrowInvalid:  # a row with another number of cells, or an open quotation mark
                return
        # A last cell with line breaks may be all that follows a quotation mark that never closes.
        self.whole = self.rows > 0 and not set("\r\n") & set(last)

    def _kept(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        blank = reduce(pc.and_, [column.is_null() for column in batch.columns])
        dropped = [blank] if pc.any(blank).as_py() else []
        if self._dialect.has_header:
            repeated = reduce(
                pc.and_,
                [pc.equal(pc.fill_null(c, ""), name) for c, name in zip(batch.columns, self._first, strict=True)],
            )
            dropped += [repeated] if pc.any(repeated).as_py() else []
        return batch.filter(pc.invert(reduce(pc.or_, dropped))) if dropped else batch

    def _cleaned(self, column: pa.Array) -> pa.Array:
        if not self._text.has_return:
            return column
        return pc.replace_substring(pc.replace_substring(column, "\r\n", "\n"), "\r", "\n")
