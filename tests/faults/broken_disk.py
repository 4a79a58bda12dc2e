"""A disk that breaks at one call of a durable write: the process ends there, or the system says ENOSPC or EIO.

``python -m tests.faults.broken_disk OPERATION MODE FOLDER`` does the operation once for each call that it makes, each
time in a folder of its own and with another call breaking, and prints what was told of each as JSON.
"""

from __future__ import annotations

import builtins
import errno
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.jobs import files
from backend.jobs.directory import JobDirectory
from backend.jobs.events import EventLog, PhaseStarted

OLD, NEW = b"what was there\n" * 400, b"what is to be there\n" * 500
CRASHED = 77
CALLS = ("open", "write", "fsync", "replace", "ftruncate", "unlink", "mkdir")


class Disk:
    """Counts the calls to the system, and breaks at one of them."""

    def __init__(self, mode: str, point: int) -> None:
        self.mode, self.point, self.calls = mode, point, 0

    def install(self) -> None:
        """Have all calls of this process go through here from now on."""
        for name in CALLS:
            setattr(os, name, self.watched(getattr(os, name), half=self._half_a_write if name == "write" else None))
        opened = builtins.open

        def watched_open(file: Any, mode: str = "r", *args: Any, **more: Any) -> Any:
            if set(mode) & set("xwa+"):
                return WatchedStream(self.watched(opened)(file, mode, *args, **more), self)
            return opened(file, mode, *args, **more)

        builtins.open = watched_open  # type: ignore[assignment]

    def watched(self, real: Callable[..., Any], half: Callable[..., None] | None = None) -> Callable[..., Any]:
        """The call, which may break; ``half`` is what it has done by then."""

        def call(*args: Any, **more: Any) -> Any:
            self.calls += 1
            if self.calls == self.point:
                if half is not None:
                    half(real, *args)
                if self.mode == "crash":
                    os._exit(CRASHED)
                raise OSError(getattr(errno, self.mode), os.strerror(getattr(errno, self.mode)))
            return real(*args, **more)

        return call

    @staticmethod
    def _half_a_write(real: Callable[..., int], descriptor: int, content: Any) -> None:
        real(descriptor, bytes(content)[: len(content) // 2])


class WatchedStream:
    """An open file of which a write may break in the middle."""

    def __init__(self, stream: Any, disk: Disk) -> None:
        self._stream = stream
        self.write = disk.watched(stream.write, half=self._half)
        self.flush = disk.watched(stream.flush)

    def _half(self, write: Callable[[bytes], int], content: bytes) -> None:
        write(content[: len(content) // 2])
        self._stream.flush()

    def fileno(self) -> int:
        """Of the file itself."""
        number: int = self._stream.fileno()
        return number

    def __enter__(self) -> WatchedStream:
        return self

    def __exit__(self, *told: object) -> None:
        self._stream.close()


def prepare(folder: Path) -> None:
    """What is there before."""
    (folder / "file").write_bytes(OLD)
    (folder / "finished").write_bytes(NEW)
    (folder / "whole").mkdir()
    for name in ("a", "b"):
        (folder / "whole" / name).write_bytes(NEW)
    (folder / "runs").mkdir()
    log = EventLog(folder / "events.jsonl")
    log.write(PhaseStarted("reading"))
    log.close()


def _write_event(folder: Path) -> None:
    EventLog(folder / "events.jsonl").write(PhaseStarted("training"))


def _make_job(folder: Path) -> None:
    JobDirectory.create(folder / "runs", kind="train", module="none", spec={"asked": 1})


OPERATIONS: dict[str, Callable[[Path], None]] = {
    "replace": lambda folder: files.write_bytes(folder / "file", NEW),
    "new": lambda folder: files.write_bytes(folder / "other", NEW),
    "document": lambda folder: files.write_json(folder / "document.json", {"text": "文本" * 5000}),
    "place_file": lambda folder: files.place(folder / "finished", folder / "file"),
    "place_folder": lambda folder: files.place(folder / "whole", folder / "model"),
    "move": lambda folder: files.move(folder / "finished", folder / "runs" / "file"),
    "touch": lambda folder: files.touch(folder / "stop"),
    "event": _write_event,
    "job": _make_job,
}


def attempt(operation: str, folder: Path, disk: Disk) -> dict[str, Any]:
    """What is told of the operation in a process of its own."""
    folder.mkdir()
    prepare(folder)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        answer, leave = os.write, os._exit
        disk.install()
        raised = None
        try:
            OPERATIONS[operation](folder)
        except OSError as error:
            raised = error.errno
        answer(writing, json.dumps({"raised": raised, "calls": disk.calls}).encode())
        leave(0)
    os.close(writing)
    with open(reading, "rb") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"status": status, **(json.loads(said) if said else {})}


def main(operation: str, mode: str, folder: Path) -> None:
    """Break each call in turn."""
    calls = attempt(operation, folder / "0", Disk(mode, 0))["calls"]
    told = [attempt(operation, folder / f"{point}", Disk(mode, point)) for point in range(1, calls + 1)]
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
