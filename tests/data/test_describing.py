"""The report's figures and findings are exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from backend.data.describing import describe
from backend.data.reading import read_table
from backend.data.report.languages import language_of
from backend.data.report.rows import EXAMPLE_CHARACTERS
from backend.errors import ColumnMissing, SameColumn
from studio.i18n import LANGUAGES, words

Report = dict[str, Any]
PROJECT = Path(__file__).resolve().parents[2]


def report_on(rows: list[tuple[str | None, str | None]], task: str = "auto", separator: str = "") -> Report:
    texts, labels = zip(*rows, strict=True)
    table = pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())})
    return describe(table, "text", "label", task, separator)


def findings(report: Report) -> dict[str, Any]:
    return {finding["code"]: finding for finding in report["findings"]}


def even(count: int, *labels: str) -> list[tuple[str | None, str | None]]:
    return [(f"text {label} {n}", label) for label in labels for n in range(count)]


@pytest.mark.data
def test_waimai_is_described_exactly(shared_data: Path) -> None:
    table, _facts = read_table(shared_data / "waimai_10k.csv")
    report = describe(table, "review", "label", "auto", "")
    assert (report["rows"], report["usable_rows"], report["task"]) == (11987, 11987, "binary")
    assert report["labels"] == [{"value": "0", "count": 7987}, {"value": "1", "count": 4000}]
    assert report["lengths"]["max"] == 463
    assert sum(report["lengths"]["histogram"]["counts"]) == 11987
    assert report["language"]["zh"] > 0.99
    found = findings(report)
    assert list(found) == ["opposite_labels", "phones"]
    assert (found["opposite_labels"]["count"], found["opposite_labels"]["rows"]) == (7, 14)
    assert len(found["opposite_labels"]["examples"]) == 5


@pytest.mark.data
def test_the_shopping_reviews_conflict_on_their_category(shared_data: Path) -> None:
    table, _facts = read_table(shared_data / "online_shopping_10_cats.zip")
    found = findings(describe(table, "review", "cat", "auto", ""))
    assert found["blank_texts"]["count"] == 1
    assert found["conflicting_labels"]["count"] == 28
    assert found["conflicting_labels"]["count"] + found["duplicate_texts"]["count"] == 45
    assert found["imbalance"]["facts"]["largest_rows"] == 10000


@pytest.mark.data
def test_genres_and_types_are_described(shared_data: Path) -> None:
    anime, _facts = read_table(shared_data / "anime_no_adult.csv")
    report = describe(anime, "synopsis", "genres", "auto", "")
    found = findings(report)
    assert (report["task"], len(report["labels"]), found["blank_labels"]["count"]) == ("multilabel", 41, 23)
    assert found["untested_labels"]["facts"]["labels"] == ["Work Life"]
    assert found["long_texts"]["facts"]["limit"] == 512
    types, _facts = read_table(shared_data / "mbti_1.csv")
    rare = findings(describe(types, "posts", "type", "auto", ""))["untested_labels"]
    assert (rare["severity"], rare["facts"]["labels"]) == ("warning", ["ISTJ", "ISTP"])
    examples = [example for f in report["findings"] for example in f["examples"]]
    assert all(len(e["text"]) <= EXAMPLE_CHARACTERS for e in examples if "text" in e)


def test_nothing_wrong_is_said_too() -> None:
    report = report_on(even(60, "a", "b"))
    assert [(f["code"], f["severity"]) for f in report["findings"]] == [("no_problems", "ok")]


def test_blank_cells_are_counted_apart() -> None:
    rows = [*even(60, "a", "b"), (None, "a"), ("  \u3000", "b"), ("no label", None), ("none either", " "), (None, None)]
    report = report_on(rows)
    found = findings(report)
    assert (report["rows"], report["usable_rows"]) == (125, 120)
    assert (found["blank_texts"]["count"], found["blank_labels"]["count"]) == (3, 3)
    assert [e["text"] for e in found["blank_labels"]["examples"]] == ["no label", "none either"]
    assert [e["row"] for e in found["blank_labels"]["examples"]] == [123, 124]
    assert found["blank_texts"]["examples"][0] == {"row": 121, "label": "a"}
    assert found["blank_labels"]["repairs"] == [{"step": {"kind": "drop_blank"}}]


def test_duplicates_with_the_same_label_and_with_others_are_told_apart() -> None:
    rows = [*even(60, "a", "b", "c"), ("same", "a"), (" same ", "a"), ("both", "a"), ("both", "b"), ("both", "c")]
    found = findings(report_on(rows))
    assert (found["duplicate_texts"]["count"], found["duplicate_texts"]["rows"]) == (1, 2)
    assert (found["conflicting_labels"]["count"], found["conflicting_labels"]["rows"]) == (1, 3)


def test_the_order_of_several_labels_is_no_conflict() -> None:
    rows = [
        *[(f"t {n}", "a;b") for n in range(30)],
        *[(f"u {n}", "b;c") for n in range(30)],
        ("x", "a;b"),
        ("x", "b;a"),
    ]
    assert "conflicting_labels" not in findings(report_on(rows, separator=";"))


@pytest.mark.parametrize(
    ("rows", "code", "severity"),
    [
        (even(50, "only"), "one_label", "error"),
        ([("a text", None), ("another", " ")], "no_labels", "error"),
        ([(f"text {n}", f"label {n}") for n in range(120)], "too_many_labels", "error"),
        ([*even(60, "a", "b"), ("one", "c"), ("two", "c")], "untested_labels", "warning"),
        ([*even(60, "a", "b"), *[("same", "c")] * 5], "untested_labels", "warning"),
        ([*even(60, "a", "b"), *even(5, "c")], "few_rows_a_label", "warning"),
        (even(20, "a", "b"), "few_rows", "warning"),
        ([*even(300, "a"), *even(30, "b")], "imbalance", "warning"),
        ([*even(60, "a", "b"), *[("字" * 200 + str(n), "a") for n in range(200)]], "long_texts", "note"),
    ],
)
def test_what_is_wrong_is_found(rows: list[tuple[str | None, str | None]], code: str, severity: str) -> None:
    report = report_on(rows)
    assert findings(report)[code]["severity"] == severity
    assert ("no_problems" in findings(report)) == (severity == "note")


def test_three_labels_are_not_binary() -> None:
    found = findings(report_on(even(60, "a", "b", "c"), task="binary"))
    assert found["not_binary"]["severity"] == "error"
    assert "not_binary" not in findings(report_on(even(60, "a", "b"), task="binary"))


def test_the_histogram_holds_every_text_in_at_most_forty_bars() -> None:
    rows: list[tuple[str | None, str | None]] = [("x" * n, "ab"[n % 2]) for n in range(1, 1500)]
    rows.append(("y" * 100_000, "a"))
    histogram = report_on(rows)["lengths"]["histogram"]
    assert sum(histogram["counts"]) == 1500
    assert len(histogram["counts"]) == len(histogram["edges"]) - 1 <= 40
    assert histogram["edges"][-1] < 2000


def test_languages_are_told_by_script() -> None:
    texts = ["很好吃", "我用 iPhone 点的外卖", "very good", "très bien", "очень вкусно", "12345"]
    report = report_on([(text, "ab"[n % 2]) for n, text in enumerate(texts)])
    assert report["language"] == {"zh": 0.3333, "en": 0.3333, "cyrillic": 0.1667, "other": 0.1667}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("とても美味しかったです", "kana"),
        ("ラーメン", "kana"),
        ("아주 맛있어요", "hangul"),
        ("Очень вкусно, iPhone", "cyrillic"),
        ("πολύ νόστιμο", "greek"),
        ("الطعام لذيذ جدا", "arabic"),
        ("האוכל טעים מאוד", "hebrew"),
        ("อร่อยมาก", "thai"),
        ("खाना बहुत स्वादिष्ट था", "devanagari"),
        ("খাবারটি খুব সুস্বাদু", "bengali"),
        ("உணவு மிகவும் சுவையாக", "tamil"),
        ("ძალიან გემრიელი", "other"),
        ("优の良品店里的东西很好吃", "zh"),
        ("", "other"),
    ],
)
def test_scripts_are_told_apart(text: str, language: str) -> None:
    assert language_of(text) == language


def test_columns_that_are_not_there_are_refused() -> None:
    table = pa.table({"text": ["a"], "label": ["b"]})
    with pytest.raises(ColumnMissing):
        describe(table, "text", "lable", "auto", "")
    with pytest.raises(SameColumn):
        describe(table, "text", "text", "auto", "")


def test_every_finding_is_worded_with_its_facts() -> None:
    reports = [
        report_on([*even(60, "a", "b"), ("x", "a"), ("x", "b"), (None, "a"), ("y", None), ("one", "c")]),
        report_on(even(60, "a", "b", "c"), task="binary"),
        report_on([*even(300, "a"), *even(30, "b"), *even(5, "c"), ("t", "a"), ("t", "a"), ("u", "a"), ("u", "b")]),
        report_on([*[("字" * 200 + str(n), "ab"[n % 2]) for n in range(99)]]),
        report_on([*[(f"t {n}", "a;b") for n in range(30)], ("u", "c;a")], separator=";"),
        report_on(even(50, "only")),
        report_on([("a", None)]),
        report_on([(f"text {n}", f"label {n}") for n in range(120)]),
        report_on(even(60, "a", "b")),
        report_on([*even(60, "a", "b"), ("x", "a"), ("x", "b")]),
    ]
    notes = [
        {"code": "no_header", "count": 1, "facts": {"columns": ["column_1", "column_2"]}},
        {"code": "undecodable", "count": 2, "facts": {"encoding": "utf-8", "rows": 2, "numbers": [3, 9]}},
        {"code": "rows_filled_up", "count": 2, "facts": {}},
        {"code": "rows_left_out", "count": 2, "facts": {"lines": [3, 4]}},
    ]
    reports.append(describe(pa.table({"t": ["a"], "l": ["b"]}), "t", "l", "auto", "", notes))
    seen = set()
    for finding in (finding for report in reports for finding in report["findings"]):
        seen.add(finding["code"])
        for language in LANGUAGES:
            for count in (1, 2):
                facts = finding["facts"] | {"rows": finding["rows"], "count": count}
                assert "{" not in words(language)(f"finding.{finding['code']}", **facts)
    worded = {key.split(".")[1] for key in words("en").texts if key.startswith("finding.")}
    assert seen <= worded
    sources = "".join(path.read_text("utf-8") for path in (PROJECT / "backend" / "data").rglob("*.py"))
    assert {code for code in worded if f'"{code}"' not in sources} == set()
