"""The metrics as ``evaluate.Metric`` modules that ship with the studio, so that no run needs a network for them.

Nothing is written: the modules keep their rows in memory and make no folder.
"""

from __future__ import annotations

from typing import Any, ClassVar

import datasets
import evaluate

from backend.evaluation.measures import MEASURES

ROWS_THROUGH_EVALUATE = 20_000
"""Above this many rows `evaluated` asks scikit-learn directly: ``evaluate`` stores each row in Arrow first, which
takes 4.3 s for the accuracy of a million rows where scikit-learn alone takes 0.07 s."""


class OfflineMetric(evaluate.Metric):  # type: ignore[misc]
    """Base of the modules. ``config_name`` says what a row is: ``numbers``, one class; ``lists``, 0 or 1 a label."""

    key: ClassVar[str]

    def __init__(self, config_name: str = "numbers") -> None:
        super().__init__(config_name, keep_in_memory=True, seed=0)

    def _build_data_dir(self) -> str:
        return str(self._data_dir_root)  # the parent class makes a cache folder here, which nothing would use

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=(MEASURES[self.key].__doc__ or "").strip(),
            citation="",
            inputs_description="",
            features=datasets.Features(self._columns()),
        )

    def _columns(self) -> dict[str, Any]:
        row = _row("int32", lists=self.config_name == "lists")
        return {"predictions": row, "references": row}

    def _compute(self, **inputs: Any) -> dict[str, float]:
        return {self.key: MEASURES[self.key](**inputs)}


class Accuracy(OfflineMetric):
    key = "accuracy"


class F1(OfflineMetric):
    key = "f1"


class Precision(OfflineMetric):
    key = "precision"


class Recall(OfflineMetric):
    key = "recall"


class MatthewsCorrelation(OfflineMetric):
    key = "matthews_correlation"


class Jaccard(OfflineMetric):
    key = "jaccard"


class RocAuc(OfflineMetric):
    """Takes ``prediction_scores``. A third ``config_name``, ``classes``, is scores a class against class numbers."""

    key = "roc_auc"

    def _columns(self) -> dict[str, Any]:
        return {
            "prediction_scores": _row("float64", lists=self.config_name != "numbers"),
            "references": _row("int32", lists=self.config_name == "lists"),
        }


MODULES: dict[str, type[OfflineMetric]] = {
    module.key: module for module in (Accuracy, F1, Precision, Recall, MatthewsCorrelation, Jaccard, RocAuc)
}


def evaluated(name: str, rows: str, **inputs: Any) -> float:
    """The metric called ``name`` by its module; ``rows`` is the module's ``config_name``."""
    if len(inputs["references"]) > ROWS_THROUGH_EVALUATE:
        return MEASURES[name](**inputs)
    return float(MODULES[name](rows).compute(**inputs)[name])


def _row(kind: str, *, lists: bool) -> Any:
    value = datasets.Value(kind)
    return datasets.Sequence(value) if lists else value
