"""Processes that share a run: how they come to know something of each other. All of them must come to each of these."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from backend.errors import MachineGone, MachinesDiffer, StudioError
from backend.jobs.ranks import rank_of

LOOK_S = 0.5
REACHED_S = 5.0
"""Within which the place where machines meet answers."""
HERE, GONE = "studio/here/", "studio/gone/"
"""What is written there by each process that has come, and for each machine that will not, its number behind it."""


def await_others(check_stop: Callable[[], None]) -> None:
    """Wait until the processes of all machines have come so far: what follows could not be left while it waits.

    On one machine torchrun ends all processes where one has failed. Of another machine's it knows nothing.

    Raises:
        MachineGone: one of them has failed or was stopped on its way here.
        StopRequested: by ``check_stop``.
    """
    rank = rank_of(os.environ)
    if not rank.spans_machines:
        return
    here = [f"{HERE}{number}" for number in range(rank.processes)]
    machine, machines = (int(os.environ[name]) for name in ("GROUP_RANK", "GROUP_WORLD_SIZE"))
    others = [number for number in range(machines) if number != machine]
    try:
        store = _meeting_place(os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"])
        store.set(f"{HERE}{rank.number}", "")
        while not store.check(here):
            check_stop()
            for other in others:
                if store.check([f"{GONE}{other}"]):
                    raise MachineGone(machine=other)
            time.sleep(LOOK_S)
    except distributed.DistError as error:
        if machine == 0:
            raise
        raise MachineGone(machine=0) from error  # the store is machine 0's, and no longer there


def tell_gone(place: str, machine: int) -> None:
    """Tell the machines that wait for this one that it will not come. Nobody may be there any more to hear it.

    Args:
        place: ``host:port`` where they meet.
    """
    host, _, port = place.rpartition(":")
    with suppress(distributed.DistError):
        _meeting_place(host, port).set(f"{GONE}{machine}", "")


def _meeting_place(host: str, port: str) -> Any:
    """The store of machine 0's torchrun."""
    stores: Any = distributed
    return stores.TCPStore(host, int(port), is_master=False, timeout=timedelta(seconds=REACHED_S))


def begin_talking(device: torch.device, wait_s: float) -> None:
    """Have the processes of a processor, if there are several, wait for each other so long: Trainer, which would have
    them talk as well, gives that to the processes of cards alone."""
    if device.type == "cpu" and not rank_of(os.environ).alone and not distributed.is_initialized():
        distributed.init_process_group("gloo", timeout=timedelta(seconds=wait_s))


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


def gathered(mine: Sequence[Any]) -> list[Any]:
    """What all processes have to say, one after the other; what they say must be small, and can be pickled."""
    told: list[Any] = [list(mine)] * distributed.get_world_size()
    distributed.all_gather_object(told, list(mine))
    return [each for said in told for each in said]


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Give every process the mean of all processes' gradients, which each has computed by itself."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    # What a process passed over in its batch has no gradient there, while the others have one.
    had = torch.tensor([parameter.grad is not None for parameter in trained], dtype=torch.uint8)
    had = had.to(trained[0].device)
    distributed.all_reduce(had, distributed.ReduceOp.MAX)
    sent = []
    for parameter in (each for each, anywhere in zip(trained, had.tolist(), strict=True) if anywhere):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        sent.append(distributed.all_reduce(parameter.grad.mul_(1 / distributed.get_world_size()), async_op=True))
    for each in sent:
        each.wait()


def fail_together(failed: StudioError | None) -> None:
    """Raise what has failed in any of the processes in all of them; on other machines that this one is gone.

    Raises:
        StudioError: ``failed``, or another process's of this machine.
        MachineGone: it was on another machine.
    """
    machine = int(os.environ.get("GROUP_RANK", 0))
    told: list[Any] = [(machine, failed.to_dict() if failed else None)]
    if distributed.is_initialized():
        told = told * distributed.get_world_size()
        distributed.all_gather_object(told, told[0])
    for where, error in told:
        if error is not None:
            raise failed or (StudioError.from_dict(error) if where == machine else MachineGone(machine=where))


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


if __name__ == "__main__":
    tell_gone(sys.argv[1], int(sys.argv[2]))
