"""Processes of jobs: which are alive, how they are ended, and waiting for what they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from backend.jobs.directory import JobDirectory

SUPERVISOR, WORKER = "backend.jobs.supervisor", "backend.worker"
PATIENCE_S = 240.0


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
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(job.path) in command and (not module or module in command):
            found.append(process)
    return found


def kill(job: JobDirectory, *modules: str) -> None:
    """End the job's processes of these modules at once, which must be there; without any, whatever is left of it."""
    for module in modules or ("",):
        found = processes_of(job, module)
        assert found or not module, f"nothing runs {module}"
        for process in found:
            with suppress(psutil.NoSuchProcess):  # a worker ends with its supervisor
                process.kill()
