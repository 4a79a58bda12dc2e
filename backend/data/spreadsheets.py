"""Workbooks (XLSX, XLSB, XLS, ODS): which sheet, where its table begins, and the rows. Child process only.

The cells come from `backend.data.sheet_rows`, a process that ends with this one and has its limits on memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backend.data.delimited import has_header_row, unique_names
from backend.data.encodings import read_block
from backend.data.sources import OLE_MARK, Source
from backend.errors import FormatUnknown, NotATable, SheetMissing, TooLarge
from backend.specs import Header

UNPACKED_BYTES_LIMIT = 1 << 30
"""What the parts of a workbook may unpack to: more than the million rows that fit a sheet take."""
BOMB_RATIO = 200
BOMB_BYTES = 64 << 20
"""Sheets of real cells pack to a twentieth or so; what packs to less than 1/200 and is large is no table of texts."""
SAMPLE_ROWS = 2000
ENCRYPTED_MARK = "EncryptedPackage".encode("utf-16-le")
PROJECT = Path(__file__).resolve().parents[2]

Cells = list[str | None]


class Sheet:
    """One sheet of a workbook, opened: ``columns`` and then `rows`, once."""

    def __init__(self, source: Source, asked: str, header: Header) -> None:
        self._source, self._folder = source, tempfile.TemporaryDirectory(prefix="studio-sheet-")
        self.read = 0
        path = source.path if not source.compression else self._unpacked()
        _refuse_bomb(path, source)
        command = [sys.executable, "-m", "backend.data.sheet_rows", str(path.resolve()), asked]
        self._process = subprocess.Popen(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        try:
            first = self._line()
            if not first or "error" in first:
                self._refuse(first or {}, asked)
            self.sheets, self.sheet, self.total = first["sheets"], first["sheet"], max(1, first["rows"])
            self._rows = self._all_rows()
            self._begin(header)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the reading process."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        self._folder.cleanup()

    def rows(self) -> Iterator[Cells]:
        """The rows below the header, blank ones left out, each as wide as the columns."""
        header = self._header
        for row in chain(self._first, self._rows):
            cells = [row[place] if place < len(row) else None for place in self._places]
            if any(cell is not None and cell.strip() for cell in cells) and cells != header:
                yield [cell and cell.replace("\r\n", "\n").replace("\0", "") for cell in cells]

    def _begin(self, header: Header) -> None:
        """Find the table: below titles of one cell, in the columns that hold anything at all."""
        sample = list(islice(self._rows, SAMPLE_ROWS))
        widths = Counter(filled for row in sample if (filled := sum(cell is not None for cell in row)) > 1)
        if not widths:
            raise NotATable(file=self._source.name, detail="one_column" if any(map(any, sample)) else "no_rows")
        usual = max(widths, key=lambda width: (widths[width], width))
        start = next(n for n, row in enumerate(sample) if sum(cell is not None for cell in row) >= max(2, 0.5 * usual))
        self.rows_above = sum(any(row) for row in sample[:start])
        table = sample[start:]
        self._places = [n for n in range(max(map(len, table))) if any(len(row) > n and row[n] for row in table)]
        texts = [[(row[n] if n < len(row) else None) or "" for n in self._places] for row in table]
        self.has_header = has_header_row(texts) if header == "auto" else header == "yes"
        self.columns = unique_names(texts[0] if self.has_header else [""] * len(self._places))
        self._header = [cell or None for cell in texts[0]] if self.has_header else None
        self._first = table[1:] if self.has_header else table

    def _all_rows(self) -> Iterator[Cells]:
        while block := self._line():
            for row in block:
                self.read += 1
                yield row
        if self._process.wait():
            self._refuse({}, "")

    def _line(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def _refuse(self, said: dict[str, Any], asked: str) -> None:
        match said.get("error"):
            case "sheet" if asked:
                raise SheetMissing(sheet=asked, available=said["sheets"])
            case "sheet":
                raise NotATable(file=self._source.name, detail="no_rows")
            case "encrypted":
                raise NotATable(file=self._source.name, detail="encrypted")
            case "damaged":
                self._name_what_it_is()
                raise NotATable(file=self._source.name, detail="damaged")
        if said.get("error") == "size" or self._process.wait() < 0:  # it ended where memory did
            raise TooLarge(file=self._source.name, limit=f"{UNPACKED_BYTES_LIMIT / 1e9:.1f} GB")
        raise NotATable(file=self._source.name, detail="damaged")

    def _name_what_it_is(self) -> None:
        with self._source.open() as stream:
            head = read_block(stream, 1 << 20)
        if head.startswith(OLE_MARK):
            if ENCRYPTED_MARK in head:
                raise NotATable(file=self._source.name, detail="encrypted")
            if "WordDocument".encode("utf-16-le") in head:
                raise FormatUnknown(file=self._source.name, known=["XLS", "XLSX", "ODS"])

    def _unpacked(self) -> Path:
        path = Path(self._folder.name) / "workbook"
        with self._source.open() as stream, open(path, "wb") as file:
            shutil.copyfileobj(stream, file)
        return path


def _refuse_bomb(path: Path, source: Source) -> None:
    """Refuse a workbook whose parts would unpack to what no table of texts is."""
    if not zipfile.is_zipfile(path):
        return
    with source.reading_errors(), zipfile.ZipFile(path) as archive:
        declared = sum(member.file_size for member in archive.infolist())
        packed = max(1, path.stat().st_size)
        limit = BOMB_BYTES if declared > BOMB_RATIO * packed else UNPACKED_BYTES_LIMIT
        if declared > limit:
            raise TooLarge(file=source.name, limit=f"{limit / 1e6:.0f} MB")
        for member in archive.infolist():  # what is declared may be less than what comes
            with archive.open(member) as stream:
                while stream.read(1 << 20):
                    pass
