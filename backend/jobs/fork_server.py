"""The process that forks others from what it has loaded: its loop, and what a forked process does first.

A job's supervisor is forked, and forks the worker: what they are to each other, to the job's lock and to the system is
what ordinary ones are. A process that somebody holds (`backend.jobs.forking.fork`) is forked by a keeper, which tells
how it ended, and ends it with whoever holds it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.jobs.forking import AGREED, ANSWER_S, BEGUN, UNSUITED
from backend.jobs.platform import end_with_connection
from backend.jobs.supervisor import Worker

READ_LATE = (
    "HF_TOKEN",
    "COLUMNS",
    "LINES",
    "OLDPWD",
    "PWD",
    "SHLVL",
    "TERM",
    "_",
    "KMP_DUPLICATE_LIB_OK",
    "KMP_INIT_AT_FORK",
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY",
)
"""Variables that libraries read when they need them, or never, or set themselves (those of OpenMP when scikit-learn is
loaded, oneDNN's when something is computed), besides those of `OWN`; any other may have decided how what is loaded was
loaded."""
OWN = "STUDIO_"
LONGEST_REQUEST = 1 << 18
REQUEST_S = 1.0
"""How long the server waits for a request, once somebody is there."""


@dataclass(frozen=True)
class Loaded:
    """What the server has loaded."""

    modules: Collection[str]
    """Those that can be done by a process forked from it."""
    environ: Mapping[str, str]
    """The environment in which it began to load."""
    read_late: Sequence[str] = ()
    """Names of variables that may differ, besides `READ_LATE`."""
    serves: Callable[[Path], bool] = lambda folder: True
    """Whether a job, known by its folder, would load the same."""

    def suits(self, module: str, folder: Path, environ: Mapping[str, str]) -> bool:
        """Whether a process for this module and job, with this environment, would have loaded the same."""
        alike = self._read_early(environ) == self._read_early(self.environ)
        return module in self.modules and alike and self.serves(folder)

    def _read_early(self, environ: Mapping[str, str]) -> dict[str, str]:
        late = {*READ_LATE, *self.read_late}
        return {name: value for name, value in environ.items() if name not in late and not name.startswith(OWN)}


@dataclass(frozen=True)
class Asked:
    """What a forked process is to do, in its folder."""

    module: str
    folder: Path
    lock: int | None
    """The descriptor of the job's lock; None where the process is held by whoever asks, and ends with them."""
    connection: socket.socket
    """To whoever asks."""


def serve(address: str, loaded: Loaded) -> Asked | None:
    """Fork a process for each request, and return in it; None in the server itself, once its parent is gone.

    Args:
        address: a path for the socket, in a folder that is the server's own.

    Raises:
        RuntimeError: what is loaded has started threads.
    """
    _check_threads()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # how they end is not asked for
    hidden = f"{address}-"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(hidden)
        listener.listen(64)
        os.rename(hidden, address)  # it is found from now on
        while 0 not in select.select([listener.fileno(), 0], [], [])[0]:  # its input ends with whoever started it
            connection, _ = listener.accept()
            connection.settimeout(REQUEST_S)
            asked = _forked(connection, loaded)
            if asked is not None:
                return asked
            connection.close()
    with suppress(OSError):  # whoever started it has tidied up
        os.unlink(address)
        os.rmdir(Path(address).parent)
    return None


def _check_threads() -> None:
    """A fork holds one thread alone: what others of a library have locked would stay so."""
    if (threads := len(os.listdir("/proc/self/task"))) > 1:
        raise RuntimeError(f"what is loaded has started threads ({threads - 1}): no process can be forked from it")


def _forked(connection: socket.socket, loaded: Loaded) -> Asked | None:
    """What is asked for, in the process that is forked for it; None in the server."""
    held: list[int] = []
    try:
        message, held, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, 2)
        if not message:  # who asked is gone
            return None
        request = json.loads(message)
        if not loaded.suits(request["module"], Path(request["folder"]), request["environ"]):
            connection.send(UNSUITED)
        elif os.fork() == 0:
            return _begun(request, held, connection)
    except (OSError, ValueError, LookupError):  # who asks hears nothing, and starts an ordinary one
        traceback.print_exc()
    for descriptor in held:
        os.close(descriptor)
    return None


def _begun(request: dict[str, Any], held: list[int], connection: socket.socket) -> Asked:
    """What this process, just forked, is to do, once whoever asks agrees; else it is gone: they do without it."""
    try:
        asked = _become(request, held, connection)
        connection.settimeout(ANSWER_S)
        connection.send(BEGUN)
        agreed = connection.recv(1) == AGREED
        connection.settimeout(None)
    except (OSError, ValueError, LookupError):  # the job's folder is gone, or nobody waits any more
        traceback.print_exc()
        os._exit(1)
    if not agreed:
        os._exit(1)
    return asked


def _become(request: dict[str, Any], held: list[int], connection: socket.socket) -> Asked:
    """Make this process what an ordinary one would be that was started for the request."""
    log, *locks = held
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["environ"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, meant in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, meant)
    for descriptor in (nothing, log):
        os.close(descriptor)
    os.chdir(request["folder"])
    return Asked(request["module"], Path(request["folder"]), locks[0] if locks else None, connection)


@dataclass(frozen=True)
class Forked:
    """A child that was forked."""

    pid: int

    def wait(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def fork_in_group(main: Callable[[], int], arguments: Sequence[str]) -> Forked:
    """Start a child with a group of its own, in which ``main`` is run with these arguments of the process.

    What ``main`` raises there ends the child as it would end any program. It has all that is open here.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        with suppress(OSError):  # it has done so itself
            os.setpgid(child, child)
        return Forked(child)
    os.setpgid(0, 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    sys.argv = list(arguments)
    sys.exit(main())


def keep(connection: socket.socket, start: Callable[[], Worker]) -> None:
    """Start a child, tell whoever asked for it how it ended, and end with them: it must end with this process then.

    Args:
        start: starts the child, which must not have the connection.
    """
    child = start()
    end_with_connection(connection.fileno())
    if select.select([connection], [], [], 0)[0]:  # it was closed before
        return
    status = child.wait()
    with suppress(OSError):  # nobody wants to know any more
        connection.send(str(status).encode())
