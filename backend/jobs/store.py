"""The runs of a home: create, start, list, open, rename, stop, delete. Used by the pages and the command line alike."""

from __future__ import annotations

import logging
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.errors import DatasetMissing, NameInvalid, RunActive, RunMissing, RunNotFinished
from backend.jobs.catalogue import Catalogue, RunSummary
from backend.jobs.directory import JobDirectory, JobState, is_job_id
from backend.jobs.events import Evaluated
from backend.jobs.files import read_json
from backend.jobs.launch import launch
from backend.recipes import with_recipe
from backend.settings import Home
from backend.specs import STARTER, RunSpec

logger = logging.getLogger(__name__)
WORKER_MODULE = "backend.worker"
NAME_LENGTH = 120


class RunStore:
    """All runs under one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._catalogue = Catalogue(home.catalogue)
        self._opened: dict[str, JobDirectory] = {}
        self._lock = threading.Lock()

    def create(self, spec: RunSpec) -> JobDirectory:
        """A new run for an imported dataset, not yet started, with every open setting filled in.

        Raises:
            DatasetMissing: ``spec.data.dataset`` names no imported dataset.
        """
        if not spec.data.dataset or not (self.home.datasets / Path(spec.data.dataset).name / "profile.json").exists():
            raise DatasetMissing(dataset=spec.data.dataset)
        spec = with_recipe(spec)
        name = spec.name or self._default_name(spec)
        run = JobDirectory.create(self.home.runs, kind="train", module=WORKER_MODULE, spec=spec.model_dump())
        try:
            run.rename(name)
        except OSError:
            run.discard()
            raise
        return self._remember(run)

    def start(self, run: JobDirectory, *, environ: Mapping[str, str] | None = None) -> None:
        """Start the run's worker in the background. ``environ`` carries secrets such as ``HF_TOKEN``."""
        try:
            launch(run, environ=environ)
        except OSError:
            run.discard()
            raise
        self._index(summarise(run))

    def get(self, run_id: str) -> JobDirectory:
        """The run with this id.

        Raises:
            RunMissing: there is none, or the text is no id at all.
        """
        with self._lock:
            run = self._opened.get(run_id)
        if run is not None and run.path.exists():
            return run
        path = self.home.runs / run_id
        if not is_job_id(run_id) or not (path / "job.json").exists():
            raise RunMissing(run=run_id[:80])
        return self._remember(JobDirectory(path))

    def summaries(self) -> list[RunSummary]:
        """Every run, newest first. Ended runs come from the catalogue, living ones from their folders."""
        try:
            known = self._catalogue.all()
        except sqlite3.OperationalError as error:  # busy, or no room for it: the folders tell the same, more slowly
            logger.warning("the catalogue cannot be read: %s", error)
            known = {}
        except (sqlite3.DatabaseError, TypeError, ValueError):
            self._catalogue.clear()  # damaged, or of another version: it is rebuilt from the folders right here
            known = {}
        present = {path.name for path in self.home.runs.iterdir() if is_job_id(path.name)}
        for gone in known.keys() - present:
            self._unindex(gone)
        found = []
        for run_id in sorted(present, reverse=True):
            summary = known.get(run_id)
            # "Interrupted" may also be what was told of a run between being made and being started.
            if summary is None or not summary.state.is_final or summary.state is JobState.INTERRUPTED:
                try:
                    fresh = summarise(self.get(run_id))
                except RunMissing:  # deleted, or not fully made, at this moment
                    continue
                if summary is None or fresh.state != summary.state:
                    self._index(fresh)
                summary = fresh
            found.append(summary)
        return found

    def rename(self, run_id: str, name: str) -> None:
        """Call the run ``name``.

        Raises:
            RunMissing: there is no such run.
            NameInvalid: the name is empty, too long or has line breaks.
        """
        run = self.get(run_id)
        name = name.strip()
        if not name or len(name) > NAME_LENGTH or not name.isprintable():
            raise NameInvalid(longest=NAME_LENGTH)
        run.rename(name)
        self._index(summarise(run))

    def stop(self, run_id: str) -> None:
        """Ask the run to stop at its next step."""
        run = self.get(run_id)
        if not run.status().state.is_final:
            run.request_stop()

    def delete(self, run_id: str) -> None:
        """Remove the run and all its files.

        Raises:
            RunMissing: there is no such run.
            RunActive: it is running.
        """
        run = self.get(run_id)
        if not run.status().state.is_final:
            raise RunActive(run=run.name or run_id)
        # Renamed first: a half-deleted folder is never taken for a run.
        doomed = run.path.with_name(f".deleted-{run_id}-{secrets.token_hex(2)}")
        run.path.rename(doomed)
        with self._lock:
            self._opened.pop(run_id, None)
        self._unindex(run_id)
        shutil.rmtree(doomed)

    def rebuild(self) -> int:
        """Make the catalogue anew from the folders; returns the number of runs."""
        self._catalogue.clear()
        return len(self.summaries())

    def model_folder(self, run_id: str) -> Path:
        """The run's finished model.

        Raises:
            RunMissing: there is no such run.
            RunNotFinished: it has no model (yet).
        """
        run = self.get(run_id)
        folder = run.path / "model"
        if not (folder / "config.json").exists():
            raise RunNotFinished(run=run.name or run_id, state=run.status().state)
        return folder

    # The catalogue is only an index: a full disk must not keep anybody from starting, renaming or deleting a run. One
    # that cannot be written would tell old tales, so it is dropped; the folders make it anew.

    def _index(self, summary: RunSummary) -> None:
        try:
            self._catalogue.put(summary)
        except sqlite3.OperationalError as error:
            logger.warning("the catalogue cannot be written and is dropped: %s", error)
            self._catalogue.clear()

    def _unindex(self, run_id: str) -> None:
        try:
            self._catalogue.remove(run_id)
        except sqlite3.OperationalError as error:
            logger.warning("run %s is still in the catalogue: %s", run_id, error)

    def _remember(self, run: JobDirectory) -> JobDirectory:
        with self._lock:
            return self._opened.setdefault(run.id, run)

    def _default_name(self, spec: RunSpec) -> str:
        stem = Path(spec.data.source).stem or "run"
        base = stem if spec.model.base == STARTER else f"{stem} · {Path(spec.model.base).name}"
        taken = {summary.name for summary in self.summaries()}
        if base not in taken:
            return base[:NAME_LENGTH]
        return next(name for n in range(2, len(taken) + 3) if (name := f"{base[: NAME_LENGTH - 8]} {n}") not in taken)


def read_report(run: JobDirectory) -> dict[str, Any] | None:
    """The report of an ended run (see `backend.evaluation.report`); None where there is none."""
    try:
        document: dict[str, Any] = read_json(run.path / "report.json")
    except FileNotFoundError:
        return None
    return document


def summarise(run: JobDirectory) -> RunSummary:
    """The run's line in the list, told from its folder."""
    status = run.status()
    report = read_report(run) if status.state.is_final else None
    metrics: dict[str, float] = (report or {}).get("metrics") or {}
    if not metrics and status.state is JobState.STOPPED and status.kept:
        metrics = status.kept.get("metrics") or {}
    if not metrics and not status.state.is_final:
        metrics = next((e.metrics for e in reversed(list(run.events())) if isinstance(e, Evaluated)), {})
    progress = status.progress
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
        share_done=min(1.0, progress.done / progress.total) if progress and progress.total else 0.0,
    )
