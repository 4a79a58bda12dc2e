"""Errors that a user can meet, typed and free of any language.

Each error carries a stable ``code`` and plain *facts*; the words, in every language, are in
``assets/locales`` under ``errors.<code>`` (``what`` happened, ``next`` step). Foreign errors are translated
into these at one seam for each library.

    StudioError
    ├── DataError       what is wrong with the user's table or columns
    ├── SpecError       settings that do not hold, all of them at once
    ├── ModelError      a base model that cannot be found, read or used
    ├── RunError        a run that cannot be created, stopped or deleted, or that ended badly
    ├── SharingError    publishing a finished run
    └── ServerError     starting the studio itself
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

_BY_CODE: dict[str, type[StudioError]] = {}


@dataclass(eq=False)
class StudioError(Exception):
    """Base of all errors worded for the user. Subclasses are dataclasses whose fields are the facts."""

    code: ClassVar[str] = "unexpected"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" in cls.__dict__:
            assert cls.code not in _BY_CODE, f"two errors share the code {cls.code}"
            _BY_CODE[cls.code] = cls

    @property
    def facts(self) -> dict[str, Any]:
        """The error's fields by name: plain JSON values."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.code} {self.facts}"

    def to_dict(self) -> dict[str, Any]:
        """``{"code": …, "facts": {…}}``, the form errors have in events and exit files."""
        return {"code": self.code, "facts": self.facts}

    @staticmethod
    def from_dict(document: dict[str, Any]) -> StudioError:
        """The error that ``to_dict`` described; an unknown code gives `Unexpected`."""
        kind = _BY_CODE.get(document.get("code", ""))
        if kind is None:
            return Unexpected(detail=str(document))
        return kind(**document.get("facts", {}))

    @classmethod
    def all_codes(cls) -> list[str]:
        """Every code that exists, sorted: what the locale files must word."""
        return sorted(_BY_CODE)

    def with_traceback_of(self, cause: BaseException) -> Self:
        """This error, chained to the foreign error it translates."""
        self.__cause__ = cause
        return self


@dataclass(eq=False)
class Unexpected(StudioError):
    """A fault of the studio itself; the log has the traceback."""

    code = "unexpected"
    detail: str


# ------------------------------------------------------------------------------------------------ data


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
class ColumnMissing(DataError):
    code = "data.column_missing"
    column: str
    available: list[str]


@dataclass(eq=False)
class ColumnsUncertain(DataError):
    """The text or the label column cannot be guessed with certainty."""

    code = "data.columns_uncertain"
    available: list[str]


@dataclass(eq=False)
class SameColumn(DataError):
    code = "data.same_column"
    column: str


@dataclass(eq=False)
class OneLabelOnly(DataError):
    code = "data.one_label_only"
    column: str
    label: str


@dataclass(eq=False)
class NoLabels(DataError):
    code = "data.no_labels"
    column: str


@dataclass(eq=False)
class TooManyLabels(DataError):
    """The label column has so many different values that it looks like a text or an id."""

    code = "data.too_many_labels"
    column: str
    labels: int
    rows: int


@dataclass(eq=False)
class NotBinary(DataError):
    """A task with two labels was asked for, and the column has more."""

    code = "data.not_binary"
    column: str
    labels: list[str]


@dataclass(eq=False)
class LabelColumnNotBinary(DataError):
    """A column that stands for one label holds more than 0 and 1."""

    code = "data.label_column_not_binary"
    column: str
    values: list[str]
    """Some of the others."""


@dataclass(eq=False)
class LabelNamesClash(DataError):
    """Two labels were given the same name."""

    code = "data.label_names_clash"
    name: str
    labels: list[str]


@dataclass(eq=False)
class LabelNamesUnknown(DataError):
    """Names were given for labels that the column does not hold."""

    code = "data.label_names_unknown"
    labels: list[str]
    available: list[str]


@dataclass(eq=False)
class NothingLeft(DataError):
    """After blank texts and labels were left out, too few rows remain."""

    code = "data.nothing_left"
    rows: int
    needed: int


@dataclass(eq=False)
class TemplateUnreadable(DataError):
    """The braces of a template do not match, or it names no column."""

    code = "data.template_unreadable"
    template: str
    detail: str


@dataclass(eq=False)
class TemplateUsesLabel(DataError):
    """A text composed of the label would tell the model the answer."""

    code = "data.template_uses_label"
    template: str
    column: str


@dataclass(eq=False)
class PartsUnknown(DataError):
    """The column that is to say which part a row belongs to names no training rows."""

    code = "data.parts_unknown"
    column: str
    values: list[str]


@dataclass(eq=False)
class GroupsTooFew(DataError):
    code = "data.groups_too_few"
    column: str
    groups: int


@dataclass(eq=False)
class TimeUnreadable(DataError):
    code = "data.time_unreadable"
    column: str
    examples: list[str]


@dataclass(eq=False)
class FoldsNotPossible(DataError):
    """Folds were asked for of parts that are given by a column."""

    code = "data.folds_not_possible"
    method: str


@dataclass(eq=False)
class FoldMissing(DataError):
    code = "data.fold_missing"
    fold: int
    folds: int


@dataclass(eq=False)
class PartEmpty(DataError):
    """No row is left for the ``train``, ``validation`` or ``test`` part."""

    code = "data.part_empty"
    part: str


@dataclass(eq=False)
class ExportMissing(DataError):
    """An archive is asked for that was not written, or is gone."""

    code = "data.export_missing"


@dataclass(eq=False)
class FolderTaken(DataError):
    """Files are to be written where somebody else's lie."""

    code = "data.folder_taken"
    folder: str


@dataclass(eq=False)
class SplitColumnMissing(DataError):
    """The chosen way to split goes by a column, and none is named."""

    code = "data.split_column_missing"
    method: str


@dataclass(eq=False)
class HubDataUnreachable(DataError):
    """The Hub did not answer when it was asked for a data set."""

    code = "data.hub_unreachable"
    endpoint: str


@dataclass(eq=False)
class HubDatasetUnknown(DataError):
    """The Hub has no such data set, or none that this user may see."""

    code = "data.hub_unknown"
    dataset: str


@dataclass(eq=False)
class HubDatasetGated(DataError):
    code = "data.hub_gated"
    dataset: str


@dataclass(eq=False)
class HubRevisionUnknown(DataError):
    code = "data.hub_revision_unknown"
    dataset: str
    revision: str


@dataclass(eq=False)
class HubConfigurationMissing(DataError):
    """The data set has several configurations: none was named, or one that is not there."""

    code = "data.hub_configuration_missing"
    dataset: str
    configuration: str
    available: list[str]


@dataclass(eq=False)
class HubSplitMissing(DataError):
    code = "data.hub_split_missing"
    dataset: str
    splits: list[str]
    available: list[str]


@dataclass(eq=False)
class HubDatasetScript(DataError):
    """The rows are made by a program, and programs of others are never run."""

    code = "data.hub_script"
    dataset: str
    file: str


@dataclass(eq=False)
class HubDatasetNoTable(DataError):
    """``detail`` is one of the reasons worded under ``errors.data.hub_no_table.detail``."""

    code = "data.hub_no_table"
    dataset: str
    detail: str


@dataclass(eq=False)
class HubDatasetUnreadable(DataError):
    """The data set's files do not fit its own description, or are damaged; ``detail`` is what the library said."""

    code = "data.hub_unreadable"
    dataset: str
    detail: str


# ------------------------------------------------------------------------------------------------ settings


@dataclass(eq=False)
class SpecError(StudioError):
    """Settings that do not hold: ``problems`` is a list of ``{"setting", "given", "rule"}``, all of them at once."""

    code = "spec.invalid"
    problems: list[dict[str, str]]


@dataclass(eq=False)
class SpecUnreadable(StudioError):
    code = "spec.unreadable"
    file: str
    detail: str


# ------------------------------------------------------------------------------------------------ models


class ModelError(StudioError):
    """A base model that cannot be found, read or used."""


@dataclass(eq=False)
class HubUnreachable(ModelError):
    code = "model.hub_unreachable"
    endpoint: str


@dataclass(eq=False)
class ModelNotNamed(ModelError):
    """The field for the Hub id, the folder or the listed model is empty."""

    code = "model.not_named"


@dataclass(eq=False)
class ModelUnknown(ModelError):
    code = "model.unknown"
    model: str


@dataclass(eq=False)
class ModelGated(ModelError):
    code = "model.gated"
    model: str


@dataclass(eq=False)
class NotAModelFolder(ModelError):
    code = "model.not_a_folder"
    folder: str
    missing: list[str]


@dataclass(eq=False)
class ModelUnusable(ModelError):
    """The model's files are there but it cannot classify text."""

    code = "model.unusable"
    model: str
    detail: str


# ------------------------------------------------------------------------------------------------ runs


class RunError(StudioError):
    """A run that cannot be created, stopped or deleted, or that ended badly."""


@dataclass(eq=False)
class RunMissing(RunError):
    code = "run.missing"
    run: str


@dataclass(eq=False)
class RunAmbiguous(RunError):
    """Several runs have this name, or ids that begin like this; ``found`` are their ids."""

    code = "run.ambiguous"
    run: str
    found: list[str]


@dataclass(eq=False)
class RunActive(RunError):
    """A running run cannot be deleted."""

    code = "run.active"
    run: str


@dataclass(eq=False)
class RunNotFinished(RunError):
    """The run has no model yet, so nothing can be predicted or shared."""

    code = "run.not_finished"
    run: str
    state: str


@dataclass(eq=False)
class NameInvalid(RunError):
    code = "run.name_invalid"
    longest: int


@dataclass(eq=False)
class ProcessKilled(RunError):
    code = "run.killed"
    signal: str


@dataclass(eq=False)
class RunLost(RunError):
    """All processes of the run ended and none was left to note why: a power cut, or all were killed."""

    code = "run.lost"
    run: str


@dataclass(eq=False)
class ProcessCrashed(RunError):
    """The process ended with an error of its own; ``last_lines`` is the end of its log."""

    code = "run.crashed"
    exit_code: int
    last_lines: list[str]


@dataclass(eq=False)
class DiskFull(RunError):
    code = "run.disk_full"
    folder: str
    free_bytes: int
    needed_bytes: int | None = None


@dataclass(eq=False)
class MemoryFull(RunError):
    code = "run.memory_full"
    device: str


@dataclass(eq=False)
class LossNotFinite(RunError):
    code = "run.loss_not_finite"
    step: int
    learning_rate: float


@dataclass(eq=False)
class TextMissing(RunError):
    """Nothing was given to predict."""

    code = "predict.text_missing"


@dataclass(eq=False)
class PredictorFailed(RunError):
    code = "predict.failed"
    detail: str


# ------------------------------------------------------------------------------------------------ sharing


class SharingError(StudioError):
    """Publishing a finished run."""


@dataclass(eq=False)
class TokenMissing(SharingError):
    code = "share.token_missing"


@dataclass(eq=False)
class TokenRejected(SharingError):
    code = "share.token_rejected"
    endpoint: str


@dataclass(eq=False)
class RepositoryNameInvalid(SharingError):
    code = "share.name_invalid"
    name: str


@dataclass(eq=False)
class RepositoryTaken(SharingError):
    code = "share.name_taken"
    name: str


@dataclass(eq=False)
class PublishingRefused(SharingError):
    """The Hub refused for a reason of its own (a plan, a quota, a missing right)."""

    code = "share.refused"
    name: str
    detail: str


@dataclass(eq=False)
class LicenceInvalid(SharingError):
    code = "share.licence_invalid"
    licence: str


@dataclass(eq=False)
class HubNotReached(SharingError):
    """The Hub did not answer before or during an upload."""

    code = "share.hub_unreachable"
    endpoint: str


# ------------------------------------------------------------------------------------------------ server


class ServerError(StudioError):
    """Starting the studio itself."""


@dataclass(eq=False)
class PortTaken(ServerError):
    code = "server.port_taken"
    first: int
    last: int


@dataclass(eq=False)
class HomeUnusable(ServerError):
    code = "server.home_unusable"
    folder: str
    detail: str


# ------------------------------------------------------------------------------------------------ the system


def typed_error(error: Exception, folder: Path) -> StudioError | None:
    """The typed error for what the system says about ``folder``: a full disk, memory at its end; None for the rest."""
    if isinstance(error, StudioError):
        return error
    if _says_disk_full(error):
        return DiskFull(folder=str(folder), free_bytes=shutil.disk_usage(folder).free).with_traceback_of(error)
    if isinstance(error, MemoryError):
        return MemoryFull(device="cpu").with_traceback_of(error)
    return None


def _says_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
