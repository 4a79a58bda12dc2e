"""Where the studio keeps its things. Reads no environment by itself: `main()` does, and passes values down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from backend.errors import HomeUnusable

HOME_VARIABLE = "STUDIO_HOME"


@dataclass(frozen=True)
class Home:
    """The folder that holds datasets, runs, background jobs and the catalogue."""

    path: Path

    @property
    def datasets(self) -> Path:
        """Imported tables, one folder each, named by their content."""
        return self.path / "datasets"

    @property
    def runs(self) -> Path:
        """Training runs, one folder each: the truth about them."""
        return self.path / "runs"

    @property
    def trash(self) -> Path:
        """Runs that were deleted, until it is emptied."""
        return self.path / "trash"

    @property
    def jobs(self) -> Path:
        """Other background work: imports and uploads, one folder each."""
        return self.path / "jobs"

    @property
    def catalogue(self) -> Path:
        """The SQLite index of the runs, which can be rebuilt from their folders."""
        return self.path / "catalogue.sqlite"

    def prepare(self) -> Home:
        """Make the folders where they are missing.

        Raises:
            HomeUnusable: the folder cannot be made or written.
        """
        try:
            for folder in (self.datasets, self.runs, self.jobs):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HomeUnusable(folder=str(self.path), detail=error.strerror or str(error)) from error
        if not os.access(self.path, os.W_OK):
            raise HomeUnusable(folder=str(self.path), detail="not writable")
        return self


def home_at(given: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> Home:
    """The home that was given, else the one of ``STUDIO_HOME``, else the user's data folder."""
    chosen = given or environ.get(HOME_VARIABLE) or platformdirs.user_data_dir("studio", appauthor=False)
    return Home(Path(chosen).expanduser().resolve())
