"""Starting processes from one that has loaded their libraries already: a fork server, on Linux.

To import torch, Transformers and scikit-learn takes longer than many a training; to fork a process that has imported
them takes milliseconds. The studio starts such a process (`ForkServer`), and all that it starts are told where it
listens by `VARIABLE`. Who starts a process asks there first, and starts an ordinary one where nobody answers: the
server still imports, or is gone, or has loaded something else than the process would.

A request is one message, with the descriptors that the process gets (`backend.jobs.fork_server` serves it).
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from backend.machine import available_memory, this_machine

VARIABLE = "STUDIO_FORK_SERVER"
BEGUN, UNSUITED, AGREED = b"1", b"0", b"+"
"""What a process that is forked says, what the server says instead, and what it hears before it does anything."""
ANSWER_S = 10.0
ROOM_BYTES = 3 * 1024**3
"""What must be free for a process that only waits, half a gigabyte large."""


def can_fork() -> bool:
    """Whether processes can be forked from a loaded one here: not where there is a card, whose driver does not survive
    it, and only where the system is Linux and memory is not scarce."""
    return sys.platform == "linux" and this_machine().device != "cuda" and available_memory() >= ROOM_BYTES


class ForkServer:
    """A process that runs ``python -m MODULE`` and forks others, as long as this one lives or until it is closed."""

    def __init__(self, module: str, environ: Mapping[str, str], *, read_late: Sequence[str] = ()) -> None:
        """Start it; it answers once it has loaded what it is to load.

        Args:
            environ: its environment, in which it loads, and so that of what it can start.
            read_late: names of variables that may differ nevertheless, besides those known to be read when needed.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="studio-"))  # nobody else may enter it, and so ask
        self.address = str(self._folder / "socket")
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, self.address, *read_late],
            stdin=subprocess.PIPE,
            env=dict(environ),
            cwd=self._folder,  # modules are looked for there first
            process_group=0,  # Ctrl-C is for who started it
        )

    @property
    def is_ready(self) -> bool:
        """Whether it answers."""
        return os.path.exists(self.address)

    @property
    def is_alive(self) -> bool:
        """Whether it loads or answers."""
        return self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The number of the process."""
        return self._process.pid

    def close(self) -> None:
        """End it; what it has forked goes on."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def begin(module: str, folder: Path, lock: int, log: int, environ: Mapping[str, str]) -> bool:
    """Have the job in this folder started under a supervisor, both forked; no if ordinary ones have to be started.

    Args:
        lock, log: the descriptors of the job's lock, which the supervisor holds from now on, and of its log.
        environ: their whole environment.
    """
    connection = _asked(module, folder, (log, lock), environ)
    if connection is None:
        return False
    connection.close()
    return True


def fork(module: str, folder: Path, log: int, environ: Mapping[str, str]) -> ForkedElsewhere | None:
    """A process for the job in this folder that ends with this one; None if an ordinary one has to be started."""
    connection = _asked(module, folder, (log,), environ)
    return ForkedElsewhere(connection) if connection else None


class ForkedElsewhere:
    """A process that was forked for this one, but is another's child: held as a `subprocess.Popen` is."""

    def __init__(self, connection: socket.socket) -> None:
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status. Raises ``subprocess.TimeoutExpired``."""
        status = self._look(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return status

    def kill(self) -> None:
        """End it at once."""
        if self.returncode is None:
            self.returncode = -signal.SIGKILL
            self._connection.close()  # as if this process had ended

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], timeout)[0]:
            told = self._connection.recv(16)  # nothing where who was to tell was ended himself
            self.returncode = int(told) if told else -signal.SIGKILL
            self._connection.close()
        return self.returncode


def _asked(module: str, folder: Path, held: Sequence[int], environ: Mapping[str, str]) -> socket.socket | None:
    """The connection to the process that has been forked; None where there is none."""
    address = environ.get(VARIABLE)
    if sys.platform != "linux" or not address:
        return None
    request = json.dumps({"module": module, "folder": str(folder), "environ": dict(environ)}).encode()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(address)
        socket.send_fds(connection, [request], list(held))
        if connection.recv(1) == BEGUN:
            connection.send(AGREED)
            connection.settimeout(None)
            return connection
    except OSError:  # there is no server, or none that answers; a process that begins too late hears that it is not to
        pass
    connection.close()
    return None
