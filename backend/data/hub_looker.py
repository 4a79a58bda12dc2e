"""A first look at a data set of the Hub: ``python -m backend.data.hub_looker JOB``. Reads a few rows, not the files.

Of Parquet that is the footer and the first rows by ranges of bytes; of other formats the beginning of the first file.
"""

from __future__ import annotations

import os
from typing import Any

from backend.data.hub_cells import holds_text
from backend.data.hub_datasets import HubSource, look_up
from backend.data.hub_importer import LOOK_UP_TIMEOUT_S
from backend.data.hub_preview import ROWS_SHOWN, first_rows
from backend.data.hub_reading import open_dataset
from backend.data.importer import limit_memory, limited_time
from backend.jobs.process import JobContext, leave, run_job


def look(context: JobContext) -> dict[str, Any]:
    """Look at what ``spec["hub"]`` names; the result is ``{"configurations", "configuration", "splits", "split",
    "columns": [{"name", "type"}], "rows": [[text]]}``, of the first of the splits that it names."""
    source = HubSource.from_dict(context.spec["hub"])
    token = os.environ.get("HF_TOKEN") or None
    limit_memory(context.spec.get("memory_bytes"))
    with limited_time(source.repository, context.spec["time_limit_s"]), context.phase("reading"):
        found = look_up(source.repository, token, revision=source.revision, timeout_s=LOOK_UP_TIMEOUT_S)
        opened = open_dataset(found, source.configuration, token)
        split = next((name for name in source.splits if name in opened.splits), opened.splits[0])
        table = opened.first_rows(split)
        context.check_stop()
        types = {} if table is None else {n: kind for n, kind in opened.types(table).items() if holds_text(kind)}
        rows = [] if table is None else table.slice(0, ROWS_SHOWN).to_pylist()
        return {
            "configurations": opened.configurations,
            "configuration": opened.configuration,
            "splits": opened.splits,
            "split": split,
            **first_rows(types, rows),
        }


if __name__ == "__main__":
    leave(run_job(look))
