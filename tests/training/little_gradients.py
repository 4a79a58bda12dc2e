"""Two processes that average gradients which not both of them have.

``python -m tests.training.little_gradients FOLDER``: it computes nothing before it forks them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import distributed

from backend.training.together import average_gradients


def average(number: int, folder: str) -> None:
    """Be one of two processes; the averages go into the folder."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    both, first_alone, none, frozen = (torch.nn.Parameter(torch.zeros(2), requires_grad=n < 3) for n in range(4))
    both.grad = torch.full((2,), 2.0 + 2 * number)
    if number == 0:
        first_alone.grad = torch.full((2,), 8.0)
    average_gradients([both, first_alone, none, frozen])
    found = [None if each.grad is None else each.grad.tolist() for each in (both, first_alone, none, frozen)]
    Path(folder, f"found-{number}").write_text(repr(found), "utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    torch.multiprocessing.start_processes(average, args=(sys.argv[1],), nprocs=2, start_method="fork")
