"""Processes that share a run: how they come to know something of each other. All of them must come to each of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import distributed

from backend.errors import MachinesDiffer


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
