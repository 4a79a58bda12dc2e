"""Data sets for the Hub stand-in, written by the library that everybody pushes them with."""

from __future__ import annotations

import io
from typing import Any

from tests.hub_standin import HubStandIn, Repository

NAMES = ["negative", "positive"]
SPLITS = {"train": 240, "validation": 40, "test": 60}
PLACES = ("a quiet room", "a loud street", "breakfast was cold", "friendly people", "the view", "no hot water")


def parquet(rows: int, *, unlabelled: bool = False, row_group: int = 0, **more: list[Any]) -> bytes:
    """A Parquet file of texts and classes, as ``push_to_hub`` writes it."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    texts = {name: Value("string") for name in more}
    features = Features({"text": Value("string"), "label": ClassLabel(names=NAMES), **texts})
    columns: dict[str, list[Any]] = {
        "text": [f"{PLACES[n % 6]} {n}" for n in range(rows)],
        "label": [-1 if unlabelled else n % 2 for n in range(rows)],
        **more,
    }
    stream = io.BytesIO()
    Dataset.from_dict(columns, features=features).to_parquet(stream, batch_size=row_group or None)
    return stream.getvalue()


def add_reviews(hub: HubStandIn, name: str, **about: Any) -> Repository:
    """A data set with three splits, each a Parquet file."""
    files = {f"data/{split}-00000-of-00001.parquet": parquet(rows) for split, rows in SPLITS.items()}
    return hub.add(Repository(name, "dataset", files=files, commits=["initial commit"], **about))
