"""A user's file as a stream of unpacked bytes, whether it is plain, gzipped or alone in a zip. Child process only."""

from __future__ import annotations

import errno
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from backend.data.encodings import read_block
from backend.errors import FileEmpty, FormatUnknown, NotATable, TooLarge

DECODED_BYTES_LIMIT = 16 << 30
"""What a file may unpack to; a few kilobytes of gzip can declare terabytes."""

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
KNOWN_FORMATS = ["CSV", "TSV", "TXT", "JSON", "JSONL", "Parquet", ".gz", ".zip"]
HEAD_BYTES = 4096
BLANK = b" \t\r\n\0\xef\xbb\xbf"


class Source:
    """A file that can be opened again and again, unpacked on the way."""

    def __init__(self, path: Path, name: str, limit: int) -> None:
        self.path, self.name, self.limit = path, name, limit
        self.inner_name, self.compression = name, ""
        self._raw: BinaryIO | None = None
        self._size = max(1, path.stat().st_size)
        with open(path, "rb") as packed:
            head = read_block(packed, HEAD_BYTES)
        if not head.strip(BLANK):
            raise FileEmpty(file=name)
        if head.startswith(b"\x1f\x8b"):
            self.compression = "gzip"
            self.inner_name = Path(name).stem if name.lower().endswith(".gz") else name
        elif head.startswith(b"PK\x03\x04"):
            self.compression = "zip"
            self.member = self._only_member()
            self.inner_name = self.member
        if self.compression:
            with self.reading_errors(), self.open() as unpacked:
                head = read_block(unpacked, HEAD_BYTES)
            if not head.strip(BLANK):
                raise FileEmpty(file=name)
        self.head = head

    def open(self) -> BinaryIO:
        """The unpacked bytes from the start; counted, so that a bomb is refused and not swallowed."""
        self._raw = raw = open(self.path, "rb")  # noqa: SIM115 - closed with the stream that is handed out
        if self.compression == "gzip":
            return io.BufferedReader(_Counted(gzip.GzipFile(fileobj=raw), raw, self.refuse))
        if self.compression == "zip":
            return io.BufferedReader(_Counted(zipfile.ZipFile(raw).open(self.member), raw, self.refuse))
        return raw

    def refuse(self, decoded_bytes: int) -> None:
        """Raise `TooLarge` when this many bytes are too many."""
        if decoded_bytes > self.limit:
            raise TooLarge(file=self.name, limit=f"{self.limit / 1e9:.1f} GB")

    def position(self) -> float:
        """The share of the packed file that the latest stream has read."""
        if self._raw is None or self._raw.closed:
            return 1.0
        return min(1.0, self._raw.tell() / self._size)

    @contextmanager
    def reading_errors(self) -> Iterator[None]:
        """Damaged archives become `NotATable`."""
        try:
            yield
        except (zipfile.BadZipFile, zlib.error, EOFError, UnicodeDecodeError, NotImplementedError) as error:
            raise NotATable(file=self.name, detail="damaged") from error
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile) or error.errno == errno.EINVAL:  # a zip that points before its start
                raise NotATable(file=self.name, detail="damaged") from error
            raise

    def _only_member(self) -> str:
        with self.reading_errors(), zipfile.ZipFile(self.path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir() and not _is_clutter(m.filename)]
        names = {m.filename for m in members}
        if "[Content_Types].xml" in names or "mimetype" in names:  # an office document, not an archive of tables
            raise FormatUnknown(file=self.name, known=KNOWN_FORMATS)
        tables = [m for m in members if suffix_of(m.filename) in SUFFIXES] or members
        if len(tables) != 1:
            raise NotATable(file=self.name, detail="archive")
        if tables[0].flag_bits & 1:
            raise NotATable(file=self.name, detail="encrypted")
        return tables[0].filename


class _Counted(io.RawIOBase):
    """A stream that tells how many bytes it has handed out."""

    def __init__(self, inner: Any, raw: BinaryIO, refuse: Callable[[int], None]) -> None:
        self._inner, self._raw, self._refuse, self._count = inner, raw, refuse, 0

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._raw.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._inner.seekable())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._inner.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inner.tell())

    def readinto(self, buffer: Any, /) -> int:
        block = self._inner.read(len(buffer))
        buffer[: len(block)] = block
        self._count += len(block)
        self._refuse(self._count)
        return len(block)


def suffix_of(name: str) -> str:
    """The last part of a file name, lower case: ``.csv``."""
    return Path(name).suffix.lower()


def _is_clutter(name: str) -> bool:
    parts = Path(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")
