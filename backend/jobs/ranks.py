"""The processes of one job: where this one stands among them, as torchrun tells by the environment. Without torch.

Of the processes on a machine the first one *leads*: it alone writes to the job's folder, and what the others do not
tell or keep is the same there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from backend.jobs.platform import end_with_parent


@dataclass(frozen=True)
class Rank:
    """One of a job's processes."""

    number: int = 0
    """Among all of them, on all machines."""
    processes: int = 1
    local_number: int = 0
    """Among those of this machine."""
    local_processes: int = 1

    @property
    def leads(self) -> bool:
        """Whether it is the one that writes on this machine."""
        return self.local_number == 0

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.processes == 1

    @property
    def spans_machines(self) -> bool:
        """Whether some of them are on other machines, where no torchrun of this one ends them."""
        return self.processes > self.local_processes


def rank_of(environ: Mapping[str, str]) -> Rank:
    """The process whose environment this is."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    if not all(name in environ for name in names):
        return Rank()
    return Rank(*(int(environ[name]) for name in names))


def become_several(
    module: str,
    folder: str,
    *,
    started_by: int | None,
    processes: int,
    machines: int,
    machine: int,
    rendezvous: str,
    threads: int,
) -> NoReturn:
    """Let torchrun take the place of this process; it starts the module so many times, each on the same folder.

    It keeps the process's number and open files: who waits for this process waits for all of them.
    """
    if machines == 1:
        where = ["--standalone"]
    else:
        host, _, port = rendezvous.rpartition(":")
        where = ["--nnodes", str(machines), "--node-rank", str(machine), "--master-addr", host, "--master-port", port]
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    run = [sys.executable, "-m", "torch.distributed.run", *where, "--nproc-per-node", str(processes)]
    sys.stdout.flush()
    end_with_parent(started_by)
    os.execve(sys.executable, [*run, "-m", module, folder], environ)
