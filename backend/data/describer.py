"""The report job: ``python -m backend.data.describer JOB``. Describes columns that the user chose."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

from backend.data.datasets import dataset_folder, load_profile, load_table, report_key
from backend.data.describing import describe
from backend.data.importer import limit_memory, write_report
from backend.errors import ColumnMissing, TooLarge
from backend.jobs.process import JobContext, run_job
from backend.settings import Home


def describe_columns(context: JobContext) -> dict[str, Any]:
    """Make the report that the spec asks for; the result is ``{"dataset", "report"}``, the report's key.

    Raises:
        DatasetMissing, ColumnMissing, SameColumn: what was asked for is not there.
    """
    spec = context.spec
    home, dataset = Home(Path(spec["home"])), spec["dataset"]
    limit_memory(spec.get("memory_bytes"))
    with context.phase("profiling"):
        folder, profile = dataset_folder(home, dataset), load_profile(home, dataset)
        available = [column["name"] for column in profile["columns"]]
        for column in (spec["text"], spec["label"]):
            if column not in available:
                raise ColumnMissing(column=column, available=available)
        try:
            table = load_table(home, dataset, list({spec["text"], spec["label"]}))
            report = describe(table, spec["text"], spec["label"], spec["task"], spec["separator"], profile["notes"])
        except MemoryError as error:
            soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
            raise TooLarge(file=profile["file"], limit=f"{soft / 1e9:.1f} GB") from error
        context.check_stop()
        write_report(folder, report, spec["task"], spec["separator"])
    return {"dataset": dataset, "report": report_key(spec["text"], spec["label"], spec["task"], spec["separator"])}


if __name__ == "__main__":
    sys.exit(run_job(describe_columns))
