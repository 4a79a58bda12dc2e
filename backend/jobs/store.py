"""The runs of a home: create, start, list, open, rename, stop, delete. Used by the pages and the command line alike."""

from __future__ import annotations

import hashlib
import logging
import shutil
import sqlite3
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from backend.asked import check_machine
from backend.errors import (
    CheckpointMissing,
    DatasetMissing,
    NameInvalid,
    RunActive,
    RunMissing,
    RunNotFinished,
    RunNotQueued,
    RunNotResumable,
)
from backend.jobs import queue
from backend.jobs.catalogue import Catalogue, RunSummary
from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.directory import HIDDEN, JobDirectory, is_job_id
from backend.jobs.files import alone, write_bytes
from backend.jobs.launch import launch
from backend.jobs.remarks import build_remarks, write_remarks
from backend.jobs.status import JobState, JobStatus
from backend.jobs.summaries import summaries_of, summarise
from backend.jobs.supervisor import cancel
from backend.jobs.trash import Trash
from backend.recipes import with_recipe
from backend.settings import Home
from backend.specs import STARTER, RunSpec

logger = logging.getLogger(__name__)
WORKER_MODULE = "backend.worker"
MOST_OPENED = 64
"""Runs whose events are kept in memory; of another one they are read again when it is asked for."""
NAME_LENGTH = 120
AT_WORK = (JobState.STARTING, JobState.RUNNING, JobState.STOPPING)
HALF_MADE_S = 3600.0
"""A run that is being made for so long is not being made any more."""
LEAVING_S = 5.0
"""How long the processes of a run that has ended may take to be gone."""


class RunStore:
    """All runs under one home."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._catalogue = Catalogue(home.catalogue)
        self._trash = Trash(home.trash)
        self._opened: OrderedDict[str, JobDirectory] = OrderedDict()
        """The runs that were asked for last: each remembers what it has read of its events."""
        self._lock = threading.Lock()

    def start_new(self, spec: RunSpec, request: str = "", *, environ: Mapping[str, str] | None = None) -> JobDirectory:
        """A new run for an imported dataset, started in the background when it is its turn.

        For a ``request`` that was made before, the run of that time: a double click, or asking again where an answer
        was lost, makes one run. ``environ`` carries secrets such as ``HF_TOKEN``.

        Raises:
            DatasetMissing, TooManyProcesses, TrackerUnknown, TrackerMissing: as `create`.
        """
        if not request:
            return self._start(spec, environ)
        known = self.home.path / "requests" / hashlib.sha256(request.encode()).hexdigest()
        with alone(self.home.path / "requests.lock"):
            if known.exists() and (self.home.runs / (run_id := known.read_text("ascii"))).exists():
                return self.get(run_id)
            known.parent.mkdir(exist_ok=True)
            return self._start(spec, environ, lambda run: write_bytes(known, run.id.encode("ascii")))

    def create(self, spec: RunSpec) -> JobDirectory:
        """A new run for an imported dataset, with every open setting filled in, for who does it in this process.

        Raises:
            DatasetMissing: ``spec.data.dataset`` names no imported dataset.
            TooManyProcesses, TrackerUnknown, TrackerMissing: this machine does not have what it asks for.
        """
        run = self._make(spec)
        try:
            run.show()
        except OSError:
            run.discard()
            raise
        return self._remember(run)

    def _make(self, spec: RunSpec) -> JobDirectory:
        check_machine(spec)
        if not spec.data.dataset or not (self.home.datasets / Path(spec.data.dataset).name / "profile.json").exists():
            raise DatasetMissing(dataset=spec.data.dataset)
        spec = with_recipe(spec)
        name = spec.name or self._default_name(spec)
        asked = spec.model_dump()
        run = JobDirectory.create(self.home.runs, kind="train", module=WORKER_MODULE, spec=asked, hidden=True)
        try:
            run.set_name(name)
        except OSError:
            run.discard()
            raise
        return run

    def _start(
        self,
        spec: RunSpec,
        environ: Mapping[str, str] | None,
        first: Callable[[JobDirectory], None] = lambda _run: None,
    ) -> JobDirectory:
        run = self._make(spec)

        def accept() -> None:
            first(run)
            queue.enter(run, run.take_place)
            run.show()  # whoever finds it finds it waiting, and alive

        try:
            launch(run, environ=environ, first=accept)
        except OSError:
            run.discard()
            raise
        self._remember(run)
        self._index(run)
        self.revive(environ=environ)
        return run

    def resume(self, run_id: str, step: int | None = None, *, environ: Mapping[str, str] | None = None) -> JobDirectory:
        """Attempt a run again that was stopped, interrupted or failed, from its newest whole checkpoint or this one.

        Without a checkpoint it begins anew.

        Raises:
            RunMissing: there is no such run.
            RunActive: it lives, or somebody else has just resumed it.
            RunNotResumable: it is completed, or was cancelled before it began.
            CheckpointMissing: it has none of this step from which training can go on.
            TooManyProcesses, TrackerUnknown, TrackerMissing: this machine does not have what it asks for.
        """
        run = self.get(run_id)
        attempt = self._check_resumable(run, step)

        def begin() -> None:
            queue.enter(run, lambda place: run.begin_attempt(attempt + 1, step, place))

        try:
            launch(run, environ=environ, first=begin, wait_s=LEAVING_S)
        except (BlockingIOError, FileExistsError):
            raise RunActive(run=run.name or run_id) from None
        except FileNotFoundError:  # somebody has just deleted it
            raise RunMissing(run=run_id) from None
        self._index(run)
        return run

    def _check_resumable(self, run: JobDirectory, step: int | None) -> int:
        status = self.check_ended(run)
        if not status.state.is_resumable:
            raise RunNotResumable(run=run.name or run.id, state=status.state)
        steps = resumable_steps(run)
        if step is not None and step not in steps:
            raise CheckpointMissing(run=run.name or run.id, step=step, steps=steps)
        check_machine(RunSpec(**run.spec))
        return status.attempt

    def revive(self, *, environ: Mapping[str, str] | None = None) -> None:
        """Have every run wait again whose supervisor was lost while it waited: after the machine was restarted."""
        for run in queue.waiting(self.home.runs):
            if not run.is_alive:
                with suppress(BlockingIOError):  # another studio has just done it
                    launch(run, environ=environ)

    def move(self, run_id: str, position: int) -> None:
        """Put a waiting run at this position of the queue, from 0.

        Raises:
            RunMissing: there is no such run.
            RunNotQueued: it does not wait.
        """
        run = self.get(run_id)
        if run.place is None:
            raise RunNotQueued(run=run.name or run_id)
        queue.move(run, position)

    def queued(self) -> list[JobDirectory]:
        """The runs that wait for their turn, in their order."""
        return queue.waiting(self.home.runs)

    def get(self, run_id: str) -> JobDirectory:
        """The run with this id.

        Raises:
            RunMissing: there is none, or the text is no id at all.
        """
        with self._lock:
            run = self._opened.get(run_id)
            if run is not None:
                self._opened.move_to_end(run_id)
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
        found, moved = [], []
        for run_id in sorted(present, reverse=True):
            summary = known.get(run_id)
            try:
                if summary is None or self._may_have_moved(summary):
                    run = self.get(run_id)
                    fresh = summarise(run)
                    # One that has just ended may still give up its place and close its log.
                    if (summary is None or fresh.state != summary.state) and not (
                        fresh.state.is_final and run.is_alive
                    ):
                        moved.append(run)
                    summary = fresh
            except (RunMissing, FileNotFoundError):  # deleted at this moment
                continue
            found.append(summary)
        if moved:
            self._index(*moved)
        return found

    def _may_have_moved(self, summary: RunSummary) -> bool:
        """Whether the run lives, or what ended as the summary tells has been resumed since."""
        # Nobody may have noted that one was interrupted: it is looked at again.
        if not summary.state.is_final or summary.state is JobState.INTERRUPTED:
            return True
        return summary.state.is_resumable and self.get(summary.id).attempt != summary.attempt

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
        run.set_name(name)
        self._index(run)

    def remark(self, run_id: str, tags: Iterable[str], notes: str) -> None:
        """Note these tags and notes about the run, in place of what was noted before.

        Raises:
            RunMissing: there is no such run.
            RemarksInvalid: they are too many or too long.
        """
        run = self.get(run_id)
        write_remarks(run, build_remarks(tags, notes))
        self._index(run)

    def stop(self, run_id: str) -> None:
        """Ask the run to stop at its next step; one that waits for its turn is cancelled."""
        run = self.get(run_id)
        if run.status().state.is_final:
            return
        run.request_stop()
        if run.place is not None and not run.is_alive:  # nobody is there to hear it
            with suppress(BlockingIOError), run.locked(wait_s=LEAVING_S):  # unless somebody has just revived it
                cancel(run)

    def delete(self, run_id: str) -> None:
        """Put the run and all its files into the trash.

        Raises:
            RunMissing: there is no such run.
            RunActive: it is running.
        """
        run = self.get(run_id)
        attempt = self.check_ended(run).attempt
        try:
            with run.locked(wait_s=LEAVING_S):  # nobody can resume it from now on; has somebody just done so?
                if run.attempt != attempt:
                    raise RunActive(run=run.name or run_id)
                self._trash.put(run)
        except BlockingIOError:
            raise RunActive(run=run.name or run_id) from None
        except FileNotFoundError:  # somebody has just deleted it
            raise RunMissing(run=run_id) from None
        with self._lock:
            self._opened.pop(run_id, None)
        self._unindex(run_id)

    def check_ended(self, run: JobDirectory) -> JobStatus:
        """How the run has ended; raises `RunActive` for one that has not."""
        status = run.settle()
        if not status.state.is_final:
            raise RunActive(run=run.name or run.id)
        return status

    def trashed(self) -> list[RunSummary]:
        """The runs in the trash, newest first."""
        return [summarise(run) for run in self._trash.runs()]

    def restore(self, run_id: str) -> JobDirectory:
        """Put a run from the trash back into the list.

        Raises:
            RunMissing: it is not in the trash.
        """
        self._trash.take_out(run_id, self.home.runs)
        run = self.get(run_id)
        self._index(run)
        return run

    def empty_trash(self, run_id: str | None = None) -> int:
        """Remove this run of the trash for good, or all of them; the bytes that were given back.

        Raises:
            RunMissing: this one is not in the trash.
        """
        return self._trash.empty(run_id)

    def rebuild(self) -> int:
        """Make the catalogue anew from the folders; returns the number of runs.

        What is left of runs that a crash kept from being accepted is removed.
        """
        long_ago = time.time() - HALF_MADE_S
        for path in self.home.runs.glob(f"{HIDDEN}*"):
            if is_job_id(path.name.removeprefix(HIDDEN)) and path.stat().st_mtime < long_ago:
                shutil.rmtree(path)
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

    def _index(self, *runs: JobDirectory) -> None:
        try:
            self._catalogue.put(lambda: summaries_of(runs))
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
            remembered = self._opened.setdefault(run.id, run)
            self._opened.move_to_end(run.id)
            while len(self._opened) > MOST_OPENED:
                self._opened.popitem(last=False)
        return remembered

    def _default_name(self, spec: RunSpec) -> str:
        stem = Path(spec.data.source).stem or "run"
        return self.free_name(stem if spec.model.base == STARTER else f"{stem} · {Path(spec.model.base).name}")

    def free_name(self, base: str) -> str:
        """The name, or where a run has it the name with the first number that makes it another."""
        taken = {summary.name for summary in self.summaries()}
        if base not in taken:
            return base[:NAME_LENGTH]
        return next(name for n in range(2, len(taken) + 3) if (name := f"{base[: NAME_LENGTH - 8]} {n}") not in taken)


def resumable_steps(run: JobDirectory) -> list[int]:
    """The steps of the run's checkpoints from which training can go on, the oldest first."""
    return [checkpoint.step for checkpoint in list_checkpoints(run.path) if checkpoint.complete]


def names_ahead(store: RunStore, run: JobDirectory) -> list[str]:
    """What a run waits for: the names of those that are at work and of those before it; empty if it does not wait."""
    if run.place is None:
        return []
    waiting = store.queued()
    ids = [each.id for each in waiting]
    before = waiting[: ids.index(run.id)] if run.id in ids else []
    at_work = [summary.name for summary in reversed(store.summaries()) if summary.state in AT_WORK]
    return at_work + [each.name for each in before]
