"""Baselines learn what there is to learn, and the report's files hold what the page needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from backend.evaluation.baselines import MOST_CHARACTERS, majority, tfidf
from backend.evaluation.metrics import compute, decisions, probabilities
from backend.evaluation.report import confusion, per_label, write_predictions

GOOD = [f"很好吃，下次还来 {n}" for n in range(30)]
BAD = [f"太咸了，送得又慢 {n}" for n in range(20)]


def test_majority_always_answers_the_most_frequent_label() -> None:
    logits = majority("multiclass", np.array([0, 2, 2, 1, 2]), 3, rows=4)
    assert decisions("multiclass", logits).tolist() == [2, 2, 2, 2]
    assert probabilities("multiclass", logits)[0] == pytest.approx([0.2, 0.2, 0.6])


def test_majority_of_several_labels_answers_those_that_most_texts_have() -> None:
    truth = np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0]], dtype=np.float32)
    assert decisions("multilabel", majority("multilabel", truth, 3, rows=2)).tolist() == [[1, 0, 0]] * 2


def test_tfidf_tells_chinese_reviews_apart() -> None:
    truth = np.array([1] * 30 + [0] * 20)
    logits = tfidf("binary", GOOD + BAD, truth, 2, ["味道很好吃", "又咸又慢"])
    assert decisions("binary", logits).tolist() == [1, 0]


def test_tfidf_learns_each_of_several_labels() -> None:
    truth = np.array([[1, 0]] * 30 + [[1, 1]] * 20, dtype=np.float32)
    logits = tfidf("multilabel", GOOD + BAD, truth, 2, ["很好吃", "送得慢，太咸"])
    assert decisions("multilabel", logits).tolist() == [[1, 0], [1, 1]]
    assert np.isfinite(logits).all(), "also of a label that every text has"


def test_tfidf_hears_a_stop_between_labels() -> None:
    class Stop(Exception):
        pass

    def step(done: int, total: int) -> None:
        assert total == 3
        if done == 1:
            raise Stop

    with pytest.raises(Stop):
        tfidf("multiclass", GOOD + BAD, np.arange(50) % 3, 3, ["x"], step)


def test_tfidf_is_bounded_and_still_sees_all_classes() -> None:
    long = ["好" * (MOST_CHARACTERS // 40) + str(n) for n in range(60)]
    logits = tfidf("binary", long, np.arange(60) % 2, 2, ["好"])
    assert logits.shape == (1, 2)


def test_confusion_and_per_label_add_up() -> None:
    logits, truth = np.eye(3)[[0, 1, 1, 2]] * 5, np.array([0, 1, 2, 2])
    assert confusion("multiclass", 3, logits, truth) == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    rows = per_label("multiclass", ["a", "b", "c"], logits, truth)
    assert [row["support"] for row in rows] == [1, 1, 2]
    assert rows[2]["recall"] == 0.5
    assert np.mean([row["f1"] for row in rows]) == pytest.approx(compute("multiclass", logits, truth)["f1_macro"])


def test_predictions_of_several_labels_are_lists(tmp_path: Path) -> None:
    truth = np.array([[1, 0, 1], [0, 0, 0]], dtype=np.float32)
    logits = np.array([[9.0, -9.0, 9.0], [-9.0, 9.0, -9.0]])
    path = tmp_path / "predictions.parquet"
    about = {"task": "multilabel", "labels": ["x", "y", "z"], "texts": ["one", "two"], "rows": np.array([4, 9])}
    write_predictions(path, logits=logits, truth=truth, **about)
    read = pq.read_table(path).to_pydict()
    assert read["true"] == [["x", "z"], []]
    assert read["predicted"] == [["x", "z"], ["y"]]
    assert read["row"] == [4, 9]
