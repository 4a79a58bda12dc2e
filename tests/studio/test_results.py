"""The one sentence that stands first on the results page."""

from __future__ import annotations

from typing import Any

from studio.i18n import words
from studio.pages.results import sentence

T = words("en")


def report_of(f1: float, tfidf: float, labels: dict[str, float]) -> dict[str, Any]:
    """Of a completed run with these figures."""
    return {
        "metrics": {"accuracy": f1, "f1": f1},
        "baselines": {"tfidf": {"f1": tfidf}},
        "per_label": [{"label": label, "f1": each} for label, each in labels.items()],
    }


def test_sentence_tells_the_distance_to_tfidf_and_the_weakest_label() -> None:
    assert (
        sentence(T, report_of(0.857, 0.9, {"good": 0.88, "bad": 0.857}))
        == "Accuracy 0.857, F1 0.857; 4.3 points of F1 below TF-IDF; weakest on bad (F1 0.857)."
    )


def test_no_label_is_the_weakest_where_all_are_right() -> None:
    assert sentence(T, report_of(1.0, 1.0, {"good": 1.0, "bad": 1.0})) == (
        "Accuracy 1.000, F1 1.000; the same F1 as TF-IDF."
    )
