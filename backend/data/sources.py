"""A user's file as a stream of unpacked bytes, whether it is plain, gzipped or in a zip. Child process only."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
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

BOMB_RATIO = 300
BOMB_BYTES = 256 << 20
"""What a file may unpack to that packs better than texts ever do (3 to 10 times; the same text again and again 50)."""

SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".label": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "sheet",
    ".xlsm": "sheet",
    ".xlsb": "sheet",
    ".xls": "sheet",
    ".ods": "sheet",
}
KNOWN_FORMATS = ["CSV", "TSV", "TXT", "JSON", "JSONL", "Parquet", "XLSX", "XLS", "ODS", ".gz", ".zip"]
SHEET_MARKS = ("xl/workbook.xml", "xl/workbook.bin")
OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How XLS begins, and with it every older office document and every one with a password."""
ZIP_MARK = b"PK\x03\x04"
HEAD_BYTES = 4096
BLANK = b" \t\r\n\0\xef\xbb\xbf"


@contextmanager
def reading_errors(name: str) -> Iterator[None]:
    """What a damaged archive called ``name`` raises becomes `NotATable`."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeDecodeError, NotImplementedError) as error:
        raise NotATable(file=name, detail="damaged") from error
    except RuntimeError as error:  # what zipfile says to a member that turns out to need a password
        if "password" not in str(error):
            raise
        raise NotATable(file=name, detail="encrypted") from error
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile) or error.errno in (errno.EINVAL, None):  # a zip that points before 0
            raise NotATable(file=name, detail="damaged") from error
        raise


def members_of(path: Path) -> list[zipfile.ZipInfo]:
    """The files in a zip archive without what systems leave in them. Raises what `reading_errors` words."""
    with zipfile.ZipFile(path) as archive:
        # Not ``is_dir``, which looks at the last letter of a name even where there is none.
        return [m for m in archive.infolist() if not m.filename.endswith("/") and not _is_clutter(m.filename)]


def is_office(path: Path, name: str) -> bool:
    """Whether a zip archive is a workbook.

    Raises:
        FormatUnknown: it is an office document of another kind.
        NotATable: it is damaged.
    """
    with reading_errors(name), zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        if names.intersection(SHEET_MARKS):
            return True
        if "mimetype" in names and archive.getinfo("mimetype").file_size < 200:
            if archive.read("mimetype").startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
                return True
            raise FormatUnknown(file=name, known=KNOWN_FORMATS)
        if "[Content_Types].xml" in names:
            raise FormatUnknown(file=name, known=KNOWN_FORMATS)
    return False


class Source:
    """A file that can be opened again and again, unpacked on the way; in an archive, its one table or ``member``."""

    def __init__(self, path: Path, name: str, limit: int, member: str = "") -> None:
        self.path, self.name, self.limit = path, name, limit
        self.inner_name, self.compression, self.is_workbook = name, "", False
        self._raw: BinaryIO | None = None
        self._size = max(1, path.stat().st_size)
        with open(path, "rb") as packed:
            head = read_block(packed, HEAD_BYTES)
        if not head.strip(BLANK):
            raise FileEmpty(file=name)
        if head.startswith(b"\x1f\x8b"):
            self.compression = "gzip"
            self.inner_name = Path(name).stem if name.lower().endswith(".gz") else name
        elif head.startswith(ZIP_MARK) and is_office(path, name):
            self.is_workbook = True
        elif head.startswith(ZIP_MARK):
            self.compression = "zip"
            self.member = member or self._only_member()
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
        """Raise `TooLarge` when this many bytes are too many, or more than texts could pack into so small a file."""
        limit = min(self.limit, BOMB_BYTES) if decoded_bytes > BOMB_RATIO * self._size else self.limit
        if decoded_bytes > limit:
            raise TooLarge(file=self.name, limit=f"{limit / 1e9:.1f} GB")

    def position(self) -> float:
        """The share of the packed file that the latest stream has read."""
        if self._raw is None or self._raw.closed:
            return 1.0
        try:
            return min(1.0, self._raw.tell() / self._size)
        except ValueError:  # closed by the thread that reads ahead
            return 1.0

    @contextmanager
    def reading_errors(self) -> Iterator[None]:
        """Damaged archives become `NotATable`."""
        with reading_errors(self.name):
            yield

    def _only_member(self) -> str:
        with self.reading_errors():
            members = members_of(self.path)
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
    if not parts:  # a damaged archive can hold a member without a name, or one called "."
        return True
    return "__MACOSX" in parts or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")
