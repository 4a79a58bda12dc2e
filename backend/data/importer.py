"""The import job: ``python -m backend.data.importer JOB``. Reads a user's file or files into ``home/datasets/<id>/``.

It runs with limits on memory and time, so that a file made to burst them ends this process and nothing else. The
dataset is built in a staging folder and renamed when it is whole: an import that dies leaves no half dataset.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from backend.data.choices import first_choices, names_columns
from backend.data.datasets import PROFILE_VERSION
from backend.data.files import SourceFile, with_parts
from backend.data.formats import Reading, schema_of
from backend.data.labels import label_counts
from backend.data.originals import keep_originals, sources_document
from backend.data.pipeline import make_report, write_report
from backend.data.preparing import Surroundings
from backend.data.profiling import ColumnProfile, Guess, count_cells, guess_columns, profile_column
from backend.data.reading import label_names_of, open_files
from backend.data.report.rows import Tell, untold
from backend.errors import FileMissing, OriginalGone, StudioError, TooLarge, TooSlow, Unexpected
from backend.jobs import platform
from backend.jobs.directory import JobDirectory
from backend.jobs.files import place, read_json, write_json
from backend.jobs.process import JobContext, run_job
from backend.machine import usable_memory
from backend.settings import Home
from backend.specs import ReadingSpec

ROW_GROUP_BYTES = 16 << 20
PREVIEW_ROWS = 50
PREVIEW_CHARACTERS = 500
LEAST_MEMORY_BYTES = 4 << 30
TIME_LIMIT_S = 3600.0
LOOK_S = 0.5
STAGING = ".importing-"


def import_table(context: JobContext) -> dict[str, Any]:
    """Import ``spec["files"]`` as one table, read as ``spec["reading"]`` says; the result is ``{"dataset": id}``."""
    files = [SourceFile.from_dict(document) for document in context.spec["files"]]
    asked, name = ReadingSpec(**context.spec.get("reading", {})), context.spec["name"]
    home = Home(Path(context.spec["home"])).prepare()
    limit_memory(context.spec.get("memory_bytes"))
    try:
        with context.phase("reading"):
            known = with_parts([replace(file, sha256=content_hash(file)) for file in files])
            dataset = dataset_id(known, asked)
            target = home.datasets / dataset
            if is_current(target):
                keep_originals(target, known)
                return {"dataset": dataset}
            with staging_folder(home, context.job) as staging:
                about = {"version": PROFILE_VERSION, "dataset": dataset, "file": name}
                about["bytes"] = sum(file.path.stat().st_size for file in known)
                about["sources"] = sources_document(known)
                about["reading"] = asked.model_dump(exclude_defaults=True)
                with limited_time(name, context.spec.get("time_limit_s", TIME_LIMIT_S), context):
                    reading = open_files(known, asked)
                    rows = write_table(context, reading, staging / "table.parquet")
                    with context.phase("profiling"):
                        write_profile(context, staging, about, reading, rows, label_names_of(known))
                keep_originals(staging, known)
                put_in_place(staging, target)
    except MemoryError as error:
        raise too_large(name) from error
    return {"dataset": dataset}


@contextmanager
def limited_time(name: str, limit_s: float, context: JobContext | None = None) -> Iterator[None]:
    """Give the block this long, and the process somewhat more processor time, in case a library does not let go.

    An endless limit (``math.inf``) sets none.

    With a ``context``, a stop is heard anywhere in the block: a report on millions of rows has no place to ask.

    Raises:
        TooSlow: it was not enough.
        StopRequested: the job is to stop.
    """
    deadline = time.monotonic() + limit_s

    def look() -> None:
        if context is not None:
            context.check_stop()
        if time.monotonic() >= deadline:
            raise TooSlow(file=name, minutes=round(limit_s / 60, 2))

    if math.isfinite(limit_s):
        platform.limit_processor_time(int(limit_s * (psutil.cpu_count() or 1)) + 60)
    with platform.looking(LOOK_S, min(limit_s, LOOK_S), look):
        yield


def limit_memory(limit_bytes: int | None = None) -> None:
    """Let this process address no more than the limit: by default half of the machine's memory, at least 4 GiB."""
    platform.limit_memory(limit_bytes or max(LEAST_MEMORY_BYTES, usable_memory() // 2))


def too_large(name: str) -> TooLarge:
    """What ends a job whose memory was at its limit."""
    limit = platform.memory_limit() or usable_memory()
    return TooLarge(file=name, limit=f"{limit / 1e9:.1f} GB")


def content_hash(file: SourceFile) -> str:
    """The SHA-256 of the file's bytes, in hex.

    Raises:
        FileMissing: it is not there.
        OriginalGone: it has another content than the table was read from.
    """
    try:
        with open(file.path, "rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise FileMissing(path=str(file.path)) from error
    if file.sha256 and file.sha256 != found:
        raise OriginalGone(file=file.name)
    return found


def dataset_id(files: Sequence[SourceFile], asked: ReadingSpec) -> str:
    """16 hex digits: of the content of one file read as found, else of all contents, their parts and the reading."""
    changed = asked.model_dump(exclude_defaults=True)
    if len(files) == 1 and not changed:
        return files[0].sha256[:16]
    described = [[file.sha256, file.part] for file in files]
    return hashlib.sha256(json.dumps([described, changed], sort_keys=True).encode()).hexdigest()[:16]


def is_current(folder: Path) -> bool:
    """Whether the folder holds a dataset that this version of the studio has made."""
    try:
        version = read_json(folder / "profile.json").get("version")
    except (FileNotFoundError, ValueError):
        return False
    return bool(version == PROFILE_VERSION)


@contextmanager
def staging_folder(home: Home, job: JobDirectory) -> Iterator[Path]:
    """A folder of this job's own, gone afterwards; those of dead imports are cleared away first."""
    for left in home.datasets.glob(f"{STAGING}*"):
        if not JobDirectory(home.jobs / left.name.removeprefix(STAGING)).is_alive:
            shutil.rmtree(left, ignore_errors=True)
    folder = home.datasets / f"{STAGING}{job.id}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_table(context: JobContext, reading: Reading, path: Path) -> int:
    """Write the rows as they are read, in groups of some megabytes, and say how many there are."""
    schema = schema_of(reading.columns)
    rows = 0
    waiting: list[pa.RecordBatch] = []
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in reading.batches:
            context.check_stop()
            waiting.append(batch)
            rows += batch.num_rows
            if sum(part.nbytes for part in waiting) >= ROW_GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting.clear()
            context.progress(round(100 * reading.position(), 1), 100, unit="percent")
        writer.write_table(pa.Table.from_batches(waiting, schema))
    pa.default_memory_pool().release_unused()
    return rows


def write_profile(
    context: JobContext, folder: Path, about: dict[str, Any], reading: Reading, rows: int, names: dict[str, str]
) -> None:
    """Write the profile of ``folder/table.parquet`` and the first report; ``names`` are labels' names known so far."""
    table = folder / "table.parquet"
    profiles: list[ColumnProfile] = []
    for number, name in enumerate(reading.columns, 1):
        context.check_stop()
        column = pq.read_table(table, columns=[name])[name]
        profiles.append(profile_column(name, column, reading.facts.list_separators.get(name, "")))
        del column
        pa.default_memory_pool().release_unused()
        context.progress(number, len(reading.columns), unit="columns")
    facts = reading.facts
    guess = guess_columns(profiles, lambda name: count_cells(pq.read_table(table, columns=[name])[name]), facts.classes)
    document = {
        **about,
        "format": facts.format,
        "compression": facts.compression,
        "encoding": facts.encoding,
        "delimiter": facts.delimiter,
        "header": facts.has_header,
        "sheet": facts.sheet,
        "sheets": facts.sheets,
        "given_split": facts.given_split or None,
        "rows": rows,
        "columns": [_column_document(profile) for profile in profiles],
        "guess": guess.to_dict(),
        "label_names": _fitting_names(names, guess, table),
        "notes": facts.notes,
        "preview": _preview(table, reading.columns),
    }
    write_json(folder / "profile.json", document)
    write_first_report(folder, document, report_progress(context))


def _fitting_names(names: dict[str, str], guess: Guess, table: Path) -> dict[str, str]:
    """The names of the guessed column's labels; none if they are of another column."""
    if not names or guess.label is None:
        return {}
    labels = label_counts(count_cells(pq.read_table(table, columns=[guess.label])[guess.label]), guess.separator)
    found = {label: names[label] for label in labels if label in names}
    return found if len(found) == len(labels) and len(set(found.values())) == len(found) else {}


def report_progress(context: JobContext) -> Tell:
    """Tells a job how much of a report is made."""
    return lambda done, total: context.progress(round(100 * done / total, 1), 100, unit="percent")


def write_first_report(folder: Path, profile: dict[str, Any], tell: Tell = untold) -> None:
    """Make the report on the guessed columns, so that the first screen needs no second job."""
    (folder / "reports").mkdir()
    choices = first_choices(profile)
    if names_columns(choices.data):
        write_report(folder, make_report(folder, profile, choices, Surroundings(described=tell)), choices)


def _column_document(profile: ColumnProfile) -> dict[str, Any]:
    document: dict[str, Any] = {name: getattr(profile, name) for name in ("name", "kind", "distinct", "blank")}
    return document | {"mean_length": profile.mean_length, "examples": profile.examples, "separator": profile.separator}


def _preview(table: Path, columns: list[str]) -> dict[str, Any]:
    first = next(pq.ParquetFile(table).iter_batches(batch_size=PREVIEW_ROWS), None)
    cells = [] if first is None else zip(*(column.to_pylist() for column in first.columns), strict=True)
    return {"columns": columns, "rows": [[cell and cell[:PREVIEW_CHARACTERS] for cell in row] for row in cells]}


def put_in_place(staging: Path, target: Path) -> None:
    """Make the finished folder the dataset's own; what the user chose for an older one goes with it."""
    if target.exists():
        # Either another import of the same file was quicker, or this one is of an older version of the studio.
        if is_current(target):
            return
        for kept in target.glob("*.json"):  # what the user chose for it
            if not (staging / kept.name).exists():
                shutil.copy2(kept, staging)
        shutil.rmtree(target)
    place(staging, target)


def _translate(error: Exception) -> StudioError:
    if isinstance(error, pa.ArrowException):
        return Unexpected(detail=f"pyarrow: {error}"[:1000])
    return Unexpected(detail=f"{type(error).__name__}: {error}"[:1000])


if __name__ == "__main__":
    sys.exit(run_job(import_table, _translate))
