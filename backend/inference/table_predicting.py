"""Asking a finished run about a whole table: starting the job, and finding what it wrote. Reads nothing."""

from __future__ import annotations

from pathlib import Path

from backend.errors import FileMissing, OutputTaken, OutputUnknown, PredictionsMissing
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.launch import launch
from backend.jobs.store import RunStore
from backend.settings import Home

MODULE = "backend.inference.table_predictor"
KIND = "predict"
FORMATS = ("csv", "parquet", "jsonl")


def start_table(
    store: RunStore,
    run: JobDirectory,
    table: Path,
    *,
    name: str = "",
    out: Path | None = None,
    kind: str = "csv",
    text: str = "",
    replace: bool = False,
) -> JobDirectory:
    """Start predicting every row of ``table``, which the user knows as ``name``.

    What is written has the table's columns, ``predicted_label``, and ``probability_<label>`` of each label; rows
    without a text have neither. It goes to ``out``, whose name says the format, else as ``kind`` into the job's folder.
    ``text`` names the column to take in the place of those that the run was trained with.

    The job's result is ``{"file", "predictions": kind or null, "rows", "predicted", "blank", "labels": {label: rows},
    "measured": null | {"rows", "left_out", "unknown": {label: rows}, "metrics": {…} | null}}``; it is measured where
    the table holds the label columns of the run, on the rows whose label the run knows.

    Raises:
        RunNotFinished: the run has no model.
        FileMissing: there is no such table.
        OutputUnknown, OutputTaken: ``out`` is of no format that is written, or is there and not to be replaced.
    """
    store.model_folder(run.id)
    if not table.is_file():
        raise FileMissing(path=name or str(table))
    if out is not None:
        kind = output_format(out)
        if out.is_dir() or (out.exists() and (not replace or out.samefile(table))):
            raise OutputTaken(file=str(out))
    elif kind not in FORMATS:
        raise OutputUnknown(file=kind, formats=list(FORMATS))
    spec = {
        "run": run.id,
        "table": str(table.resolve()),
        "name": name or table.name,
        "out": str(out.resolve()) if out else None,
        "format": kind,
        "text": text,
    }
    job = JobDirectory.create(store.home.jobs, kind=KIND, module=MODULE, spec=spec)
    launch(job)
    return job


def output_format(out: Path) -> str:
    """The format that a file's name asks for. Raises `OutputUnknown`."""
    kind = out.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise OutputUnknown(file=out.name, formats=list(FORMATS))
    return kind


def written_predictions(job: JobDirectory) -> Path:
    """The file that a completed job has left in its own folder.

    Raises:
        PredictionsMissing: it has written none there.
    """
    path = predictions_path(job)
    if job.description["kind"] != KIND or not path.is_file():
        raise PredictionsMissing
    return path


def predictions_path(job: JobDirectory) -> Path:
    """Where a job without an ``out`` of its own writes."""
    return job.path / f"predictions.{job.spec.get('format')}"


def predicted_name(table: str, kind: str) -> str:
    """What a table's predictions are called: ``reviews-predicted.csv``."""
    return f"{Path(table).name.partition('.')[0] or 'table'}-predicted.{kind}"


def tables_of(home: Home, run: JobDirectory) -> list[JobDirectory]:
    """The tables that this run was asked about from a page, the latest first: living, done and failed."""
    folders = sorted((path for path in home.jobs.iterdir() if is_job_id(path.name)), reverse=True)
    jobs = [JobDirectory(path) for path in folders if (path / "job.json").exists()]
    return [j for j in jobs if j.description["kind"] == KIND and j.spec["run"] == run.id and not j.spec["out"]]
