"""Runs that were thrown away, whole, until the trash is emptied. Knows folders, not what is in them."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from backend.errors import RunMissing
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.files import move


class Trash:
    """The folder of a home that holds them, each under its id."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def put(self, run: JobDirectory) -> None:
        """Throw the run's folder away; only for who holds its lock."""
        self.path.mkdir(exist_ok=True)
        move(run.path, self.path / run.id)

    def runs(self) -> list[JobDirectory]:
        """What is in it, the newest run first."""
        if not self.path.is_dir():
            return []
        ids = sorted((entry.name for entry in os.scandir(self.path) if is_job_id(entry.name)), reverse=True)
        return [JobDirectory(self.path / run_id) for run_id in ids]

    def take_out(self, run_id: str, runs: Path) -> None:
        """Put the run back where it was.

        Raises:
            RunMissing: it is not in the trash.
        """
        try:
            move(self._find(run_id), runs / run_id)
        except FileNotFoundError:
            raise RunMissing(run=run_id[:80]) from None

    def empty(self, run_id: str | None = None) -> int:
        """Remove this run for good, or all of them; the bytes that were given back.

        Raises:
            RunMissing: this one is not in the trash.
        """
        chosen = [run.path for run in self.runs()] if run_id is None else [self._find(run_id)]
        freed = 0
        for folder in chosen:
            # Renamed first: what is half removed is nothing that could be put back.
            doomed = folder.with_name(f".removed-{folder.name}-{secrets.token_hex(2)}")
            try:
                move(folder, doomed)
            except FileNotFoundError:  # somebody else has just taken or removed it
                continue
            freed += disk_bytes(doomed)
            shutil.rmtree(doomed)
        return freed

    def _find(self, run_id: str) -> Path:
        folder = self.path / run_id
        if not is_job_id(run_id) or not folder.is_dir():
            raise RunMissing(run=run_id[:80])
        return folder


def disk_bytes(folder: Path) -> int:
    """The bytes of all files in a folder and below; what goes away meanwhile does not count."""
    total = 0
    for parent, _folders, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total
