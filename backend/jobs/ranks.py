"""The processes of one job: where this one stands among them, as torchrun tells by the environment. Without torch.

Of the processes on a machine the first one *leads*: it alone writes to the job's folder, and what the others do not
tell or keep is the same there.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn


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


def torchrun_options(*, processes: int, machines: int, machine: int, rendezvous: str) -> list[str]:
    """What torchrun is told of so many processes on each of the machines, of which this is one."""
    each = ["--nproc-per-node", str(processes)]
    if machines == 1:  # they meet wherever there is a free port
        return [*each, "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "--rdzv-id", secrets.token_hex(8)]
    host, _, port = rendezvous.rpartition(":")
    return [*each, "--nnodes", str(machines), "--node-rank", str(machine), "--master-addr", host, "--master-port", port]


def become_several(arguments: Sequence[str], options: Sequence[str]) -> NoReturn:
    """Let torchrun take the place of this process; it starts a module with these arguments so many times.

    It keeps the process's number and open files: who waits for this process waits for all of them.
    """
    sys.stdout.flush()
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", *arguments]
    os.execv(sys.executable, command)
