"""The label column of a new table, read in the labels that a run ended up with."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from backend.data.composing import compose_rows
from backend.data.labelling import label_rows
from backend.data.new_labels import LabelReader, Truth, read_truth
from backend.data.preparing import apply_steps
from backend.specs import DataSpec, PrepareSpec

STEPS: tuple[dict[str, Any], ...] = (
    {"kind": "merge_label_variants"},
    {"kind": "map_labels", "mapping": {"Good": "1", "bad": "0", "awful": "0"}},
    {"kind": "drop_labels", "labels": ["spam"]},
    {"kind": "map_labels", "mapping": {"1": "9"}, "on": False},
    {"kind": "minimum_rows", "rows": 3, "action": "merge", "into": "other"},
)
NAMES = {"1": "praise", "0": "blame"}
TRAINED = [*["Good"] * 5, "good", "GOOD ", *["bad"] * 4, "awful", *["spam"] * 4, *["odd"] * 2, "rare"]


def table_of(labels: list[str | None]) -> pa.Table:
    texts = [f"text {number}" for number in range(len(labels))]
    return pa.table({"text": pa.array(texts), "label": pa.array(labels, pa.string())})


def spoken(truth: Truth | None, labels: list[str]) -> list[Any]:
    """The names of each row's labels; None where the row says nothing."""
    assert truth is not None
    if truth.targets.ndim == 1:
        named: list[Any] = [labels[number] for number in truth.targets]
    else:
        named = [[labels[i] for i in row.nonzero()[0]] for row in truth.targets]
    return [name if known else None for name, known in zip(named, truth.known, strict=True)]


def test_the_table_of_a_run_is_read_as_the_run_read_it() -> None:
    data = DataSpec(text_column="text", label_column="label", label_names=NAMES)
    steps = PrepareSpec(steps=STEPS).steps  # type: ignore[arg-type]
    rows, task = compose_rows(table_of(list(TRAINED)), data)
    run = label_rows(apply_steps(rows, steps)[0], data, task)
    assert run.labels == ["blame", "praise", "other"]
    documents = [step.model_dump(mode="json") for step in steps]
    truth = read_truth(table_of(list(TRAINED)), data, documents, run.task, run.labels)
    found = spoken(truth, run.labels)
    kept = {int(row): run.labels[target] for row, target in zip(run.rows, run.targets, strict=True)}
    assert found == [kept.get(row) for row in range(len(TRAINED))]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("ＧＯＯＤ", "praise"),  # a spelling that training never saw
        ("1", "praise"),
        ("praise", "praise"),
        ("spam", None),
        ("never seen", "other"),
    ],
)
def test_a_label_goes_the_way_of_the_steps(label: str, name: str | None) -> None:
    steps = [step.model_dump(mode="json") for step in PrepareSpec(steps=STEPS).steps]  # type: ignore[arg-type]
    assert LabelReader(steps, ["blame", "praise", "other"], NAMES).read(label) == name


def test_a_label_that_the_run_does_not_know_is_told_and_not_measured() -> None:
    data = DataSpec(text_column="text", label_column="label")
    truth = read_truth(table_of(["a", "c", None, " ", "b", "c"]), data, [], "binary", ["a", "b"])
    assert spoken(truth, ["a", "b"]) == ["a", None, None, None, "b", None]
    assert truth is not None
    assert truth.unknown == {"c": 2}


def test_several_labels_of_a_cell_are_found_by_those_that_are_known() -> None:
    data = DataSpec(text_column="text", label_column="label")
    for cells in (["a; b", "b", "a; c"], ['["a", "b"]', '["b"]', '["a", "c"]'], ["a|b", "b", "a|c"]):
        truth = read_truth(table_of([*cells, None]), data, [], "multilabel", ["a", "b"])
        assert spoken(truth, ["a", "b"]) == [["a", "b"], ["b"], None, None]
    columns = pa.table({"a": ["1", "0", "", "0"], "b": ["0", "1", "", "0"]})
    truth = read_truth(columns, DataSpec(label_columns=("a", "b")), [], "multilabel", ["a", "b"])
    assert spoken(truth, ["a", "b"]) == [["a"], ["b"], None, []]


def test_a_table_without_the_label_column_says_nothing() -> None:
    assert read_truth(pa.table({"text": ["a"]}), DataSpec(label_column="label"), [], "binary", ["a", "b"]) is None
