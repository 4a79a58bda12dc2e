"""Trains in a process that may have little more memory than it begins with.

``python -m tests.training.little_memory BASE FOLDER MIB ACCUMULATION`` prints, as JSON, the steps that were done, why
it could not go on, and each division of a batch that was told.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from backend.jobs.directory import JobDirectory
from backend.jobs.events import Noted
from backend.jobs.process import JobContext
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.training import fine_tuning
from backend.training.losses import ClassificationLoss
from backend.training.rows import Rows
from tests.training.little_trainer import arguments_in

LENGTH, BATCH_SIZE, ROWS = 128, 256, 512


def main(base: Path, folder: Path, spare_mib: int, accumulation: int) -> None:
    """Train one epoch of long texts."""
    torch.set_num_threads(1)
    texts = [f"fast delivery {number} " + "and late " * LENGTH for number in range(ROWS)]
    loaded = load_base(base, name="m", labels=["a", "b"], task="binary", max_length=LENGTH, seed=1)
    rows = Rows(encode(loaded.tokenizer, texts, LENGTH), np.arange(ROWS) % 2)
    few = Rows(encode(loaded.tokenizer, texts[:4], LENGTH), np.arange(4) % 2)
    context = JobContext(JobDirectory.create(folder, kind="test", module="none", spec={}))
    arguments = arguments_in(folder / "out", batch_size=BATCH_SIZE, accumulation=accumulation)
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    # The estimate looks at the machine's memory, which this limit is nothing to: what helps is what the system refuses.
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (spare_mib << 20), before[1]))
    outcome = fine_tuning.fine_tune(
        context,
        loaded.model,
        task="binary",
        train=rows,
        validation=few,
        arguments=arguments,
        schedule=fine_tuning.Schedule(patience=0, metric="f1_macro"),
        loss=ClassificationLoss(),
        data={},
    )
    resource.setrlimit(resource.RLIMIT_AS, before)
    told = [event for event in context.job.events() if isinstance(event, Noted) and event.code == "batch_divided"]
    failure = outcome.failure.to_dict() if outcome.failure else None
    print(json.dumps({"step": outcome.step, "failure": failure, "notes": [event.facts for event in told]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
