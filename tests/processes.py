"""Processes of jobs: which are alive, how they are ended, and waiting for what they do."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from backend.jobs.directory import JobDirectory

SUPERVISOR, WORKER = "backend.jobs.supervisor", "backend.worker"
PATIENCE_S = 240.0


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def until(condition: Callable[[], Any], what: str = "", patience_s: float = PATIENCE_S) -> Any:
    """Wait for the condition to hold; its value."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what or condition}"
        time.sleep(0.05)
    return found


def processes_of(job: JobDirectory, module: str = "") -> list[psutil.Process]:
    """The living processes that do this job, or those of them that run the module.

    One that has ended and waits for its parent to look has no command line any more.
    """
    return [
        process for process, command in commands() if str(job.path) in command and (not module or module in command)
    ]


def processes_of_trials(lab: JobDirectory) -> list[psutil.Process]:
    """The living processes that try a way of this lab."""
    folder = lab.path / "trials"
    if not folder.exists():
        return []
    return [process for path in folder.iterdir() for process in processes_of(JobDirectory(path), "backend.lab.trial")]


def rank_in(process: psutil.Process) -> int | None:
    """Where a process stands among those that train: a forked one has it in its title, others in their environment."""
    title = " ".join(process.cmdline())
    if (found := re.search(r"rank=(\d+)", title)) is not None:
        return int(found.group(1))
    environ = process.environ()
    return int(environ["RANK"]) if "RANK" in environ else None


def commands() -> Iterator[tuple[psutil.Process, list[str]]]:
    """The living processes with the words of their commands, which are one word of those that were forked."""
    for process in psutil.process_iter(["cmdline", "ppid"]):
        yield process, " ".join(process.info["cmdline"] or []).split()


@contextmanager
def held(process: psutil.Process) -> Iterator[None]:
    """The process goes no further within the block."""
    process.suspend()
    try:
        yield
    finally:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def kill(job: JobDirectory, *modules: str) -> None:
    """End the job's processes of these modules at once, which must be there; without any, whatever is left of it."""
    for module in modules or ("",):
        found = processes_of(job, module)
        assert found or not module, f"nothing runs {module}"
        for process in found:
            with suppress(psutil.NoSuchProcess):  # a worker ends with its supervisor
                process.kill()
