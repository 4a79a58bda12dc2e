"""The index of the runs in SQLite: a cache of what their folders say, never the truth, rebuilt at any time.

Several processes write it (the studio, commands), so it keeps SQLite's rollback journal: its write-ahead log has
a reset bug with several writers before 3.51.3. See docs/decisions/002-catalogue.md.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from backend.jobs.status import JobState

VERSION = 2
"""Of what a row tells; an index of another version is dropped, and made anew from the folders."""
_SCHEMA = """
CREATE TABLE runs (
    id      TEXT PRIMARY KEY,
    created REAL NOT NULL,
    state   TEXT NOT NULL,
    summary TEXT NOT NULL
)
"""


@dataclass(frozen=True)
class RunSummary:
    """One line of the list of runs."""

    id: str
    name: str
    state: JobState
    created: float
    ended: float | None
    data: str
    """The name of the file the texts came from."""
    model: str
    task: str
    metrics: dict[str, float]
    """Of the test split for a completed run, of the validation split for a stopped one; empty before."""
    error: dict[str, object] | None
    phase: str = ""
    share_done: float = 0.0
    """Of the current phase, 0 to 1."""
    attempt: int = 1
    tags: list[str] = field(default_factory=list)
    notes: str = ""
    disk_bytes: int = 0
    """Of all its files."""
    worked_s: float = 0.0
    """`JobDirectory.worked_s`."""

    @property
    def headline(self) -> tuple[str, float] | None:
        """The one metric to show where there is room for one: F1."""
        return ("f1", self.metrics["f1"]) if "f1" in self.metrics else None


class Catalogue:
    """The index file. Opened for each call, so no connection crosses threads or processes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[bytes, dict[str, RunSummary]] = (b"", {})

    def put(self, summarise: Callable[[], Iterable[RunSummary]]) -> None:
        """Add or replace runs, by what is found while nobody else writes: the last to write has the latest news."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = [(s.id, s.created, s.state, json.dumps(asdict(s), ensure_ascii=False)) for s in summarise()]
            connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?)", rows)

    def remove(self, run_id: str) -> None:
        """Forget one run."""
        with self._connection() as connection:
            connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))

    def all(self) -> dict[str, RunSummary]:
        """Every run the index knows, by id. As long as nobody has changed it, it is read once."""
        changes = self._changes()
        if not changes or changes != self._known[0]:
            with self._connection() as connection:
                rows = connection.execute("SELECT summary FROM runs").fetchall()
            self._known = changes, {s.id: s for s in (_summary(text) for (text,) in rows)}
        return dict(self._known[1])

    def _changes(self) -> bytes:
        """What is another one after each change: which file it is, and the counter in its header; empty without one.

        https://sqlite.org/fileformat2.html#file_change_counter
        """
        try:
            with open(self._path, "rb") as stream:
                stream.seek(24)
                counter = stream.read(4)
                return b"%d " % os.fstat(stream.fileno()).st_ino + counter if len(counter) == 4 else b""
        except FileNotFoundError:
            return b""

    def clear(self) -> None:
        """Forget everything, also where the file is damaged."""
        self._path.unlink(missing_ok=True)
        self._known = (b"", {})  # the next file may have the number of this one

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=10)
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            if not self._is_current(connection):
                self._begin_anew(connection)
            with connection:
                yield connection
        finally:
            connection.close()

    @staticmethod
    def _is_current(connection: sqlite3.Connection) -> bool:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return bool(version == VERSION)

    def _begin_anew(self, connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            if self._is_current(connection):  # somebody else has just done so
                return
            connection.execute("DROP TABLE IF EXISTS runs")
            connection.execute(_SCHEMA)
            connection.execute(f"PRAGMA user_version={VERSION}")


def _summary(text: str) -> RunSummary:
    document = json.loads(text)
    return RunSummary(**{**document, "state": JobState(document["state"])})
