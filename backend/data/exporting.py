"""Starting an export of the prepared parts, and finding what it wrote. Never reads a table itself."""

from __future__ import annotations

from pathlib import Path

from backend.data.datasets import dataset_folder
from backend.errors import ExportMissing
from backend.jobs.directory import JobDirectory
from backend.jobs.launch import launch
from backend.settings import Home
from backend.specs import Choices

EXPORTER_MODULE = "backend.data.exporter"
FORMATS = ("csv", "parquet")
ARCHIVE = "prepared.zip"


def start_export(
    home: Home, choices: Choices, kind: str, out: Path | None = None, *, all_folds: bool = False
) -> JobDirectory:
    """Start writing the parts as files of this kind: into the folder ``out``, else into one archive in the job's.

    Its result is ``{"files": [name, …], "labels", "task", "steps", "rows": {part: n}, "split", "notes"}``. With
    ``all_folds`` each of the folds that the split asks for gets a folder ``fold-<n>``, and the result has
    ``"folds": [{"fold", "files", "rows", "split", "notes"}]`` in the place of the last three.

    Raises:
        DatasetMissing: there is no such dataset.
        ValueError: there is no such kind of file.
    """
    if kind not in FORMATS:
        raise ValueError(f"no such format: {kind}")
    dataset_folder(home, choices.data.dataset)
    spec = {"choices": choices.model_dump(mode="json"), "format": kind, "home": str(home.path), "all_folds": all_folds}
    job = JobDirectory.create(
        home.jobs, kind="export", module=EXPORTER_MODULE, spec={**spec, "out": str(out.resolve()) if out else None}
    )
    launch(job)
    return job


def fold_folder(fold: int) -> str:
    """The name of the folder of one of several folds."""
    return f"fold-{fold}"


def exported_archive(job: JobDirectory) -> Path:
    """The archive of a completed export.

    Raises:
        ExportMissing: this job has written none.
    """
    path = job.path / ARCHIVE
    if not path.is_file():
        raise ExportMissing
    return path
