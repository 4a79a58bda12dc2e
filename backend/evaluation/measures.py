"""The arithmetic of the metrics: scikit-learn on whole arrays, each measure with the same two arguments.

``predictions`` and ``references`` are class numbers (n,), or for multi-label texts 0 and 1 (n, k).

scikit-learn is imported by the first measure: a quarter of the time in which a process begins that answers texts, or
tries a way to train, and measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

Average = Literal["binary", "micro", "macro", "weighted"]


def _sk() -> Any:
    from sklearn import metrics

    return metrics


def accuracy(*, predictions: Any, references: Any) -> float:
    """Share of rows that are exactly right; of a multi-label row, with all its labels."""
    return float(_sk().accuracy_score(references, predictions))


def f1(*, predictions: Any, references: Any, average: Average = "binary", labels: Any = None) -> float:
    """Harmonic mean of precision and recall."""
    return float(_sk().f1_score(references, predictions, average=average, labels=labels, zero_division=0))


def precision(*, predictions: Any, references: Any, average: Average = "binary", labels: Any = None) -> float:
    """Share of what was predicted that is right."""
    return float(_sk().precision_score(references, predictions, average=average, labels=labels, zero_division=0))


def recall(*, predictions: Any, references: Any, average: Average = "binary", labels: Any = None) -> float:
    """Share of what is right that was predicted."""
    return float(_sk().recall_score(references, predictions, average=average, labels=labels, zero_division=0))


def matthews_correlation(*, predictions: Any, references: Any) -> float:
    """Matthews correlation coefficient; multi-label: over every label of every row."""
    return float(_sk().matthews_corrcoef(np.ravel(references), np.ravel(predictions)))


def jaccard(*, predictions: Any, references: Any, average: Average = "micro") -> float:
    """Labels predicted and right, over labels predicted or right."""
    return float(_sk().jaccard_score(references, predictions, average=average, zero_division=0))


def roc_auc(*, prediction_scores: Any, references: Any) -> float:
    """Area under the ROC curve of scores (n,) for two classes, else (n, k) and the mean over the classes."""
    return float(_sk().roc_auc_score(references, prediction_scores, average="macro", multi_class="ovr"))


MEASURES: dict[str, Callable[..., float]] = {
    measure.__name__: measure for measure in (accuracy, f1, precision, recall, matthews_correlation, jaccard, roc_auc)
}


def measured(name: str, rows: str, **inputs: Any) -> float:
    """The measure called ``name``; ``rows`` (``numbers`` or ``lists``) says what the rows are, unused here."""
    return MEASURES[name](**inputs)
