"""Errors about a user's files: they cannot be read, or hold no table."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


class DataError(StudioError):
    """What is wrong with the user's table or columns."""


@dataclass(eq=False)
class FileMissing(DataError):
    code = "data.file_missing"
    path: str


@dataclass(eq=False)
class FileEmpty(DataError):
    code = "data.file_empty"
    file: str


@dataclass(eq=False)
class NotATable(DataError):
    """``detail`` is one of the reasons worded under ``errors.data.not_a_table.detail``."""

    code = "data.not_a_table"
    file: str
    detail: str


@dataclass(eq=False)
class QuoteNeverClosed(DataError):
    """A quotation mark that opens at ``line`` would swallow the rest of the file."""

    code = "data.quote_never_closed"
    file: str
    line: int


@dataclass(eq=False)
class FormatUnknown(DataError):
    code = "data.format_unknown"
    file: str
    known: list[str]


@dataclass(eq=False)
class EncodingUnknown(DataError):
    code = "data.encoding_unknown"
    encoding: str


@dataclass(eq=False)
class DelimiterInvalid(DataError):
    code = "data.delimiter_invalid"
    delimiter: str


@dataclass(eq=False)
class SheetMissing(DataError):
    code = "data.sheet_missing"
    sheet: str
    available: list[str]


@dataclass(eq=False)
class PartsUnclear(DataError):
    """Of several files some tell by their names which part of the data they are; these do not."""

    code = "data.parts_unclear"
    files: list[str]


@dataclass(eq=False)
class ColumnsDiffer(DataError):
    """Two files that are to make one table have different columns."""

    code = "data.columns_differ"
    file: str
    other: str
    columns: list[str]
    other_columns: list[str]


@dataclass(eq=False)
class TooSlow(DataError):
    """Reading the file took longer than it may."""

    code = "data.too_slow"
    file: str
    minutes: float


@dataclass(eq=False)
class OriginalGone(DataError):
    """The file that a table was read from is not there any more, or has changed."""

    code = "data.original_gone"
    file: str


@dataclass(eq=False)
class DatasetMissing(DataError):
    code = "data.dataset_missing"
    dataset: str


@dataclass(eq=False)
class TooLarge(DataError):
    """The file needs more memory or time than a reading process may take."""

    code = "data.too_large"
    file: str
    limit: str


@dataclass(eq=False)
class ExportMissing(DataError):
    """An archive is asked for that was not written, or is gone."""

    code = "data.export_missing"


@dataclass(eq=False)
class FolderTaken(DataError):
    """Files are to be written where somebody else's lie."""

    code = "data.folder_taken"
    folder: str
