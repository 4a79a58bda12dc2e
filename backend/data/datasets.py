"""The imported tables of a home, as the screens and the command line see them: import, profile, report.

Never parses a user's file: that is done by `backend.data.importer` and `backend.data.describer` in processes of
their own, started here as jobs. Knows nothing of torch; pyarrow is loaded only to read the studio's own table.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.data.files import SourceFile, title_of, with_parts
from backend.errors import DatasetMissing, FileMissing, ProcessKilled, StudioError
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.events import JobCompleted
from backend.jobs.files import alone, read_json, write_bytes
from backend.jobs.launch import launch
from backend.jobs.status import JobState
from backend.settings import Home
from backend.specs import Choices, ReadingSpec

if TYPE_CHECKING:
    import pyarrow as pa

IMPORTER_MODULE = "backend.data.importer"
DESCRIBER_MODULE = "backend.data.describer"
PROFILE_VERSION = 2
AS_FOUND = ReadingSpec()
SAMPLES_FOLDER = Path(__file__).resolve().parents[2] / "assets" / "samples"
POLL_S = 0.05
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Sample:
    """A table that comes with the studio. Its words are in the locales under ``sample.<id>.title`` and ``.about``."""

    id: str
    file: Path
    language: str
    task: str

    @property
    def title_key(self) -> str:
        """The locale key of its title."""
        return f"sample.{self.id}.title"

    @property
    def about_key(self) -> str:
        """The locale key of its description."""
        return f"sample.{self.id}.about"


def samples() -> list[Sample]:
    """The tables that come with the studio, so that a first run needs no file."""
    return [
        Sample("takeaway_reviews", SAMPLES_FOLDER / "takeaway_reviews_zh.csv", "zh", "binary"),
        Sample("support_tickets", SAMPLES_FOLDER / "support_tickets_en.csv", "en", "multiclass"),
        Sample("film_blurbs", SAMPLES_FOLDER / "film_blurbs_multilabel_en.csv", "en", "multilabel"),
    ]


def start_import(
    home: Home,
    source: Path | Sequence[SourceFile],
    name: str | None = None,
    reading: ReadingSpec = AS_FOUND,
) -> JobDirectory:
    """Start the import of a file, or of files that make one table, called ``name`` by the user; see `dataset_of`.

    Raises:
        FileMissing: there is no such file.
        PartsUnclear: which part of the data a file is cannot be told.
    """
    files = [SourceFile(source, name or source.name)] if isinstance(source, Path) else list(source)
    for file in files:
        if not file.path.is_file():
            raise FileMissing(path=name or str(file.path))
    with_parts(files)  # refused here, before a process is started
    spec = {
        "files": [replace(file, path=file.path.resolve()).to_dict() for file in files],
        "name": name or title_of(files),
        "reading": reading.model_dump(exclude_defaults=True),
        "home": str(home.path),
    }
    return _start(home, "import", IMPORTER_MODULE, spec)


def start_report(home: Home, choices: Choices) -> JobDirectory:
    """Start making the report on what was chosen; `load_report` has it when the job is completed.

    Where one on the same choices is being made already, that is the job: however often it is asked for.

    Raises:
        DatasetMissing: there is no such dataset.
    """
    reports = dataset_folder(home, choices.data.dataset) / "reports"
    reports.mkdir(exist_ok=True)
    with alone(reports / ".lock"):
        known = report_job(home, choices)
        if known is not None and known.status().state in (JobState.STARTING, JobState.RUNNING):
            return known
        spec = {"choices": choices.model_dump(mode="json"), "home": str(home.path)}
        job = _start(home, "report", DESCRIBER_MODULE, spec)
        write_bytes(reports / f"{report_key(choices)}.job", job.id.encode())
    return job


def report_job(home: Home, choices: Choices) -> JobDirectory | None:
    """The latest job that makes or made the report on these choices, however it ended. Raises `DatasetMissing`."""
    path = dataset_folder(home, choices.data.dataset) / "reports" / f"{report_key(choices)}.job"
    try:
        job = JobDirectory(home.jobs / path.read_text("utf-8"))
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return job if is_job_id(job.id) and (job.path / "job.json").exists() else None


def stop_report(home: Home, choices: Choices) -> None:
    """Stop the job that makes the report on these choices, if there is one: nobody waits for it any more."""
    job = report_job(home, choices)
    if job is not None and not job.status().state.is_final:
        job.request_stop()


def _start(home: Home, kind: str, module: str, spec: dict[str, Any]) -> JobDirectory:
    job = JobDirectory.create(home.jobs, kind=kind, module=module, spec=spec)
    launch(job)
    return job


def wait(job: JobDirectory, timeout_s: float = 600.0) -> dict[str, Any]:
    """Wait until the job has ended and return its result.

    Raises:
        StudioError: the error that the job ended with; `ProcessKilled` if it was stopped or just vanished.
        TimeoutError: it has not ended in time; it goes on.
    """
    deadline = time.monotonic() + timeout_s
    while not (status := job.status()).state.is_final:
        if time.monotonic() > deadline:
            raise TimeoutError(f"job {job.id} has not ended after {timeout_s:g} s")
        time.sleep(POLL_S)
    if status.error is not None:
        raise status.error
    if status.state is not JobState.COMPLETED:
        raise ProcessKilled(signal=status.state)
    return result_of(job)


def result_of(job: JobDirectory) -> dict[str, Any]:
    """The result of a completed job; empty for any other."""
    end = job.ended_event()
    return end.result if isinstance(end, JobCompleted) else {}


def dataset_of(job: JobDirectory) -> str:
    """The id of the dataset that a completed import made.

    Raises:
        StudioError: the import failed.
        DatasetMissing: it has not ended, or was stopped.
    """
    status = job.status()
    if isinstance(status.error, StudioError):
        raise status.error
    result = result_of(job)
    if "dataset" not in result:
        raise DatasetMissing(dataset="")
    return str(result["dataset"])


def dataset_folder(home: Home, dataset: str) -> Path:
    """The dataset's folder.

    Raises:
        DatasetMissing: there is none, or ``dataset`` is no id at all.
    """
    folder = home.datasets / dataset
    if not _ID.fullmatch(dataset) or not (folder / "profile.json").exists():
        raise DatasetMissing(dataset=dataset[:80])
    return folder


def list_datasets(home: Home) -> list[str]:
    """The ids of all imported tables, the latest first."""
    found = [path for path in home.datasets.iterdir() if _ID.fullmatch(path.name) and (path / "profile.json").exists()]
    return [path.name for path in sorted(found, key=lambda path: (path / "profile.json").stat().st_mtime, reverse=True)]


def load_profile(home: Home, dataset: str) -> dict[str, Any]:
    """The dataset's profile, as ``docs/architecture.md`` describes it. Raises `DatasetMissing`."""
    profile: dict[str, Any] = read_json(dataset_folder(home, dataset) / "profile.json")
    return profile


def report_key(choices: Choices) -> str:
    """The name under which the report on these choices is kept: names of labels and of files make no other report."""
    aside = {"source", "validation_source", "test_source", "configuration", "revision", "dataset", "label_names"}
    document = choices.model_dump(mode="json", exclude={"reading": True, "data": aside})
    return hashlib.sha256(json.dumps(document, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:16]


def load_report(home: Home, choices: Choices) -> dict[str, Any] | None:
    """The report on these choices; None if it has not been made (`start_report`). Raises `DatasetMissing`."""
    path = dataset_folder(home, choices.data.dataset) / "reports" / f"{report_key(choices)}.json"
    try:
        report: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    return report


def load_table(home: Home, dataset: str, columns: list[str] | None = None) -> pa.Table:
    """The dataset's rows, or some columns of them: texts, missing cells null. Raises `DatasetMissing`."""
    import pyarrow.parquet as pq  # only the processes that work on rows need it

    path = dataset_folder(home, dataset) / "table.parquet"
    return pq.read_table(path, columns=columns)
