"""Metrics are scikit-learn's, by whichever way they are computed, and need no network and no folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from backend.evaluation.measures import measured
from backend.evaluation.metrics import compute, decisions, probabilities
from backend.evaluation.modules import MODULES, ROWS_THROUGH_EVALUATE, evaluated

TASKS = {"binary": 2, "multiclass": 5, "multilabel": 4}


def answers(task: str, rows: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """Logits that are right more often than not, and the truth."""
    draw, classes = np.random.default_rng(seed), TASKS[task]
    if task == "multilabel":
        truth = (draw.random((rows, classes)) < 0.3).astype(np.float32)
        return draw.normal(size=(rows, classes)) + 2 * truth - 1.5, truth
    truth = draw.integers(0, classes, rows)
    return draw.normal(size=(rows, classes)) + np.eye(classes)[truth], truth


@pytest.mark.parametrize(
    ("task", "average"), [("binary", "binary"), ("multiclass", "weighted"), ("multilabel", "micro")]
)
def test_metrics_equal_scikit_learn(task: str, average: str) -> None:
    logits, truth = answers(task)
    found, predicted = compute(task, logits, truth), decisions(task, logits)
    chances = probabilities(task, logits)
    flat = (np.ravel(truth), np.ravel(predicted))
    expected = {
        "accuracy": sk.accuracy_score(truth, predicted),
        "f1": sk.f1_score(truth, predicted, average=average),
        "f1_macro": sk.f1_score(truth, predicted, average="macro"),
        "mcc": sk.matthews_corrcoef(*flat),
        "precision": sk.precision_score(truth, predicted, average=average),
        "recall": sk.recall_score(truth, predicted, average=average),
        "roc_auc": sk.roc_auc_score(truth, chances[:, 1] if task == "binary" else chances, multi_class="ovr"),
    }
    if task == "multilabel":
        expected["jaccard"] = sk.jaccard_score(truth, predicted, average="micro")
        expected["loss"] = float(np.mean([sk.log_loss(truth[:, k], chances[:, k]) for k in range(4)]))
    else:
        expected["loss"] = sk.log_loss(truth, chances)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_metrics_through_evaluate_are_the_same(task: str) -> None:
    logits, truth = answers(task)
    assert compute(task, logits, truth, evaluated) == compute(task, logits, truth)


def test_large_sets_do_not_go_through_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setitem(MODULES, "accuracy", lambda rows: asked.append(rows))
    truth = np.zeros(ROWS_THROUGH_EVALUATE + 1, dtype=int)
    assert evaluated("accuracy", "numbers", predictions=truth, references=truth) == 1.0
    assert not asked


def test_evaluate_modules_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluate.config.HF_METRICS_CACHE", str(tmp_path / "cache"))
    compute(*("binary", *answers("binary")), evaluated)
    assert not (tmp_path / "cache").exists()


def test_extreme_logits_have_a_finite_loss() -> None:
    assert compute("binary", np.array([[900.0, -900.0], [0.0, 1.0]]), np.array([1, 1]))["loss"] == pytest.approx(
        900 + np.log1p(np.exp(-1)) / 2, rel=1e-6
    )
    assert np.isfinite(compute("multilabel", np.array([[900.0, -900.0]] * 2), np.array([[0, 1], [1, 0]]))["loss"])


def test_roc_auc_is_left_out_where_it_is_not_defined() -> None:
    logits, _ = answers("multiclass", rows=4)
    found = compute("multiclass", logits, np.array([0, 1, 1, 0]))
    assert "roc_auc" not in found
    assert 0 <= found["f1_macro"] <= 1


def test_two_classes_asked_for_as_several_have_the_area_of_two() -> None:
    logits, truth = answers("binary")
    for score in (measured, evaluated):
        found = {task: compute(task, logits, truth, score) for task in ("binary", "multiclass")}
        for name in ("roc_auc", "accuracy", "f1_macro", "mcc", "loss"):
            assert found["multiclass"][name] == found["binary"][name]


def test_roc_auc_of_several_labels_is_over_those_that_some_rows_have() -> None:
    truth = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 0, 1]])
    logits = np.array([[2.0, 1.0, -1.0], [-1.0, 1.0, 2.0], [1.0, 1.0, 0.5], [-2.0, 1.0, 0.1]])
    assert compute("multilabel", logits, truth)["roc_auc"] == pytest.approx((1.0 + 0.75) / 2)
    assert "roc_auc" not in compute("multilabel", logits, np.zeros_like(truth))


def test_macro_f1_counts_labels_that_the_test_split_lacks() -> None:
    right = np.eye(3)[[0, 1, 0]] * 9
    assert compute("multiclass", right, np.array([0, 1, 0]))["f1_macro"] == pytest.approx(2 / 3)
