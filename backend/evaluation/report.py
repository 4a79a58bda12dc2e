"""What a run's page shows when it is over: ``report.json`` and ``predictions.parquet`` (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from backend.evaluation.metrics import Array, compute, decisions, probabilities
from backend.evaluation.modules import evaluated
from backend.jobs.files import place


def test_figures(task: str, labels: Sequence[str], logits: Array, truth: Array) -> dict[str, Any]:
    """``metrics``, ``per_label`` and ``confusion`` of the test split, from logits (n, k) and the truth."""
    return {
        "metrics": compute(task, logits, truth, evaluated),
        "per_label": per_label(task, labels, logits, truth),
        "confusion": confusion(task, len(labels), logits, truth),
    }


def no_test_figures() -> dict[str, Any]:
    """The same entries for a run that was stopped: the test split was not looked at."""
    return {"metrics": None, "per_label": [], "confusion": None}


def per_label(task: str, labels: Sequence[str], logits: Array, truth: Array) -> list[dict[str, Any]]:
    """Precision, recall, F1 and number of test texts of each label."""
    columns = precision_recall_fscore_support(
        truth, decisions(task, logits), labels=np.arange(len(labels)), average=None, zero_division=0
    )
    return [
        {"label": label, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for label, p, r, f, s in zip(labels, *columns, strict=True)
    ]


def confusion(task: str, classes: int, logits: Array, truth: Array) -> list[list[int]] | None:
    """Rows are true labels, columns predicted ones; None for multi-label, where there is no such table."""
    if task == "multilabel":
        return None
    table = confusion_matrix(truth, decisions(task, logits), labels=np.arange(classes))
    return [[int(count) for count in row] for row in table]


def write_predictions(
    path: Path, *, task: str, labels: Sequence[str], rows: Array, texts: Sequence[str], logits: Array, truth: Array
) -> None:
    """The test split as a Parquet file: ``row`` in the user's table, ``text``, ``true``, ``predicted``
    (a label, or for multi-label a list of labels) and ``probabilities`` in the order of the report's labels."""
    table = pa.table(
        {
            "row": pa.array(np.asarray(rows), pa.int64()),
            "text": pa.array(list(texts), pa.large_string()),
            "true": named(labels, truth),
            "predicted": named(labels, decisions(task, logits)),
            "probabilities": pa.array(probabilities(task, logits).tolist(), pa.list_(pa.float32())),
        }
    )
    unfinished = path.with_name(f".{path.name}.part")
    pq.write_table(table, unfinished, compression="zstd")
    place(unfinished, path)


def named(labels: Sequence[str], numbers: Array) -> Any:
    """Label names for class numbers (n,), or lists of names for 0 and 1 (n, k)."""
    if np.ndim(numbers) == 1:
        return [labels[int(number)] for number in numbers]
    return [[labels[int(column)] for column in np.flatnonzero(row)] for row in np.asarray(numbers)]
