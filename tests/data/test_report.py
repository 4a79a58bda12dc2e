"""Each kind of trouble is found with its rows, and what it offers to mend it is a step or a choice that exists."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from backend.data.describing import ReportOptions, describe
from backend.data.report import contents, repeats
from backend.data.text_cleaning import mask_contacts
from backend.specs import build_spec
from backend.steps import Step
from studio.findings import example_table, finding_words, repair_words, task_words
from studio.i18n import LANGUAGES, words

Report = dict[str, Any]
Rows = list[tuple[str | None, str | None]]
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen")


def sentences(count: int, seed: int = 0) -> list[str]:
    """Texts of twelve random words: all different, and not nearly the same."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, 12)) for _ in range(count)]


def even(count: int, *labels: str) -> Rows:
    return [(text, label) for k, label in enumerate(labels) for text in sentences(count, k + 1)]


def report_on(rows: Rows, *, options: ReportOptions | None = None, task: str = "auto", **more: list[str]) -> Report:
    texts, labels = zip(*rows, strict=True)
    table = pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string()), **more})
    return describe(table, "text", "label", task, "", None, options or ReportOptions())


def findings(report: Report) -> dict[str, Any]:
    return {finding["code"]: finding for finding in report["findings"]}


CASES: list[tuple[str, Rows, int]] = [
    (
        "label_variants",
        [*even(40, "Good", "bad"), ("fine food today", "good "), ("nice", "GOOD"), ("x", "Ｇood")],
        3,
    ),
    (
        "near_duplicates",
        [
            *even(40, "a", "b"),
            ("it was a really lovely evening out", "a"),
            ("It was a really lovely evening out!", "a"),
        ],
        1,
    ),
    (
        "html",
        [*even(40, "a", "b"), ("a <b>bold</b> word", "a"), ("two&nbsp;words", "b"), ("a < b and c > d", "a")],
        2,
    ),
    (
        "urls",
        [*even(40, "a", "b"), ("see https://example.org/x", "a"), ("看www.example.com吧", "b"), ("no.url here", "a")],
        2,
    ),
    ("emails", [*even(40, "a", "b"), ("write to a.b@example.org now", "a"), ("me@home", "b")], 1),
    (
        "phones",
        [*even(40, "a", "b"), ("电话13800138000谢谢", "a"), ("call +44 20 7946 0958", "b"), ("order 20261123", "a")],
        2,
    ),
    ("unusual_characters", [*even(40, "a", "b"), ("ＡＢＣ 很好，真的", "a"), ("很好，真的", "b")], 1),
    ("label_in_text", [*even(60, "a", "b"), *[(f"{t} sports", "sports") for t in sentences(60, 9)]], 60),
    ("mixed_languages", [*even(40, "a", "b"), *[(f"这家店的第{n}道菜很好吃", "ab"[n % 2]) for n in range(20)]], 20),
]


@pytest.mark.parametrize(("code", "rows", "touched"), CASES, ids=[case[0] for case in CASES])
def test_what_is_wrong_is_found_with_its_rows(code: str, rows: Rows, touched: int) -> None:
    found = findings(report_on(rows))[code]
    assert found["rows"] == touched
    assert found["examples"]
    assert code not in findings(report_on(even(60, "a", "b")))


def all_reports() -> list[Report]:
    """Reports that hold every finding this package makes."""
    rows = even(30, "a", "b")
    parts = ["train", "dev", "test"] * 20
    people = [f"p{n % 7}" for n in range(60)]
    rows[1] = rows[0]
    options = ReportOptions(part_column="part", group_column="who")
    rare: Rows = [*even(300, "a"), *even(30, "b"), *even(5, "c"), ("one", "d"), ("two", "d"), ("t", None), (None, "a")]
    repeated: Rows = [("same", "a"), ("same", "a"), ("both", "a"), ("both", "b"), ("both", "a")]
    return [
        *(report_on(rows) for _code, rows, _touched in CASES),
        report_on(rows, options=options, part=parts, who=people),
        report_on([*rare, *repeated]),
        report_on([*even(60, "a", "b"), ("both", "a"), ("both", "b")]),
        report_on(even(60, "a", "b", "c"), task="binary"),
        report_on(even(60, "标签", "b", "c")[:125]),
    ]


def test_every_repair_is_a_step_or_a_choice_that_exists_and_is_worded() -> None:
    repairs = [(f["code"], r) for report in all_reports() for f in report["findings"] for r in f["repairs"]]
    assert {code for code, _repair in repairs} == {
        "label_variants", "near_duplicates", "html", "unusual_characters", "same_text_in_parts", "groups", "imbalance",
        "few_rows_a_label", "untested_labels", "conflicting_labels", "opposite_labels", "duplicate_texts",
        "blank_texts", "blank_labels", "not_binary", "urls", "emails", "phones",
    }  # fmt: skip
    for _code, repair in repairs:
        if "step" in repair:
            TypeAdapter(Step).validate_python(repair["step"])
        else:
            document: dict[str, Any] = {}
            for path, value in repair["set"].items():
                section, name = path.split(".")
                document.setdefault(section, {})[name] = value
            build_spec(document)
        for language in LANGUAGES:
            said = repair_words(words(language), repair)
            assert said
            assert "{" not in said


def test_every_finding_is_worded_with_its_examples_in_both_languages() -> None:
    for report in all_reports():
        for finding in report["findings"]:
            for language in LANGUAGES:
                assert "{" not in finding_words(words(language), finding)
                heads, rows = example_table(words(language), finding["examples"])
                assert all(len(row) == len(heads) for row in rows)


def test_the_same_text_in_two_parts_is_counted_where_it_is_asked() -> None:
    rows = even(30, "a", "b")
    parts = ["train"] * 40 + ["dev"] * 10 + ["test"] * 10
    rows[45], rows[55], rows[56], rows[1] = rows[0], rows[0], rows[2], rows[3]
    found = findings(report_on(rows, options=ReportOptions(part_column="part"), part=parts))["same_text_in_parts"]
    assert (found["count"], found["rows"], found["facts"]["tested"]) == (2, 3, 20)
    assert found["examples"][0]["parts"] == ["train", "validation", "test"]
    assert found["examples"][0]["rows"] == [1, 46, 56]


def test_a_label_that_other_texts_name_as_often_is_no_leak() -> None:
    rows = [(f"{text} sports", label) for text, label in even(60, "sports", "other")]
    assert "label_in_text" not in findings(report_on(rows))


@pytest.mark.parametrize(
    ("labels", "task", "said"),
    [
        (["a", "b"], "auto", "binary (two labels): each row has one label, and there are 2"),
        (["a", "b", "c"], "auto", "multi-class (one of several): each row has one label, and there are 3"),
        (["a", "b"], "multiclass", "multi-class (one of several): chosen by hand"),
        (["a|b", "b|c", "a|c"], "auto", "multi-label (several at once): “|” stands between the labels of a cell"),
        (["['a', 'b']", "['b']"], "auto", "multi-label (several at once): each cell holds a list of labels"),
    ],
)
def test_what_tells_the_task_is_said(labels: list[str], task: str, said: str) -> None:
    table = pa.table({"text": sentences(60), "label": [labels[n % len(labels)] for n in range(60)]})
    assert task_words(words("en"), describe(table, "text", "label", task, "")) == said


def test_a_large_table_is_looked_at_in_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "CONTENT_SAMPLE", 50)
    monkeypatch.setattr(repeats, "NEAR_CHARACTERS", 1)
    rows: Rows = [(f"{text} http://example.org/{n}", "ab"[n % 2]) for n, text in enumerate(sentences(1500))]
    found = findings(report_on(rows))["urls"]
    assert (found["count"], found["sampled"]) == (50, 50)
    assert "sample of 50 rows" in finding_words(words("en"), found)


def test_row_numbers_are_those_of_the_imported_table() -> None:
    rows: Rows = [*even(30, "a", "b"), ("a <p>paragraph</p>", "a")]
    options = ReportOptions(row_numbers=np.arange(61) * 10 + 10)
    assert findings(report_on(rows, options=options))["html"]["examples"][0]["row"] == 610


def test_lengths_by_label_and_pairs_of_labels_are_exact() -> None:
    table = pa.table({"text": ["x" * n for n in range(1, 101)], "label": ["['a', 'b']", "['b']", "['c']", "[]"] * 25})
    found = describe(table, "text", "label", "auto", "")
    assert (found["task"], found["separator"], found["usable_rows"]) == ("multilabel", "[]", 100)
    assert found["pairs"] == {"labels": ["b", "a", "c"], "counts": [[50, 25, 0], [25, 25, 0], [0, 0, 25]]}
    lengths = {entry["value"]: entry for entry in found["lengths"]["by_label"]}
    assert lengths["a"]["p50"] == np.percentile(np.arange(1, 101, 4), 50)
    assert lengths["b"]["p95"] == pytest.approx(np.percentile(np.r_[1:101:4, 2:101:4], 95), abs=0.1)


def test_labels_in_columns_of_their_own_are_described() -> None:
    flags = {name: [str(int(n % k == 0)) for n in range(60)] for k, name in ((2, "toxic"), (3, "insult"))}
    table = pa.table({"text": sentences(60), **flags})
    found = describe(table, "text", "", "auto", "", None, ReportOptions(label_columns=("toxic", "insult")))
    assert found["labels"] == [{"value": "insult", "count": 20}, {"value": "toxic", "count": 30}]
    assert (found["usable_rows"], found["label_columns"]) == (60, ["toxic", "insult"])


def test_contacts_are_masked_once_and_for_all() -> None:
    text = "write to a.b@example.org, see https://example.org/x?y=1 or 电话13800138000谢谢 +44 20 7946 0958"
    masked = mask_contacts(text)
    assert masked == "write to [EMAIL], see [URL] or 电话[PHONE]谢谢 [PHONE]"
    assert mask_contacts(masked) == masked
    assert mask_contacts("order 20261123 of 3 items, 12:30") == "order 20261123 of 3 items, 12:30"
