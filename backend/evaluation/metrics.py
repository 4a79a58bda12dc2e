"""The metrics of a run, by the names that its events and its report use. Knows nothing of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, log_softmax, softmax

from backend.evaluation.measures import Average, measured

Array = npt.NDArray[Any]
THRESHOLD = 0.5
"""Probability from which a label of a multi-label text counts as predicted."""
_AVERAGES: dict[str, Average] = {"binary": "binary", "multiclass": "weighted", "multilabel": "micro"}


def probabilities(task: str, logits: Array) -> Array:
    """Probabilities (n, k) of logits (n, k): rows sum to 1, except multi-label, where each label stands alone."""
    wide = np.asarray(logits, dtype=np.float64)
    return np.asarray(expit(wide) if task == "multilabel" else softmax(wide, axis=1))


def decisions(task: str, logits: Array) -> Array:
    """What is predicted: class numbers (n,), or for multi-label 0 and 1 (n, k)."""
    if task == "multilabel":
        return np.asarray(probabilities(task, logits) >= THRESHOLD, dtype=np.int32)
    return np.asarray(np.argmax(logits, axis=1), dtype=np.int32)


def mean_loss(task: str, logits: Array, truth: Array) -> float:
    """Mean cross entropy in nats: over the rows, for multi-label over every label of every row."""
    wide = np.asarray(logits, dtype=np.float64)
    if task == "multilabel":
        return float(-np.mean(truth * log_expit(wide) + (1 - truth) * log_expit(-wide)))
    return float(-np.mean(log_softmax(wide, axis=1)[np.arange(len(wide)), truth]))


def compute(task: str, logits: Array, truth: Array, score: Callable[..., float] = measured) -> dict[str, float]:
    """All metrics of logits (n, k) against the truth: class numbers (n,), for multi-label 0 and 1 (n, k).

    ``f1``, ``precision``, ``recall``: binary, of the second label; multi-class, weighted; multi-label, micro.
    ``roc_auc`` is left out where a class is missing from the truth, since it is not defined there; of several labels
    at once it is the mean over those that some rows have and some have not. ``score`` is
    `measures.measured`, quick, or `modules.evaluated`, through the ``evaluate`` package.
    """
    rows = "lists" if task == "multilabel" else "numbers"
    predicted, classes = decisions(task, logits), np.shape(logits)[1]
    result = {**compare(task, predicted, truth, classes, score), "loss": mean_loss(task, logits, truth)}
    if task == "multilabel":
        result["jaccard"] = score("jaccard", rows, predictions=predicted, references=truth)
    told = _labels_told_apart(task, truth, classes)
    if told.any():
        chances = probabilities(task, logits)
        if task == "multilabel":
            chances, truth = chances[:, told], truth[:, told]
        two = task != "multilabel" and classes == 2
        scores = chances[:, 1] if two else chances
        kind = "classes" if task == "multiclass" and not two else rows
        result["roc_auc"] = score("roc_auc", kind, prediction_scores=scores, references=truth)
    return result


def compare(
    task: str, predicted: Array, truth: Array, classes: int, score: Callable[..., float] = measured
) -> dict[str, float]:
    """The metrics that need no probabilities, of what was predicted against the truth, both as `compute` takes it."""
    rows = "lists" if task == "multilabel" else "numbers"
    pair = {"predictions": predicted, "references": truth}
    average = _AVERAGES[task]
    return {
        "accuracy": score("accuracy", rows, **pair),
        "f1": score("f1", rows, **pair, average=average),
        "f1_macro": score("f1", rows, **pair, average="macro", labels=np.arange(classes)),
        "mcc": score("matthews_correlation", rows, **pair),
        "precision": score("precision", rows, **pair, average=average),
        "recall": score("recall", rows, **pair, average=average),
    }


def _labels_told_apart(task: str, truth: Array, classes: int) -> Array:
    """(k,) whether an area under a curve is defined for each label: for classes for all of them or for none."""
    if task == "multilabel":
        positive = truth.sum(axis=0)
        return np.asarray((positive > 0) & (positive < len(truth)))
    return np.full(classes, len(np.unique(truth)) == classes)
