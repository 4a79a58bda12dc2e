"""Tables written row by row as CSV, Parquet or JSON Lines, whole or not at all. Knows nothing of models."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from backend.jobs.files import place

Write = Callable[[pa.Table], None]


@contextmanager
def written_table(path: Path, kind: str, schema: pa.Schema) -> Iterator[Write]:
    """Write the tables given to what is yielded; the file is at ``path`` when the block ends well, else there is none.

    CSV is UTF-8 with a byte-order mark, without which Excel reads Chinese as something else.
    """
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with ExitStack() as held:
            yield _opened(unfinished, kind, schema, held)
        place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _opened(path: Path, kind: str, schema: pa.Schema, held: ExitStack) -> Write:
    if kind == "parquet":
        writer: Write = held.enter_context(pq.ParquetWriter(path, schema, compression="zstd")).write_table
        return writer
    stream = held.enter_context(path.open("wb"))
    if kind == "csv":
        stream.write(codecs.BOM_UTF8)
        write_csv: Write = held.enter_context(pc.CSVWriter(stream, schema)).write_table
        return write_csv

    def write_lines(table: pa.Table) -> None:
        for row in table.to_pylist():
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    return write_lines
