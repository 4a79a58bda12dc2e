"""A disk that breaks at any call of a durable write: there is the old state or the new one, never a mix."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.event_reader import EventReader
from backend.jobs.events import EventLog, PhaseStarted
from tests.faults.broken_disk import CRASHED, NEW, OLD, OPERATIONS


def content(path: Path) -> bytes | None:
    """Of a file; None without one."""
    return path.read_bytes() if path.exists() else None


def files_in(folder: Path) -> dict[str, bytes] | None:
    """The files of a folder; None without one."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else None


def phases_in(path: Path) -> list[str]:
    """Of the events that a reader finds."""
    reader = EventReader(lambda attempt: path if attempt == 1 else path.with_name("none"))
    return [event.phase for event in reader.events() if isinstance(event, PhaseStarted)]


def look_at_folder(folder: Path) -> str:
    """The folder that is given its name."""
    found = files_in(folder / "model")
    return "old" if found is None else "new" if found == {"a": NEW, "b": NEW} else "mix"


def look_at_document(folder: Path) -> str:
    """The JSON file."""
    text = content(folder / "document.json")
    return "old" if text is None else {10_000: "new"}.get(len(json.loads(text)["text"]), "mix")


def look_at_move(folder: Path) -> str:
    """The file that changes its folder."""
    here, there = content(folder / "finished"), content(folder / "runs" / "file")
    return {(NEW, None): "old", (None, NEW): "new"}.get((here, there), "mix")  # type: ignore[arg-type]


def look_at_events(folder: Path) -> str:
    """What a reader makes of the events: whole ones only; and what a writer after the fault appends is read too."""
    path = folder / "events.jsonl"
    phases = phases_in(path)
    return {("reading",): "old", ("reading", "training"): "new"}.get(tuple(phases), "mix")


def look_at_job(folder: Path) -> str:
    """A new job, which is found when it is whole."""
    found = [path for path in (folder / "runs").iterdir() if is_job_id(path.name)]
    if not found:
        return "old"
    job = JobDirectory(found[0])
    return "new" if job.spec == {"asked": 1} and job.description["kind"] == "train" else "mix"


NAMED = {OLD: "old", NEW: "new"}
LOOKS: dict[str, Callable[[Path], str]] = {
    "replace": lambda folder: NAMED.get(content(folder / "file") or b"", "mix"),
    "new": lambda folder: {None: "old", NEW: "new"}.get(content(folder / "other"), "mix"),
    "document": look_at_document,
    "place_file": lambda folder: NAMED.get(content(folder / "file") or b"", "mix"),
    "place_folder": look_at_folder,
    "move": look_at_move,
    "touch": lambda folder: {None: "old", b"": "new"}.get(content(folder / "stop"), "mix"),
    "event": look_at_events,
    "job": look_at_job,
}


@pytest.mark.parametrize("mode", ["crash", "ENOSPC", "EIO"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_there_is_the_old_state_or_the_new_wherever_the_disk_breaks(tmp_path: Path, operation: str, mode: str) -> None:
    command = [sys.executable, "-m", "tests.faults.broken_disk", operation, mode, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    look, told = LOOKS[operation], json.loads(done.stdout)
    assert look(tmp_path / "0") == "new", "without a fault"
    assert len(told) >= 2, "there is something to break"
    found: Counter[str] = Counter()
    for point, end in enumerate(told, start=1):
        folder = tmp_path / f"{point}"
        state = look(folder)
        found[state] += 1
        assert state in ("old", "new"), (point, end)
        if mode == "crash":
            assert end == {"status": CRASHED}
        else:
            assert (end["status"], end["raised"]) == (0, getattr(errno, mode)), f"call {point} broke and nobody said so"
            left = [path for path in folder.rglob("*") if path.name.endswith(".tmp") or path.name.startswith(".2")]
            assert left == [], "nothing half done is left"
            assert state == "old" or operation != "job", "what was said to have failed is not there"
    assert found["old"], "a write that broke at its first call has not happened"


def test_events_after_a_torn_one_are_read(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.broken_disk", "event", "ENOSPC", str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)
    for folder in tmp_path.iterdir():
        EventLog(folder / "events.jsonl").write(PhaseStarted("saving"))
        assert phases_in(folder / "events.jsonl")[-1] == "saving"
