"""What the list shows of a run, told from its folder and its report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend.errors import RunMissing
from backend.jobs.catalogue import RunSummary
from backend.jobs.directory import JobDirectory
from backend.jobs.events import Evaluated
from backend.jobs.files import read_json
from backend.jobs.remarks import read_remarks
from backend.jobs.status import JobState
from backend.jobs.trash import disk_bytes


def read_report(run: JobDirectory) -> dict[str, Any] | None:
    """The report of an ended run (see `backend.evaluation.report`); None where there is none."""
    try:
        document: dict[str, Any] = read_json(run.path / "report.json")
    except FileNotFoundError:
        return None
    return document


def summaries_of(runs: Iterable[JobDirectory]) -> Iterator[RunSummary]:
    """The lines of all that are still there."""
    for run in runs:
        with suppress(RunMissing, FileNotFoundError):  # it was deleted at this moment
            yield summarise(run)


def summarise(run: JobDirectory) -> RunSummary:
    """The run's line in the list, told from its folder."""
    status = run.status()
    report = read_report(run) if status.state.is_final else None
    metrics: dict[str, float] = (report or {}).get("metrics") or {}
    if not metrics and status.state is JobState.STOPPED and status.kept:
        metrics = status.kept.get("metrics") or {}
    if not metrics and not status.state.is_final:
        evaluated = run.latest(Evaluated)
        metrics = evaluated.metrics if evaluated else {}
    progress, remarks = status.progress, read_remarks(run)
    return RunSummary(
        id=run.id,
        name=run.name,
        state=status.state,
        created=status.created,
        ended=status.ended,
        data=Path(run.spec["data"]["source"]).name,
        model=run.spec["model"]["base"],
        task=(report or {}).get("task", run.spec["data"]["task"]),
        metrics=metrics,
        error=status.error.to_dict() if status.error else None,
        phase=status.phase,
        attempt=status.attempt,
        tags=list(remarks.tags),
        notes=remarks.notes,
        disk_bytes=disk_bytes(run.path),
        worked_s=run.worked_s,
        share_done=min(1.0, progress.done / progress.total) if progress and progress.total else 0.0,
    )
