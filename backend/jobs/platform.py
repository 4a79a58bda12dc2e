"""What systems do differently: ending with a parent, adopting what it leaves behind, ending all of it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

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


def end_descendants(group: int) -> None:
    """End every process of the group and every other one that descends from this process, and wait until they are gone.

    Args:
        group: the number of a process group; where the system knows none, only descendants are ended.
    """
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    rest = psutil.Process().children(recursive=True)
    for process in rest:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(rest, timeout=ENDING_S)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
