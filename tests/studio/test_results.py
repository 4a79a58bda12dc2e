"""The one sentence that stands first on the results page."""

from __future__ import annotations

from typing import Any

from studio.i18n import words
from studio.pages.results import details, figures, sentence

T = words("en")


def report_of(f1: float, tfidf: float, labels: dict[str, float]) -> dict[str, Any]:
    """Of a completed run with these figures."""
    return {
        "metrics": {"accuracy": f1, "f1": f1},
        "baselines": {"tfidf": {"f1": tfidf}},
        "per_label": [{"label": label, "f1": each, "support": 9} for label, each in labels.items()],
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


def test_labels_that_are_never_right_are_counted_but_for_those_without_a_test_text() -> None:
    report = report_of(0.4, 0.4, {"a": 0.0, "b": 0.5, "c": 0.0, "d": 0.0})
    report["per_label"][-1]["support"] = 0
    assert "2 of 3 labels are never right (F1 0)" in sentence(T, report)
    report["per_label"][0]["f1"] = 0.3
    assert "weakest on c (F1 0.000)" in sentence(T, report)


def test_so_few_test_texts_that_each_weighs_a_point_are_told() -> None:
    report = report_of(0.9, 0.9, {"a": 0.9}) | {"task": "binary", "positive_label": "a"}
    said = T("results.few_tests", points="4.0")
    for test, told in ((25, True), (100, False)):
        assert (said in figures(T, report | {"rows": {"train": 9, "validation": 9, "test": test}})) == told


def test_stopped_run_tells_only_what_was_measured() -> None:
    rows = {"train": 90, "validation": 9, "test": 9}
    stopped = report_of(0, 0.7, {}) | {"metrics": None, "state": "stopped", "task": "binary", "positive_label": "a"}
    stopped |= {"rows": rows, "base": "starter", "parameters": 1, "device": "CPU", "precision": "fp32", "seconds": {}}
    assert sentence(T, stopped | {"kept": None}) == T("results.stopped_unmeasured")
    kept = {"step": 300, "metrics": {"accuracy": 0.5, "f1": 0.25}}
    assert sentence(T, stopped | {"kept": kept}) == T("results.stopped", step=300, accuracy="0.500", f1="0.250")
    held_out = T("results.held_out", count=9, train=90, validation=9)
    assert held_out not in figures(T, stopped)
    assert held_out in figures(T, stopped | {"metrics": {"accuracy": 1.0, "f1": 1.0}})
    speed = f"<td>{T('results.speed')}</td><td>"
    shown = details(T, stopped | {"examples_per_second": 0.0, "peak_memory_bytes": 0})
    assert f"{speed}–" in shown.replace(' class=""', "")
    assert T("results.per_label") not in shown, "an empty table of labels says nothing"


def test_resumed_run_tells_what_all_attempts_took() -> None:
    rows = {"train": 90, "validation": 9, "test": 9}
    report = report_of(0.9, 0.7, {"a": 0.9}) | {"rows": rows, "base": "starter", "parameters": 1, "device": "CPU"}
    report |= {"precision": "fp32", "seconds": {"training": 49.0}, "examples_per_second": 9.0}
    report["per_label"] = []
    assert T("results.all_attempts") not in details(T, report)
    shown = details(T, report, None, 173.0)
    assert T("results.all_attempts") in shown
    assert "2:53" in shown
    assert "0:49" in shown
