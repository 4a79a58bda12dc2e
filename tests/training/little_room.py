"""One of several processes that learn together, with room for a few texts at one time.

``python -m tests.training.little_room BASE FOLDER TEXTS PASS ACCUMULATION``, with the environment that torchrun gives
its processes, prints, as JSON, the steps that were done, and in how many of them gradients were exchanged only when
all were there, each division of a batch that was told, and the norm of each weight. PASS is the one in which there is
no room for more texts, ``forward`` or ``backward``; with 0 texts there is room in both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.jobs.events import Noted
from backend.jobs.ranks import rank_of
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.training import together
from backend.training.fine_tuning import Schedule
from backend.training.rows import Rows
from tests.training.little_trainer import arguments_in, tuned_in

LENGTH, BATCH_SIZE, BATCHES = 16, 8, 12


def leave_little_room(layer: torch.nn.Module, texts: int, named: str) -> None:
    """Have the layer's pass fail as an allocation does that is refused, where it is of more texts."""

    def look(_layer: torch.nn.Module, tensors: Any) -> None:
        if len(tensors[0]) > texts:
            raise torch.OutOfMemoryError(f"no room for {len(tensors[0])} texts")

    if named == "forward":
        layer.register_forward_pre_hook(look)
    else:
        layer.register_full_backward_pre_hook(look)


def main(base: Path, folder: Path, texts: int, named: str, accumulation: int) -> None:
    """Train one epoch, of shorter and longer texts."""
    torch.set_num_threads(1)
    rank = rank_of(os.environ)
    loaded = load_base(base, name="m", labels=["a", "b"], task="binary", max_length=LENGTH, seed=1)
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):  # whose random numbers depend on the division
            module.p = 0.0
    numbers = range(BATCHES * BATCH_SIZE * rank.processes)
    rows = Rows(
        encode(loaded.tokenizer, [f"fast delivery {n} " + "soup " * (n % 9) for n in numbers], LENGTH),
        np.arange(len(numbers)) % 2,
    )
    few = Rows(encode(loaded.tokenizer, ["too salty", "great soup"], LENGTH), np.arange(2) % 2)
    if texts:
        leave_little_room(loaded.model.bert.encoder.layer[1], texts, named)
    exchanged, average = [], together.average_gradients

    def counting(parameters: Iterable[torch.nn.Parameter]) -> None:
        exchanged.append(average(parameters))

    together.average_gradients = counting
    arguments = arguments_in(folder / "out", batch_size=BATCH_SIZE, accumulation=accumulation)
    schedule = Schedule(patience=0, metric="f1_macro", batching="random")
    context, outcome = tuned_in(folder, rank, loaded.model, rows, few, arguments=arguments, schedule=schedule)
    notes = [event.facts for event in context.job.events() if isinstance(event, Noted)]
    norms = [float(weight.detach().double().norm()) for weight in loaded.model.parameters()]
    told = [facts["rows"] for facts in notes if "rows" in facts]
    print(json.dumps({"steps": outcome.step, "apart": len(exchanged), "at_once": told, "norms": norms}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
