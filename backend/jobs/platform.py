"""What systems do differently: locks, limits, processes that outlive their parent or end with it, and ending them.

Linux keeps all of the jobs' promise. macOS has no adoption of what is left behind. Windows hands no lock to a child,
which takes it over instead, and limits no memory; its ways are tested on Linux only, with stand-ins for what it has.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

try:
    import fcntl
    import resource
except ImportError:  # Windows
    import msvcrt

    POSIX = False
else:
    POSIX = True

LOOK_S = 1.0
LOCK_LOOK_S, LOCK_TRIES = 0.02, 3
END_LOOK_S = 0.1
TAKEN_OVER_S = 30.0
TO_LOOK_AT = os.O_RDONLY if POSIX else os.O_RDWR
"""How a file is opened to be locked or synced, not written."""
LOCKED, TAKEN_OVER = 0, 1  # bytes of a lock file on Windows: held by who took the lock, and by whom it was handed to
TAKES_IT = "-"
ENDING_S = 5.0
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux: prctl(2)


# -- locks: they belong to an open file, and end with the last process that has it open


def lock_file(descriptor: int, *, wait: bool = False, shared: bool = False) -> bool:
    """Lock the open file; False if another one holds it, which cannot be with ``wait``.

    Several may hold it ``shared`` at a time, for a moment: on Windows, which has no such lock, they take turns.
    """
    if POSIX:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
    tries = 0
    while not (_lock_byte(descriptor, LOCKED) and _is_free(descriptor, TAKEN_OVER)):
        _unlock_byte(descriptor, LOCKED)
        tries += 1
        if not wait and tries > LOCK_TRIES:  # who looks, holds it for a moment
            return False
        time.sleep(LOCK_LOOK_S)
    return True


def start_holding(lock: int, command: Sequence[str], **how: Any) -> None:
    """Start what outlives this process, its terminal and its signals, and holds the lock before this one lets it go.

    Its last argument, one more than ``command`` has, is for `lock_given`.
    """
    command = [*command, str(lock) if POSIX else TAKES_IT]
    how |= _inherited([lock]) | _new("start_new_session", True, "CREATE_NO_WINDOW")
    started = subprocess.Popen(command, **how)
    until = time.monotonic() + TAKEN_OVER_S
    while not POSIX and _is_free(lock, TAKEN_OVER) and started.poll() is None and time.monotonic() < until:
        time.sleep(LOCK_LOOK_S)


def lock_given(argument: str, path: Path) -> int:
    """The descriptor of the lock that this process was started to hold (`start_holding`): inherited, or taken over.

    Args:
        argument: the last one of this process.
        path: the file that is locked.
    """
    if argument != TAKES_IT:
        return int(argument)
    descriptor = os.open(path, os.O_RDWR)
    take_over(descriptor)
    return descriptor


def take_over(descriptor: int) -> None:
    """Hold the lock from now on that the process which started this one holds until then.

    Raises ``BlockingIOError`` if somebody else has taken it over, and keeps it.
    """
    until = time.monotonic() + TAKEN_OVER_S
    while not _lock_byte(descriptor, TAKEN_OVER):  # who looks, holds it for a moment
        if time.monotonic() > until:
            raise BlockingIOError("the lock is held by another process")
        time.sleep(LOCK_LOOK_S)


def _lock_byte(descriptor: int, byte: int) -> bool:
    os.lseek(descriptor, byte, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


def _unlock_byte(descriptor: int, byte: int) -> None:
    os.lseek(descriptor, byte, os.SEEK_SET)
    with suppress(OSError):  # it was not held
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]


def _is_free(descriptor: int, byte: int) -> bool:
    free = _lock_byte(descriptor, byte)
    if free:
        _unlock_byte(descriptor, byte)
    return free


# -- processes that are started


def start_in_group(command: Sequence[str], held: Sequence[int], **how: Any) -> subprocess.Popen[bytes]:
    """Start what has a group of its own (`end_descendants`), with the ``held`` descriptors where it can be."""
    return subprocess.Popen(command, **how, **_inherited(held), **_new("process_group", 0))


def _inherited(held: Sequence[int]) -> dict[str, Any]:
    return {"pass_fds": held} if POSIX else {}


def _new(name: str, value: Any, *more: str) -> dict[str, Any]:
    if POSIX:
        return {name: value}
    flags = (getattr(subprocess, flag) for flag in ("CREATE_NEW_PROCESS_GROUP", *more))
    return {"creationflags": sum(flags)}


# -- what this process takes, and may take


def memory_limit() -> int | None:
    """Bytes of addresses that this process may have; None: as many as it likes."""
    soft = resource.getrlimit(resource.RLIMIT_AS)[0] if POSIX else -1
    return None if soft < 0 or (POSIX and soft == resource.RLIM_INFINITY) else soft


def peak_memory() -> int:
    """Bytes of memory that this process has had at most since it began."""
    if POSIX:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    info: Any = psutil.Process().memory_info()
    return int(getattr(info, "peak_wset", info.rss))


def limit_memory(most_bytes: int) -> None:
    """Let this process address no more; nothing happens where the system limits none."""
    if POSIX:
        _lower(resource.RLIMIT_AS, most_bytes)


def limit_processor_time(most_s: int) -> None:
    """End this process after so many processor seconds; nothing happens where the system limits none."""
    if POSIX:
        _lower(resource.RLIMIT_CPU, most_s)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    with suppress(ValueError):  # macOS refuses some limits
        resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


@contextmanager
def limits_kept() -> Iterator[None]:
    """What is limited within the block is so no more after it."""
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU) if POSIX else ()
    before = {kind: resource.getrlimit(kind) for kind in kinds}
    try:
        yield
    finally:
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


@contextmanager
def looking(every_s: float, first_s: float, look: Callable[[], None]) -> Iterator[None]:
    """Call ``look`` in the main thread again and again, wherever it is; what it raises is raised there.

    Where the system has no such alarm it is called once, on leaving.
    """
    if not hasattr(signal, "setitimer"):
        yield
        look()
        return
    signal.signal(signal.SIGALRM, lambda _number, _frame: look())
    signal.setitimer(signal.ITIMER_REAL, first_s, every_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# -- processes that end


def end_with_parent(started_by: int | None = None) -> None:
    """End this process when the one that started it is gone: nobody else would end it, or tell how it ended.

    Args:
        started_by: its number, where it is known: it may be gone before this is asked for.
    """
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # at once, and for what takes this process's place by exec too
    parent = os.getppid()
    if POSIX and started_by not in (None, parent):
        os._exit(1)
    # On Windows the number of a parent stays what it was, and in a virtual environment it is that of a go-between.
    watched = started_by or parent

    def look() -> None:
        while os.getppid() == parent if POSIX else psutil.pid_exists(watched):
            time.sleep(LOOK_S)
        os._exit(1)

    threading.Thread(target=look, name="parent", daemon=True).start()


def end_with_connection(descriptor: int) -> None:
    """End this process by the system's signal for news on a connection, of which there is none but that it is closed.

    Only for Linux, as all that is forked. Who has closed it before is not noticed.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def adopt_orphans() -> None:
    """Become the parent of what this process's children leave behind, on Linux."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def wait_unreaped(child: int) -> None:
    """Wait until the child has ended, and leave its number to it: it is not reaped yet."""
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        return
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(child)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(END_LOOK_S)


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
