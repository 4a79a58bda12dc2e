"""Real processes to kill and a real small disk to fill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, start_import, wait
from backend.jobs.directory import JobDirectory
from backend.jobs.events import PhaseStarted
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import build_spec
from tests.processes import PATIENCE_S, kill, until

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "samples" / "support_tickets_en.csv"


class SmallDisk:
    """A disk of a few MB that can be filled to the last byte and emptied again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free."""
        with open(self._filler, "ab", buffering=0) as stream:
            for piece in (1 << 20, 4096):
                try:
                    while True:
                        stream.write(bytes(piece))
                except OSError:
                    continue
        os.truncate(self._filler, max(0, self._filler.stat().st_size - leave))

    def empty(self) -> None:
        """Give the room back."""
        self._filler.unlink(missing_ok=True)


@pytest.fixture(scope="session", autouse=True)
def forked(runs_begin_at_once: bool) -> None:
    """Runs here are a user's, whose studio is open."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A tmpfs of its own; the test is skipped where this user may not mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(path)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield SmallDisk(path)
    subprocess.run(["umount", "-l", str(path)], check=True)


def start_run(home: Home, epochs: int = 500) -> JobDirectory:
    """A run that will take a while, just started."""
    dataset = wait(start_import(home, SAMPLE), PATIENCE_S)["dataset"]
    choices = first_choices(load_profile(home, dataset))
    store = RunStore(home)
    return store.start_new(build_spec({**choices.model_dump(), "training": {"epochs": epochs}}))


def await_phase(run: JobDirectory, phase: str) -> None:
    """Wait until the run has come to the phase."""
    # Told by its events: a short phase may be over before anybody looks.
    until(lambda: phase in _entered(run) or run.status().state.is_final, phase)
    assert run.status().state is JobState.RUNNING


def _entered(run: JobDirectory) -> set[str]:
    return {event.phase for event in run.events() if isinstance(event, PhaseStarted)}


def kill_all(home: Home) -> None:
    """End whatever is left of a home's runs."""
    for path in home.runs.iterdir():
        kill(JobDirectory(path))
