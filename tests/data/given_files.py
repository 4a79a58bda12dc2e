"""Files as somebody drops them, and the table that is read from them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from backend.data.files import SourceFile, with_parts
from backend.data.formats import ReadingFacts
from backend.data.reading import open_files, whole


def as_rows(table: pa.Table) -> list[list[str]]:
    return [table.column_names, *([cell or "" for cell in row.values()] for row in table.to_pylist())]


def packed(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def several(folder: Path, files: Mapping[str, str | bytes]) -> list[SourceFile]:
    given = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given.append(SourceFile(path, name))
    return given


def joined(folder: Path, files: Mapping[str, str | bytes]) -> tuple[pa.Table, ReadingFacts]:
    return whole(open_files(with_parts(several(folder, files))))
