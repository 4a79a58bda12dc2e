"""The process from which those of runs are forked: ``python -m backend.warm SOCKET NAME...``, started by the studio.

It has loaded what a run loads, and computes nothing: threads of a computation, and a card, do not survive a fork.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import setproctitle

from backend.environment import prepare_environment
from backend.errors import SpecError
from backend.imports import without_collecting
from backend.jobs.directory import JobDirectory
from backend.jobs.fork_server import Asked, Loaded, fork_in_group, keep, serve
from backend.jobs.supervisor import Worker, supervise
from backend.specs import RunSpec, build_spec

MODULES = ("backend.worker", "backend.lab.laboratory", "backend.lab.trial")
LOADED = (
    *MODULES,
    "backend.training.setup",
    "backend.training.finishing",
    "backend.evaluation.baselines",
    "backend.lab.bench",
)


def load() -> None:
    """Import what most runs need."""
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"  # the only thread that these libraries would start
    prepare_environment(RunSpec())
    with without_collecting():
        for module in LOADED:
            importlib.import_module(module)


def start_worker(job: JobDirectory, held: Sequence[int] = (), *, connection: socket.socket | None = None) -> Worker:
    """Fork the job's worker, with the ``held`` descriptors and without the ``connection``."""
    for descriptor in held:
        os.set_inheritable(descriptor, True)  # by what takes the worker's place, too
    arguments = [job.description["module"], str(job.path), str(os.getpid())]

    def main() -> int:
        if connection is not None:
            connection.close()
        setproctitle.setproctitle(" ".join(["python", "-m", *arguments]))
        np.random.seed()  # as an ordinary one draws other numbers than the next; Python's own generator sees to that
        status: int = importlib.import_module(arguments[0]).main()
        return status

    return fork_in_group(main, arguments)


def loads_the_same(folder: Path) -> bool:
    """Whether the job's worker would load what is loaded here; one that becomes several processes can leave it."""
    asked = JobDirectory(folder).spec
    try:
        spec = build_spec(asked.get("run", asked))
    except SpecError:  # as the worker then says
        return False
    return spec.adapting.adapter == "none" or spec.compute.together > 1


def do(asked: Asked) -> None:
    """Be the supervisor of a job, or the keeper of somebody's process."""
    job = JobDirectory(asked.folder)
    if asked.lock is None:
        setproctitle.setproctitle(f"python -m backend.jobs.fork_server {job.path}")
        keep(asked.connection, lambda: start_worker(job, connection=asked.connection))
    else:
        asked.connection.close()
        setproctitle.setproctitle(f"python -m backend.jobs.supervisor {job.path} {asked.lock}")
        supervise(job, asked.lock, start_worker)


def main() -> None:
    """Serve; in each process that is forked, do what was asked for."""
    address, *read_late = sys.argv[1:]
    environ = dict(os.environ)
    setproctitle.setproctitle(f"python -m backend.warm {address}")  # can be changed only if so before the environment
    load()
    try:
        asked = serve(address, Loaded(MODULES, environ, read_late, loads_the_same))
    except (RuntimeError, OSError) as error:
        sys.exit(f"The processes of runs are started and not forked: {error}")
    if asked is not None:
        do(asked)


if __name__ == "__main__":
    main()
