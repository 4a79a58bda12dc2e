"""Labelled texts from tables, and parts that lose nothing, repeat nothing and hold every label."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from backend.data.reading import read_table
from backend.data.sampling import sampled
from backend.data.splitting import LabelledTexts, Splits, divide, prepare, split
from backend.errors import (
    ColumnMissing,
    FoldMissing,
    FoldsNotPossible,
    GroupsTooFew,
    LabelNamesClash,
    LabelNamesUnknown,
    NoLabels,
    NotBinary,
    NothingLeft,
    OneLabelOnly,
    PartEmpty,
    PartsUnknown,
    SameColumn,
    StudioError,
    TimeUnreadable,
    TooManyLabels,
)
from backend.specs import DataSpec, SampleSpec, SplitSpec


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


def test_labels_too_rare_for_three_parts_are_trained_and_named() -> None:
    rows = [*even(20, "a", "b"), *even(2, "c"), *[("the same text", "d")] * 9, ("alone", "e")]
    labelled = prepare(table_of(rows), spec())
    division = divide(labelled, SplitSpec())
    assert_whole(labelled, division.splits)
    assert labelled.labels == ["a", "b", "c", "d", "e"]
    train = labelled.counts(division.splits.train)
    assert (train["c"], train["d"], train["e"]) == (2, 9, 1)
    assert division.notes == [{"code": "untested_labels", "facts": {"count": 3, "labels": ["c", "d", "e"]}}]


def columns_of(count: int, groups: int) -> tuple[LabelledTexts, list[str | None]]:
    rng = np.random.default_rng(0)
    rows: list[tuple[str | None, str | None]] = [(f"text {n}", "abc"[n % 3]) for n in range(count)]
    return prepare(table_of(rows), spec()), [f"author {n}" for n in rng.integers(groups, size=count)]


@pytest.mark.parametrize(
    ("groups", "share", "folds"), [(40, 0.1, 0), (7, 0.3, 0), (3, 0.1, 0), (400, 0.25, 0), (30, 0.1, 4)]
)
def test_no_group_stands_on_two_sides(groups: int, share: float, folds: int) -> None:
    labelled, cells = columns_of(900, groups)
    for fold in range(1, max(folds, 1) + 1):
        asked = SplitSpec(method="group", column="author", test_share=share, folds=folds, fold=fold)
        splits = divide(labelled, asked, cells=cells).splits
        assert_whole(labelled, splits)
        sides = [{cells[i] for i in part} for part in (splits.train, splits.validation, splits.test)]
        assert len(set.union(*sides)) == sum(map(len, sides))
        if groups >= 40:
            assert len(splits.test) == pytest.approx((1 / folds if folds else share) * 900, rel=0.4)
            assert set(labelled.counts(splits.test).values()) != {0}


def test_two_groups_cannot_be_divided_into_three_parts() -> None:
    labelled, cells = columns_of(60, 2)
    with pytest.raises(GroupsTooFew):
        divide(labelled, SplitSpec(method="group", column="author"), cells=cells)


def test_given_parts_are_used_as_they_are_and_a_missing_one_is_drawn() -> None:
    labelled, _ = columns_of(200, 3)
    cells: list[str | None] = ["Train", "training", " dev ", "test"] * 50
    division = divide(labelled, SplitSpec(method="given", column="part"), cells=cells)
    assert division.splits.test.tolist() == list(range(3, 200, 4))
    assert division.splits.validation.tolist() == list(range(2, 200, 4))
    assert division.notes == []
    cells = ["train", "train", "train", "test"] * 49 + ["train", "train", "unused", None]
    division = divide(labelled, SplitSpec(method="auto"), cells=cells)
    assert division.method == "given"
    assert division.splits.test.tolist() == list(range(3, 196, 4))
    assert len(division.splits.validation) == pytest.approx(0.1 * 149, abs=2)
    assert [note["code"] for note in division.notes] == ["unknown_parts", "drawn_validation"]
    with pytest.raises(PartsUnknown):
        divide(labelled, SplitSpec(method="given", column="part"), cells=["yes", "no"] * 100)


def test_equal_texts_in_two_given_parts_are_said() -> None:
    rows = [*even(20, "a", "b"), *even(20, "a", "b")]
    division = divide(prepare(table_of(rows), spec()), SplitSpec(), cells=["train"] * 40 + ["test"] * 40)
    assert {"code": "texts_in_two_parts", "facts": {"count": 40}} in division.notes


@pytest.mark.parametrize("write", ["{:04d}", "2024-01-01T00:{:02d}:00", "{}.5"])
def test_the_latest_rows_are_the_test(write: str) -> None:
    labelled, _ = columns_of(60, 3)
    order = np.random.default_rng(0).permutation(60)
    cells: list[str | None] = [write.format(n) for n in order]
    splits = divide(labelled, SplitSpec(method="time", column="day"), cells=cells).splits
    assert_whole(labelled, splits)
    assert sorted(order[splits.test]) == list(range(54, 60))
    assert sorted(order[splits.validation]) == list(range(49, 54))
    with pytest.raises(TimeUnreadable):
        divide(labelled, SplitSpec(method="time", column="day"), cells=["soon"] * 60)


@pytest.mark.parametrize("several", [False, True])
def test_every_text_is_in_the_test_part_of_one_fold(several: bool) -> None:
    rows: list[tuple[str | None, str | None]] = [(f"t {n}", "a;b" if n % 3 else "b;c") for n in range(60)]
    labelled = prepare(table_of(rows if several else even(30, "a", "b")), spec(label_separator=";" if several else ""))
    tested = [divide(labelled, SplitSpec(folds=5, fold=fold)).splits.test.tolist() for fold in range(1, 6)]
    assert sorted(row for part in tested for row in part) == list(range(60))
    with pytest.raises(FoldMissing):
        divide(labelled, SplitSpec(folds=5, fold=6))
    with pytest.raises(FoldsNotPossible):
        divide(labelled, SplitSpec(folds=5, method="time", column="x"), cells=["1"] * 60)


def test_samples_keep_the_shares_and_every_label() -> None:
    labelled = prepare(table_of([*even(300, "a", "b"), *even(100, "c"), *even(4, "rare")]), spec())
    few = sampled(labelled, SampleSpec(rows=100), seed=1)
    assert len(few) == 100
    assert few.labels == labelled.labels
    assert few.counts() == {"a": 43, "b": 43, "c": 11, "rare": 3} or abs(few.counts()["c"] - 14) <= 1
    assert [few.texts[0], few.texts[-1]] == [labelled.texts[i] for i in (few.rows[0], few.rows[-1])]
    assert len(sampled(labelled, SampleSpec(share=0.5), seed=1)) == 352
    assert sampled(labelled, SampleSpec(cap=50), seed=1).counts() == {"a": 50, "b": 50, "c": 50, "rare": 4}
    assert sampled(labelled, SampleSpec(), seed=1) is labelled


def test_balancing_changes_the_training_part_only() -> None:
    labelled = prepare(table_of([*even(200, "a"), *even(40, "b")]), spec())
    plain = divide(labelled, SplitSpec()).splits
    for how, size in (("oversample", 162), ("undersample", 32)):
        splits = divide(labelled, SplitSpec(), SampleSpec(balance=how)).splits  # type: ignore[arg-type]
        assert labelled.counts(splits.train) == pytest.approx({"a": size, "b": size}, abs=1)
        assert splits.test.tolist() == plain.test.tolist()
        assert splits.validation.tolist() == plain.validation.tolist()
        assert set(splits.train) <= set(plain.train)


@pytest.mark.parametrize("method", ["given", "group", "time"])
def test_what_stands_in_a_later_part_too_can_be_left_out_of_training(method: str) -> None:
    rows = even(60, "a", "b")
    rows[6], rows[7], rows[50], rows[51] = rows[110], rows[100], rows[110], rows[111]
    labelled = prepare(table_of(rows), spec())
    parts = ["train"] * 90 + ["dev"] * 15 + ["test"] * 15
    cells: list[str | None] = {
        "given": parts,
        "group": [f"g{n // 10}" for n in range(120)],
        "time": [f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}" for n in range(120)],
    }[method]  # type: ignore[assignment]
    asked = SplitSpec(method=method, column="by", seed=3)  # type: ignore[arg-type]
    kept = divide(labelled, asked, cells=cells)
    left = divide(labelled, asked.model_copy(update={"overlap": "drop"}), cells=cells)
    (shared,) = [note["facts"]["count"] for note in kept.notes if note["code"] == "texts_in_two_parts"]
    assert shared > 0
    assert "texts_in_two_parts" not in {note["code"] for note in left.notes}
    (gone,) = [note["facts"] for note in left.notes if note["code"] == "overlap_left_out"]
    assert left.splits.test.tolist() == kept.splits.test.tolist()
    for name in ("train", "validation"):
        before, after = getattr(kept.splits, name), getattr(left.splits, name)
        assert set(after) <= set(before)
        assert len(before) - len(after) == gone[name]
    assert gone["train"] + gone["validation"] >= shared
    if method == "given":
        assert sorted(set(kept.splits.train) - set(left.splits.train)) == [6, 7, 50, 51]


def test_nothing_left_to_learn_from_is_said() -> None:
    rows = [*even(20, "a", "b"), *even(20, "a", "b")]
    cells = ["train"] * 40 + ["test"] * 40
    with pytest.raises(PartEmpty):
        divide(prepare(table_of(rows), spec()), SplitSpec(overlap="drop"), cells=cells)
