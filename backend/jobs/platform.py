"""What systems do differently: ending with a parent, adopting what it leaves behind, ending all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

LOOK_S = 1.0
ENDING_S = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux: prctl(2)


def end_with_parent() -> None:
    """End this process when the one that started it is gone: nobody else would end it, or tell how it ended."""
    parent = os.getppid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # at once, and for what takes this process's place by exec too

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=look, name="parent", daemon=True).start()


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, on Linux."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def wait_unreaped(child: int) -> None:
    """Wait until the child has ended, and leave its number to it: where the system can, it is not reaped yet."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def end_descendants(group: int) -> None:
    """End the group of this child and every other process that descends from this one, and wait for those others.

    Args:
        group: the number of a child and of its process group. How it ended is for its parent to ask.
    """
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    everyone = psutil.Process().children(recursive=True)
    for process in everyone:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs([process for process in everyone if process.pid != group], timeout=ENDING_S)


def memory_kills() -> int:
    """How many processes this system has ended because its memory, or that of a group, was at its end; 0 if unknown."""
    try:
        lines = Path("/proc/vmstat").read_text("ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
