"""Trains in a process that may have little more memory than it begins with.

``python -m tests.training.little_memory BASE FOLDER MIB ACCUMULATION [NUMBER]`` prints, as JSON, the steps that were
done, why it could not go on, and each division of a batch that was told. With a number it does what the process of
that number among several does, which then says what it raises.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import sklearn.metrics  # noqa: F401 - as a run's process has long loaded it when it trains
import torch

from backend.errors import MemoryFull
from backend.jobs.events import Noted
from backend.jobs.ranks import Rank
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.training.errors import translate
from backend.training.fine_tuning import Schedule
from backend.training.rows import Rows
from tests.training.little_trainer import arguments_in, tuned_in

LENGTH, BATCH_SIZE, ROWS = 128, 256, 512


def main(base: Path, folder: Path, spare_mib: int, accumulation: int, number: int = 0) -> None:
    """Train one epoch of long texts."""
    torch.set_num_threads(1)
    texts = [f"fast delivery {number} " + "and late " * LENGTH for number in range(ROWS)]
    loaded = load_base(base, name="m", labels=["a", "b"], task="binary", max_length=LENGTH, seed=1)
    rows = Rows(encode(loaded.tokenizer, texts, LENGTH), np.arange(ROWS) % 2)
    few = Rows(encode(loaded.tokenizer, texts[:4], LENGTH), np.arange(4) % 2)
    rank = Rank(number, number + 1, number, number + 1)
    schedule = Schedule(patience=0, metric="f1_macro")
    arguments = arguments_in(folder / "out", batch_size=BATCH_SIZE, accumulation=accumulation)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    # The estimate looks at the machine's memory, which this limit is nothing to: what helps is what the system refuses.
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (spare_mib << 20), before[1]))
    try:
        context, outcome = tuned_in(folder, rank, loaded.model, rows, few, arguments=arguments, schedule=schedule)
    except (MemoryFull, MemoryError, RuntimeError) as error:
        worded = error if isinstance(error, MemoryFull) else translate(error)
        print(json.dumps({"raised": worded.to_dict()}))
        return
    resource.setrlimit(resource.RLIMIT_AS, before)
    told = [event for event in context.job.events() if isinstance(event, Noted) and event.code == "batch_divided"]
    failure = outcome.failure.to_dict() if outcome.failure else None
    print(json.dumps({"step": outcome.step, "failure": failure, "notes": [event.facts for event in told]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
