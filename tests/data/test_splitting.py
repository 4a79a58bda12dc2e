"""Labelled texts from tables, and parts that lose nothing, repeat nothing and hold every label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from backend.data.reading import read_table
from backend.data.splitting import LabelledTexts, Splits, prepare, split
from backend.errors import (
    ColumnMissing,
    LabelNamesClash,
    LabelNamesUnknown,
    LabelTooRare,
    NoLabels,
    NotBinary,
    NothingLeft,
    OneLabelOnly,
    SameColumn,
    StudioError,
    TooManyLabels,
)
from backend.specs import DataSpec, SplitSpec


def table_of(rows: list[tuple[str | None, str | None]]) -> pa.Table:
    texts, labels = zip(*rows, strict=True)
    return pa.table({"text": pa.array(texts, pa.string()), "label": pa.array(labels, pa.string())})


def spec(**more: object) -> DataSpec:
    return DataSpec(**{"text_column": "text", "label_column": "label", **more})  # type: ignore[arg-type]


def even(count: int, *labels: str) -> list[tuple[str | None, str | None]]:
    return [(f"text {label} {n}", label) for n in range(count) for label in labels]


def assert_whole(labelled: LabelledTexts, splits: Splits) -> None:
    together = np.concatenate([splits.train, splits.validation, splits.test])
    assert sorted(together.tolist()) == list(range(len(labelled)))
    sides = [{labelled.texts[i].strip() for i in part} for part in (splits.train, splits.validation, splits.test)]
    assert len(set.union(*sides)) == sum(map(len, sides)), "a text stands in two parts"


@pytest.mark.data
def test_waimai_is_split_by_label_without_a_loss(shared_data: Path) -> None:
    table, _facts = read_table(shared_data / "waimai_10k.csv")
    data = DataSpec(text_column="review", label_column="label", label_names={"0": "差评", "1": "好评"})
    labelled = prepare(table, data)
    assert (labelled.task, labelled.labels, len(labelled)) == ("binary", ["差评", "好评"], 11987)
    assert labelled.counts() == {"差评": 7987, "好评": 4000}
    splits = split(labelled, SplitSpec())
    assert_whole(labelled, splits)
    assert abs(len(splits.test) - 1199) <= 3
    assert abs(len(splits.validation) - 1079) <= 3
    for part in (splits.train, splits.validation, splits.test):
        counts = labelled.counts(part)
        assert counts["好评"] / len(part) == pytest.approx(4000 / 11987, abs=0.002)


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    labelled = prepare(table_of(even(100, "a", "b")), spec())
    one, same, other = (split(labelled, SplitSpec(seed=seed)) for seed in (1, 1, 2))
    assert one.test.tolist() == same.test.tolist()
    assert one.train.tolist() == same.train.tolist()
    assert one.test.tolist() != other.test.tolist()


@pytest.mark.parametrize("share", [0.01, 0.1, 0.33, 0.5])
def test_every_label_is_in_every_part_and_the_shares_hold(share: float) -> None:
    rows = [*even(200, "a", "b"), *even(40, "c"), *even(3, "rare", "rarer")]
    labelled = prepare(table_of(rows), spec())
    splits = split(labelled, SplitSpec(test_share=share, validation_share=share))
    assert_whole(labelled, splits)
    for part in (splits.train, splits.validation, splits.test):
        assert min(labelled.counts(part).values()) >= 1
    assert len(splits.test) == max(5, round(share * len(labelled)))
    assert len(splits.validation) == max(5, round(share * (len(labelled) - len(splits.test))))


def test_equal_texts_stay_in_one_part() -> None:
    rows = [*even(50, "a", "b"), *[(f"text a {n}", "b") for n in range(20)], *[(" text b 1 ", "b")] * 10]
    labelled = prepare(table_of(rows), spec())
    for seed in range(5):
        assert_whole(labelled, split(labelled, SplitSpec(seed=seed)))


def test_several_labels_are_spread_over_the_parts() -> None:
    rng = np.random.default_rng(0)
    names = [f"l{n}" for n in range(8)]
    shares = np.array([0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.03, 0.02])
    rows: list[tuple[str | None, str | None]] = []
    for n in range(2000):
        chosen = [name for name, hit in zip(names, rng.random(8) < shares, strict=True) if hit]
        rows.append((f"text {n}", ";".join(chosen) or None))
    labelled = prepare(table_of(rows), spec(label_separator=";"))
    assert labelled.targets.shape == (len(labelled), 8)
    assert labelled.targets.dtype == np.float32
    assert labelled.left_out["blank_labels"] == 2000 - len(labelled) > 0
    splits = split(labelled, SplitSpec())
    assert_whole(labelled, splits)
    assert len(splits.test) == pytest.approx(0.1 * len(labelled), rel=0.05)
    whole = labelled.counts()
    for name, count in labelled.counts(splits.test).items():
        assert count == pytest.approx(0.1 * whole[name], abs=1.5)


def test_a_label_too_rare_to_test_is_trained_where_texts_have_several() -> None:
    rows: list[tuple[str | None, str | None]] = [(f"t {n}", "a;b" if n % 2 else "b;c") for n in range(100)]
    labelled = prepare(table_of([*rows, ("once", "a;rare")]), spec(label_separator=";"))
    assert labelled.counts(split(labelled, SplitSpec()).train)["rare"] == 1


def test_blank_rows_are_left_out_and_the_rest_keep_their_row_numbers() -> None:
    rows = [(None, "a"), *even(5, "a", "b"), ("  ", "b"), ("no label", None), (None, None)]
    labelled = prepare(table_of(rows), spec())
    assert labelled.rows.tolist() == list(range(1, 11))
    assert labelled.left_out == {"blank_texts": 3, "blank_labels": 1}


def test_labels_are_numbered_by_value_and_named() -> None:
    rows = even(5, "10", "9", " 1 ")
    labelled = prepare(table_of(rows), spec(label_names={"9": "nine", "10": " "}))
    assert labelled.labels == ["1", "nine", "10"]
    assert [labelled.labels[t] for t in labelled.targets[:3]] == ["10", "nine", "1"]


@pytest.mark.parametrize(
    ("rows", "more", "error"),
    [
        (even(5, "a", "b"), {"text_column": "txt"}, ColumnMissing(column="txt", available=["text", "label"])),
        (even(5, "a", "b"), {"label_column": "text"}, SameColumn(column="text")),
        (even(20, "a"), {}, OneLabelOnly(column="label", label="a")),
        ([("x", None), ("y", " ")], {}, NoLabels(column="label")),
        ([(None, "a"), (" ", "b")], {}, NothingLeft(rows=0, needed=6)),
        (even(2, "a", "b"), {}, NothingLeft(rows=4, needed=6)),
        ([(f"t{n}", f"l{n}") for n in range(99)], {}, TooManyLabels(column="label", labels=99, rows=99)),
        (even(5, "a", "b", "c"), {"task": "binary"}, NotBinary(column="label", labels=["a", "b", "c"])),
        (even(5, "a", "b"), {"label_names": {"c": "x"}}, LabelNamesUnknown(labels=["c"], available=["a", "b"])),
        (even(5, "a", "b"), {"label_names": {"a": "b"}}, LabelNamesClash(name="b", labels=["a", "b"])),
    ],
)
def test_what_cannot_be_learned_is_refused(
    rows: list[tuple[str | None, str | None]], more: dict[str, object], error: StudioError
) -> None:
    with pytest.raises(type(error)) as raised:
        prepare(table_of(rows), spec(**more))
    assert raised.value.facts == error.facts


def test_rare_labels_are_named() -> None:
    rows = [*even(20, "a", "b"), *even(2, "c"), *[("the same text", "d")] * 9]
    with pytest.raises(LabelTooRare) as raised:
        split(prepare(table_of(rows), spec()), SplitSpec())
    assert raised.value.labels == ["c", "d"]
