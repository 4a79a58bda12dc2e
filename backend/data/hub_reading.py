"""A data set of the Hub as one table of texts, read piece by piece with the ``datasets`` library. Child process only.

No program of the data set is ever run, and no file outside of it is read: only plain formats are, from the very
commit that was asked for. Classes keep their names, splits become a column that says the part of the data.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backend.data.cells import ListSeparators, cell_text
from backend.data.delimited import unique_names
from backend.data.formats import Reading, ReadingFacts, schema_of
from backend.data.hub_cells import class_names, decoded, holds_text, inner_type
from backend.data.hub_datasets import HubDataset, HubSource, parts_of, usual_splits
from backend.data.hub_errors import default_endpoint, worded
from backend.data.reading import SPLIT_COLUMN
from backend.data.sources import DECODED_BYTES_LIMIT
from backend.errors import (
    HubConfigurationMissing,
    HubDatasetNoTable,
    HubDatasetScript,
    HubDatasetUnreadable,
    HubSplitMissing,
    TooLarge,
    typed_error,
)

FORMATS = ("csv", "json", "parquet", "arrow", "text")
"""What is read: kinds of files that hold rows and nothing that could be run."""
FORMATS_OF_SUFFIXES = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".txt": "text",
}
INDEX_COLUMN = "__index_level_"
"""How pandas calls the numbers of rows that it writes among the columns."""
BATCH_ROWS = 1000
DETAIL_LENGTH = 500
RETRIES = 3
RETRY_INTERVAL_S = 2


@contextmanager
def reading_errors(repository: str, revision: str = "") -> Iterator[None]:
    """What the libraries raise on a data set becomes a worded error."""
    from datasets.data_files import EmptyDatasetError
    from datasets.exceptions import DataFilesNotFoundError, DatasetsError

    try:
        yield
    except Exception as error:
        known = worded(error, repository, default_endpoint(), revision) or typed_error(error, Path.cwd())
        if known is not None:
            raise known from error
        if isinstance(error, (EmptyDatasetError, DataFilesNotFoundError, FileNotFoundError)):
            raise HubDatasetNoTable(dataset=repository, detail="no_files") from error
        if "Data files don't belong to" in str(error):
            raise HubDatasetNoTable(dataset=repository, detail="foreign") from error
        if isinstance(error, RuntimeError) and "scripts are no longer supported" in str(error):
            raise HubDatasetScript(dataset=repository, file=str(error).rpartition(" ")[2]) from error
        if isinstance(error, (DatasetsError, pa.ArrowException, ValueError, OSError, KeyError, TypeError)):
            detail = f"{type(error).__name__}: {error}"[:DETAIL_LENGTH]
            raise HubDatasetUnreadable(dataset=repository, detail=detail) from error
        raise


@dataclass
class OpenedDataset:
    """One configuration of a data set, none of its rows read yet."""

    id: str
    sha: str
    configuration: str
    configurations: list[str]
    splits: list[str]
    builder: Any

    def rows_of(self, split: str) -> int:
        """How many rows the data set says that a split has; 0 if it does not say."""
        known = self.builder.info.splits or {}
        return int(known[split].num_examples or 0) if split in known else 0

    def stream(self, split: str) -> Iterator[pa.Table]:
        """The rows of a split as they come, with their types in the schema."""
        with reading_errors(self.id, self.sha):
            rows = self.builder.as_streaming_dataset(split=split).with_format("arrow")
            yield from rows.iter(batch_size=BATCH_ROWS)

    def first_rows(self, split: str) -> pa.Table | None:
        """Some rows at the beginning of a split, for which no more than about 5 MB of a Parquet file are read."""
        if _module_of(self.builder) == "parquet":
            import pyarrow.dataset

            # By default pieces of 32 MiB are asked for, which is right for reading all of it.
            few = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
            self.builder.config.fragment_scan_options = few
        return next((table for table in self.stream(split) if table.num_rows), None)

    def types(self, table: pa.Table) -> dict[str, Any]:
        """The types of the columns, as the data set declares them or as the rows show."""
        from datasets import Features

        features = self.builder.info.features or Features.from_arrow_schema(table.schema)
        return {name: kind for name, kind in features.to_dict().items() if not name.startswith(INDEX_COLUMN)}


def open_dataset(found: HubDataset, configuration: str, token: str | None) -> OpenedDataset:
    """Find out how the files of a data set make rows.

    Raises:
        HubConfigurationMissing: there are several, and none of this name.
        HubDatasetNoTable, HubDatasetScript: it holds nothing that is read here.
        HubDatasetUnreadable: its own description does not hold.
        HubDataUnreachable: the Hub stopped answering.
    """
    import datasets

    # A Hub that goes away is told within seconds; by default its files are asked for during minutes.
    for name in ("READ", "OPEN"):
        setattr(datasets.config, f"STREAMING_{name}_MAX_RETRIES", RETRIES)
        setattr(datasets.config, f"STREAMING_{name}_RETRY_INTERVAL", RETRY_INTERVAL_S)
        setattr(datasets.config, f"STREAMING_{name}_SERVER_UNAVAILABLE_RETRY_INTERVAL", RETRY_INTERVAL_S)
    # By this address a folder of the same name in the working directory is never taken for it.
    place: dict[str, Any] = {"path": f"hf://datasets/{found.id}", "revision": found.sha, "token": token or False}
    with reading_errors(found.id, found.sha):
        try:
            builder = datasets.load_dataset_builder(name=configuration or None, **place)
        except ValueError as error:
            names = list(datasets.get_dataset_config_names(**place))
            if configuration in names or (not configuration and len(names) < 2):
                raise
            missing = HubConfigurationMissing(dataset=found.id, configuration=configuration, available=names[:200])
            raise missing from error
        available = list(builder.builder_configs) or [str(builder.config.name)]
        builder = _of_its_own_format(builder, found, token)
    _check_files(found, builder)
    if type(builder.config).__name__ == "CsvConfig" and builder.info.features is None:
        builder.config.keep_default_na = False  # the word "None" in a text is a word
    name = str(builder.config.name)
    return OpenedDataset(found.id, found.sha, name, available, [str(s) for s in builder.config.data_files], builder)


def _of_its_own_format(builder: Any, found: HubDataset, token: str | None) -> Any:
    """The builder for the format that the files have: the library takes that of the first configuration for all."""
    import datasets

    files = {str(split): [str(file) for file in files] for split, files in (builder.config.data_files or {}).items()}
    kinds = {_format_of(file) for some in files.values() for file in some}
    if kinds in ({""}, {_module_of(builder)}) or len(kinds) != 1:
        return builder
    name, (kind,) = builder.config.name, kinds
    return datasets.load_dataset_builder(kind, name=name, data_files=files, token=token or False)


def _format_of(file: str) -> str:
    name = file.lower()
    for packed in (".gz", ".zip", ".bz2", ".xz", ".zst"):
        name = name.removesuffix(packed)
    return FORMATS_OF_SUFFIXES.get(Path(name).suffix, "")


def _module_of(builder: Any) -> str:
    return str(builder.__module__).split(".")[-1]


def _check_files(found: HubDataset, builder: Any) -> None:
    if _module_of(builder) not in FORMATS:
        raise HubDatasetNoTable(dataset=found.id, detail="format")
    inside = f"hf://datasets/{found.id}@{found.sha}/"
    # A description may name any address, and any file of this machine.
    files = [str(file) for files in (builder.config.data_files or {}).values() for file in files]
    if not files:
        raise HubDatasetNoTable(dataset=found.id, detail="no_files")
    if not all(file.startswith(inside) and "::" not in file and "/../" not in file for file in files):
        raise HubDatasetNoTable(dataset=found.id, detail="foreign")


def chosen_splits(opened: OpenedDataset, source: HubSource) -> list[str]:
    """The splits to be read, in the data set's order.

    Raises:
        HubSplitMissing: one that was named is not there.
    """
    if missing := [name for name in source.splits if name not in opened.splits]:
        raise HubSplitMissing(dataset=opened.id, splits=missing, available=opened.splits)
    wanted = source.splits or usual_splits(opened.splits)
    return [name for name in opened.splits if name in wanted]


@dataclass
class _Split:
    """A split whose first rows are here."""

    name: str
    first: pa.Table
    rest: Iterator[pa.Table]


def open_hub_table(
    opened: OpenedDataset, splits: list[str], spool: Path, check_stop: Callable[[], None], limit_bytes: int = 0
) -> Reading:
    """The rows of these splits as one table; ``spool`` is a file for rows whose lists are joined at the end.

    Raises:
        HubDatasetNoTable: they have no rows, or no two columns of texts.
        HubDatasetUnreadable, HubDataUnreachable: also while the batches are taken.
        TooLarge: the rows are more than ``limit_bytes`` (by default what a file may unpack to).
    """
    facts = ReadingFacts(_module_of(opened.builder))
    pieces = [piece for name in splits if (piece := _begin(opened, name))]
    if not pieces:
        raise HubDatasetNoTable(dataset=opened.id, detail="no_rows")
    types = opened.types(pieces[0].first)
    kinds = {name: kind for name, kind in types.items() if holds_text(kind)}
    if len(kinds) < 2:
        raise HubDatasetNoTable(dataset=opened.id, detail="one_column")
    unlabelled = [piece.name for piece in pieces[1:] if _has_no_labels(piece.first, kinds)]
    pieces = [piece for piece in pieces if piece.name not in unlabelled]
    left_out = [name for name in opened.splits if name not in splits]
    facts.note("hub_splits_left_out", len(left_out), splits=left_out)
    facts.note("hub_splits_without_labels", len(unlabelled), splits=unlabelled)
    facts.note("hub_columns_left_out", len(types) - len(kinds), columns=[name for name in types if name not in kinds])

    parts = parts_of([piece.name for piece in pieces])
    columns = unique_names(kinds)
    declared = zip(columns, kinds.values(), strict=True)
    facts.classes = [column for column, kind in declared if class_names(kind) or class_names(inner_type(kind))]
    if parts:
        columns = unique_names([*columns, SPLIT_COLUMN])
        facts.given_split = columns[-1]
    table = _Table(kinds, columns, limit_bytes or DECODED_BYTES_LIMIT, opened.id)
    total = sum(opened.rows_of(piece.name) for piece in pieces)

    def texts() -> Iterator[pa.RecordBatch]:
        for piece in pieces:
            for rows in chain([piece.first], piece.rest):
                check_stop()
                yield table.batch(rows, parts.get(piece.name) if parts else None)

    def batches() -> Iterator[pa.RecordBatch]:
        yield from table.joined(_spooled(texts(), spool, columns)) if table.has_open_lists else texts()
        facts.list_separators = {
            column: separator for column, separator in table.separators.found().items() if separator
        }

    return Reading(columns, batches(), facts, lambda: min(1.0, table.rows / total) if total else 0.0)


def _begin(opened: OpenedDataset, split: str) -> _Split | None:
    tables = opened.stream(split)
    first = next((table for table in tables if table.num_rows), None)
    return None if first is None else _Split(split, first, tables)


def _has_no_labels(rows: pa.Table, kinds: dict[str, Any]) -> bool:
    """Whether every class of these rows is unknown: that is how test splits keep their labels to themselves."""
    classes = [name for name, kind in kinds.items() if class_names(kind) and name in rows.column_names]
    return bool(classes) and all(
        all(decoded(value, kinds[name]) is None for value in rows[name].to_pylist()) for name in classes
    )


class _Table:
    """Makes rows of any types into rows of texts."""

    def __init__(self, kinds: dict[str, Any], columns: list[str], limit_bytes: int, dataset: str) -> None:
        self.kinds, self.columns, self.dataset = kinds, columns, dataset
        self.separators = ListSeparators()
        self.rows = 0
        self._bytes, self._limit = 0, limit_bytes
        lists = [(column, kind) for column, kind in zip(columns, kinds.values(), strict=False) if inner_type(kind)]
        for column, kind in lists:
            for name in class_names(inner_type(kind)):
                self.separators.see(column, [name])
        self._open_lists = [column for column, kind in lists if not class_names(inner_type(kind))]

    @property
    def has_open_lists(self) -> bool:
        """Whether there are lists of which only the last row tells what may join them."""
        return bool(self._open_lists)

    def batch(self, rows: pa.Table, part: str | None) -> pa.RecordBatch:
        """Some rows as texts, with the part of the data in the last column."""
        arrays = [
            self._texts(column, rows[name] if name in rows.column_names else pa.nulls(rows.num_rows), kind)
            for column, (name, kind) in zip(self.columns, self.kinds.items(), strict=False)
        ]
        if part is not None:
            arrays.append(pa.array([part] * rows.num_rows, pa.string()))
        self.rows += rows.num_rows
        self._bytes += sum(array.nbytes for array in arrays)
        if self._bytes > self._limit:
            raise TooLarge(file=self.dataset, limit=f"{self._limit / 1e9:.1f} GB")
        return pa.record_batch(arrays, schema=schema_of(self.columns))

    def joined(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Batches in which the open lists stand as JSON, with their items joined."""
        for batch in batches:
            arrays = [
                pa.array([_joined(cell, self.separators.of(column)) for cell in array.to_pylist()], pa.string())
                if column in self._open_lists
                else array
                for column, array in zip(self.columns, batch.columns, strict=True)
            ]
            yield pa.record_batch(arrays, schema=schema_of(self.columns))

    def _texts(self, column: str, cells: Any, kind: Any) -> pa.Array:
        if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type):
            plain = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
            return pc.if_else(pc.equal(plain, ""), None, plain).cast(pa.string())
        values = [decoded(value, kind) for value in cells.to_pylist()]
        if inner_type(kind) is None:
            return pa.array([cell_text(value) for value in values], pa.string())
        for value in values:
            self.separators.see(column, value)
        if column in self._open_lists:
            return pa.array([None if v is None else json.dumps(v, default=str) for v in values], pa.string())
        separator = self.separators.of(column)
        return pa.array([cell_text(value, separator) for value in values], pa.string())


def _joined(cell: str | None, separator: str) -> str | None:
    return None if cell is None else cell_text(json.loads(cell), separator)


def _spooled(batches: Iterator[pa.RecordBatch], spool: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The same batches, after the last of them has been seen: they wait on the disk."""
    with pq.ParquetWriter(spool, schema_of(columns), compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
    with pq.ParquetFile(spool) as waiting:
        yield from waiting.iter_batches(batch_size=BATCH_ROWS)
    spool.unlink()
