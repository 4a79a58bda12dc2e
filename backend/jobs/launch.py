"""Starting a job: a supervisor process in a session of its own, which outlives the studio and every browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from backend.jobs.directory import JobDirectory
from backend.jobs.forking import VARIABLE, ForkServer, begin, can_fork
from backend.jobs.platform import start_holding

PROJECT = Path(__file__).resolve().parents[2]
"""The folder that holds the ``backend`` package: where its modules are found by name."""

FORK_SERVER_MODULE = "backend.warm"


def launch(
    job: JobDirectory,
    *,
    environ: Mapping[str, str] | None = None,
    first: Callable[[], None] = lambda: None,
    wait_s: float = 0.0,
) -> None:
    """Start the job's module under a supervisor and return at once.

    ``first`` is done before, while nobody else can start the job. Raises ``BlockingIOError`` if it is alive,
    and still so after ``wait_s``.

    ``environ`` adds to this process's environment: secrets a job needs go this way, never into its folder.
    The job's lock is taken here and handed over, so the job counts as alive from this moment without a gap.
    """
    with job.locked(wait_s) as descriptor, open(job.log_path, "ab") as log:
        first()
        environment = child_environment(environ or {})
        if begin(job.description["module"], job.path, descriptor, log.fileno(), environment):
            return
        start_holding(
            descriptor,
            [sys.executable, "-m", "backend.jobs.supervisor", str(job.path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=job.path,
            env=environment,
        )


@contextmanager
def fork_server(*, read_late: Sequence[str] = ()) -> Iterator[ForkServer | None]:
    """A process from which those of runs are forked, within the block; None where this machine does not allow it, or
    the environment names one, or names none on purpose.

    Args:
        read_late: names of variables that nothing which is loaded reads; see `ForkServer`.
    """
    if VARIABLE in os.environ or not can_fork():
        yield None
        return
    server = ForkServer(FORK_SERVER_MODULE, child_environment({}), read_late=read_late)
    os.environ[VARIABLE] = server.address
    try:
        yield server
    finally:
        del os.environ[VARIABLE]
        server.close()


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with ``extra``, in which ``python -m backend.…`` is found from any folder."""
    environment = {**os.environ, **extra}
    paths = [str(PROJECT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    environment["PYTHONUNBUFFERED"] = "1"
    # Threads that wait for each other sleep instead of spinning: on cores shared with a browser or a second run,
    # spinning made a training step nine times slower. NumPy's own threads spin whatever they are told, and sparse
    # matrices gain nothing from them.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    return environment
