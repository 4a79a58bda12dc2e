"""Processes that share a run: how they come to know something of each other. All of them must come to each of these."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from backend.errors import MachineGone, MachinesDiffer
from backend.jobs.ranks import rank_of

LOOK_S = 0.5
REACHED_S = 5.0
"""Within which the place where machines meet answers."""
HERE, GONE = "studio/here/", "studio/gone/"
"""What is written there by each process, with its number behind it."""


def await_others(check_stop: Callable[[], None]) -> None:
    """Wait until the processes of all machines have come so far: what follows could not be left while it waits.

    On one machine torchrun ends all processes where one has failed. Of another machine's it knows nothing.

    A machine that ends without a word is noticed if it is machine 0; for any other one the user decides how long to
    wait.

    Raises:
        MachineGone: one of them has failed or was stopped on its way here.
        StopRequested: by ``check_stop``.
    """
    rank = rank_of(os.environ)
    if not rank.spans_machines:
        return
    here = [f"{HERE}{number}" for number in range(rank.processes)]
    first = rank.number - rank.local_number
    elsewhere = [n for n in range(rank.processes) if not first <= n < first + rank.local_processes]
    try:
        store = _meeting_place()
        store.set(f"{HERE}{rank.number}", "")
        while not store.check(here):
            check_stop()
            for number in elsewhere:
                if store.check([f"{GONE}{number}"]):
                    raise MachineGone(machine=int(store.get(f"{GONE}{number}")))
            time.sleep(LOOK_S)
    except distributed.DistError as error:
        if _machine() == 0:
            raise
        raise MachineGone(machine=0) from error  # the store is machine 0's, and no longer there


def tell_gone() -> None:
    """Tell those that wait on other machines that this process will not come; nothing once all have met."""
    rank = rank_of(os.environ)
    if rank.spans_machines and not distributed.is_initialized():
        _meeting_place().set(f"{GONE}{rank.number}", str(_machine()))


def _machine() -> int:
    """The number of this machine, as torchrun tells it."""
    return int(os.environ["GROUP_RANK"])


def _meeting_place() -> Any:
    """The store of machine 0's torchrun, which has told where it is."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    stores: Any = distributed
    return stores.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=REACHED_S))


def meet() -> None:
    """Wait for all processes, if there are several."""
    if distributed.is_initialized():
        distributed.barrier()


def all_agree(said: bool, device: torch.device) -> bool:
    """Whether every process says so."""
    if not distributed.is_initialized():
        return said
    told = torch.tensor(int(said), device=device)
    distributed.all_reduce(told, distributed.ReduceOp.MIN)
    return bool(told.item())


def check_alike(known: Mapping[str, Any]) -> None:
    """Whether all processes know the same: on several machines each has read a table of its own.

    Raises:
        MachinesDiffer: in all of them, naming the first entry that is not the same everywhere.
    """
    if not distributed.is_initialized():
        return
    told: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(told, dict(known))
    for name in known:
        if any(other[name] != told[0][name] for other in told):
            raise MachinesDiffer(changed=name)
