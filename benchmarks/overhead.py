"""What the studio's own part of a training step costs: events, progress, hearing stops, looking at losses.

    python -m benchmarks.overhead [--rows N] [--json]

A run on the rbt3 shape (see `benchmarks.training_speed`) with random weights and waimai_10k, batch 64, under Python's
profiler: the time within the callbacks of `backend.training.callbacks`, as a share of the time within
`Trainer.train` without evaluations. The profiler slows Python down and matrix products not at all, so the true share
is smaller.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend import worker
from backend.data.datasets import dataset_of, start_import, wait
from backend.jobs.process import JobContext
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import build_spec
from benchmarks.training_speed import BATCH_SIZE, DATA, MAX_LENGTH, make_base

OWN = "training/callbacks.py"
TRAIN, EVALUATE = "_inner_training_loop", "_evaluate"


def main() -> None:
    """Run, and print the share."""
    parser = argparse.ArgumentParser(description="Share of a training step that the studio's callbacks take")
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        profile = measured(Path(folder), options.rows)
    figures = shares(pstats.Stats(profile))
    print(json.dumps(figures) if options.json else "  ".join(f"{name} {value:.4g}" for name, value in figures.items()))


def measured(folder: Path, rows: int) -> cProfile.Profile:
    """The profile of a whole run."""
    base, home = make_base(folder / "base", DATA), Home(folder / "home").prepare()
    job = start_import(home, DATA / "waimai_10k.csv")
    wait(job)
    data = {"source": "w", "dataset": dataset_of(job), "text_column": "review", "label_column": "label"}
    training = {"epochs": 1, "batch_size": BATCH_SIZE, "max_length": MAX_LENGTH}
    spec = {"data": data, "sample": {"rows": rows}, "model": {"base": str(base)}, "training": training}
    run = RunStore(home).create(build_spec(spec))
    profile = cProfile.Profile()
    profile.runcall(worker.train, JobContext(run))
    return profile


def shares(stats: pstats.Stats) -> dict[str, float]:
    """Seconds of training without evaluations, seconds in the studio's callbacks, and their share."""
    table: dict[tuple[str, int, str], tuple[int, int, float, float, dict[object, object]]] = stats.stats  # type: ignore[attr-defined]
    within = {name: max(entry[3] for key, entry in table.items() if key[2] == name) for name in (TRAIN, EVALUATE)}
    own = sum(entry[3] for key, entry in table.items() if key[0].endswith(OWN) and key[2].startswith("on_"))
    seconds = within[TRAIN] - within[EVALUATE]
    return {"training_s": seconds, "callbacks_s": own, "share": own / seconds}


if __name__ == "__main__":
    main()
