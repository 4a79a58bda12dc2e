"""The import of a data set of the Hub: ``python -m backend.data.hub_importer JOB``, into ``home/datasets/<id>/``.

The id is made from the data set's name, configuration, commit and splits: what is imported once is never fetched
again, and works without the Hub. The token comes by the environment and is written nowhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from backend.data.datasets import PROFILE_VERSION
from backend.data.hub_datasets import SCHEME, HubSource, look_up
from backend.data.hub_reading import chosen_splits, open_dataset, open_hub_table
from backend.data.importer import (
    is_current,
    limit_memory,
    limited_time,
    put_in_place,
    staging_folder,
    too_large,
    write_profile,
    write_table,
)
from backend.errors import StudioError, Unexpected
from backend.jobs.process import JobContext, leave, run_job
from backend.settings import Home

LOOK_UP_TIMEOUT_S = 10.0
COMMIT = re.compile(r"[0-9a-f]{40}")


def import_hub_table(context: JobContext) -> dict[str, Any]:
    """Import what ``spec["hub"]`` names; the result is ``{"dataset": id}``."""
    source = HubSource.from_dict(context.spec["hub"])
    home = Home(Path(context.spec["home"])).prepare()
    limit_memory(context.spec.get("memory_bytes"))
    try:
        with limited_time(source.repository, context.spec["time_limit_s"]), context.phase("reading"):
            return {"dataset": _known(home, source) or _import(context, home, source)}
    except MemoryError as error:
        raise too_large(source.repository) from error


def hub_dataset_id(source: HubSource) -> str:
    """16 hex digits for what is pinned down to its commit and splits."""
    named = [source.repository, source.configuration, source.revision, list(source.splits)]
    return hashlib.sha256(json.dumps([SCHEME, *named]).encode()).hexdigest()[:16]


def _known(home: Home, source: HubSource) -> str:
    """The id of a table that is here already; empty if it is not, or if only the Hub can say what is meant."""
    pinned = source.configuration and source.splits and COMMIT.fullmatch(source.revision)
    dataset = hub_dataset_id(source)
    return dataset if pinned and is_current(home.datasets / dataset) else ""


def _import(context: JobContext, home: Home, source: HubSource) -> str:
    token = os.environ.get("HF_TOKEN") or None
    found = look_up(source.repository, token, revision=source.revision, timeout_s=LOOK_UP_TIMEOUT_S)
    context.check_stop()
    opened = open_dataset(found, source.configuration, token)
    splits = chosen_splits(opened, source)
    pinned = HubSource(opened.id, opened.configuration, opened.sha, tuple(splits))
    dataset = hub_dataset_id(pinned)
    target = home.datasets / dataset
    if is_current(target):
        return dataset
    with staging_folder(home, context.job) as staging:
        reading = open_hub_table(opened, splits, staging / "spool.parquet", context.check_stop)
        rows = write_table(context, reading, staging / "table.parquet")
        with context.phase("profiling"):
            about = {"version": PROFILE_VERSION, "dataset": dataset, "file": f"{SCHEME}{opened.id}"}
            about["bytes"] = opened.builder.info.download_size or (staging / "table.parquet").stat().st_size
            about |= {"sources": [], "reading": {}, "hub": pinned.to_dict()}
            write_profile(context, staging, about, reading, rows, {})
        put_in_place(staging, target)
    return dataset


def _translate(error: Exception) -> StudioError:
    if isinstance(error, pa.ArrowException):
        return Unexpected(detail=f"pyarrow: {error}"[:1000])
    return Unexpected(detail=f"{type(error).__name__}: {error}"[:1000])


if __name__ == "__main__":
    leave(run_job(import_hub_table, _translate))
