"""The report job: ``python -m backend.data.describer JOB``. Does the chosen steps and describes what they leave."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from backend.data.datasets import dataset_folder, load_profile, report_key
from backend.data.importer import limit_memory, limited_time, report_progress, too_large
from backend.data.pipeline import make_report, write_report
from backend.data.preparing import Surroundings
from backend.jobs.process import JobContext, run_job
from backend.settings import Home
from backend.specs import Choices
from backend.steps import DropDuplicates

EMBEDDINGS = "embeddings"


def describe_choices(context: JobContext) -> dict[str, Any]:
    """Make the report that the spec asks for; the result is ``{"dataset", "report"}``, the report's key.

    Raises:
        DatasetMissing, DataError: what was asked for is not there, or will not do.
    """
    home, choices = Home(Path(context.spec["home"])), Choices(**context.spec["choices"])
    dataset = choices.data.dataset
    steps = (step for step in choices.prepare.steps if isinstance(step, DropDuplicates))
    if not any(step.on and step.by == "semantic" for step in steps):  # torch addresses more than it uses
        limit_memory(context.spec.get("memory_bytes"))
    folder, profile = dataset_folder(home, dataset), load_profile(home, dataset)
    # As long as it takes: who waits sees how far it is, and can stop it at any moment.
    with context.phase("profiling"), limited_time(profile["file"], math.inf, context):
        try:
            report = make_report(folder, profile, choices, surroundings(context, folder))
        except MemoryError as error:
            raise too_large(profile["file"]) from error
        context.check_stop()
        write_report(folder, report, choices)
    return {"dataset": dataset, "report": report_key(choices)}


def surroundings(context: JobContext, folder: Path) -> Surroundings:
    """Where steps of this job keep embeddings, and to whom they tell their progress."""

    def tell(done: int, total: int) -> None:
        context.check_stop()
        context.progress(done, total, unit="texts")

    return Surroundings(folder / EMBEDDINGS, tell, report_progress(context))


if __name__ == "__main__":
    sys.exit(run_job(describe_choices))
