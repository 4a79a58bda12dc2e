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


def start_export(home: Home, choices: Choices, kind: str, out: Path | None = None) -> JobDirectory:
    """Start writing the parts as files of this kind: into the folder ``out``, else into one archive in the job's.

    Its result is ``{"files": [name, …], "rows": {part: n}, "steps": […], "split", "notes"}``.

    Raises:
        DatasetMissing: there is no such dataset.
        ValueError: there is no such kind of file.
    """
    if kind not in FORMATS:
        raise ValueError(f"no such format: {kind}")
    dataset_folder(home, choices.data.dataset)
    spec = {"choices": choices.model_dump(mode="json"), "format": kind, "home": str(home.path)}
    job = JobDirectory.create(
        home.jobs, kind="export", module=EXPORTER_MODULE, spec={**spec, "out": str(out.resolve()) if out else None}
    )
    launch(job)
    return job


def exported_archive(job: JobDirectory) -> Path:
    """The archive of a completed export.

    Raises:
        ExportMissing: this job has written none.
    """
    path = job.path / ARCHIVE
    if not path.is_file():
        raise ExportMissing
    return path
