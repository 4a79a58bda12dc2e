"""What columns are besides text and label: groups, parts, times, and columns of 0 and 1 that are labels each."""

from __future__ import annotations

import pyarrow as pa
import pytest

from backend.data.label_columns import label_cells
from backend.data.labels import LIST_SEPARATOR, guess_separator, label_counts, list_in, split_cell
from backend.data.profiling import Guess, count_cells, guess_columns, profile_column
from backend.data.splitting import prepare
from backend.errors import ColumnMissing, LabelColumnNotBinary
from backend.specs import DataSpec

TEXTS: list[str | None] = [f"this is sentence number {n} of a small table" for n in range(60)]


def table_of(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


def guess(table: pa.Table) -> Guess:
    profiles = [profile_column(name, table[name]) for name in table.column_names]
    return guess_columns(profiles, lambda name: count_cells(table[name]))


def test_group_part_and_time_columns_are_told_with_their_reasons() -> None:
    found = guess(
        table_of(
            id=[str(n) for n in range(60)],
            text=TEXTS,
            user_id=[f"u{n % 12}" for n in range(60)],
            part=["train"] * 48 + ["dev"] * 6 + ["test"] * 6,
            created_at=[f"2026-03-{n % 28 + 1:02} 10:00" for n in range(60)],
            mood=["glad", "sad", "calm"] * 20,
        )
    )
    roles = found.roles
    assert (roles.id, roles.group, roles.split, roles.time) == (["id"], "user_id", "part", "created_at")
    assert roles.reasons == {"split": "parts", "time": "dates", "group": "name"}
    assert (found.text, found.label, found.certain) == ("text", "mood", True)


def test_parts_are_neither_the_label_nor_told_where_other_words_stand_between() -> None:
    assert guess(table_of(text=TEXTS, split=["train", "test"] * 30)).label is None
    mixed = guess(table_of(text=TEXTS, split=["train", "test", "other"] * 20))
    assert (mixed.roles.split, mixed.label) == ("", "split")


def test_an_id_that_comes_again_is_a_group_and_one_that_does_not_is_an_id() -> None:
    roles = guess(
        table_of(
            text=TEXTS,
            label=["0", "1"] * 30,
            order_id=[str(n // 2) for n in range(60)],
            row_id=[str(n) for n in range(60)],
        )
    ).roles
    assert (roles.group, roles.reasons["group"], roles.id) == ("order_id", "repeats", ["row_id"])


def test_columns_of_zeros_and_ones_are_labels_each() -> None:
    flags = {
        name: [str(int(n % k == 0)) for n in range(60)] for k, name in ((2, "toxic"), (3, "insult"), (5, "threat"))
    }
    found = guess(table_of(comment=TEXTS, **flags))
    assert (found.text, found.label, found.task, found.certain) == ("comment", None, "multilabel", True)
    assert found.roles.label_columns == ["toxic", "insult", "threat"]
    assert found.reasons["label"] == "columns"
    # A column that is called label is the label, whatever else is marked.
    assert guess(table_of(comment=TEXTS, label=["a", "b"] * 30, **flags)).label == "label"


def test_label_columns_become_lists_and_rows_of_zeros_stay() -> None:
    table = table_of(text=["a", "b", "c", "d"], x=["1", "0", "1.0", None], y=["true", "FALSE", " 0", " "])
    cells = label_cells(table, "", ("x", "y"))
    assert cells.to_pylist() == ['["x", "y"]', "[]", '["x"]', None]
    with pytest.raises(LabelColumnNotBinary) as raised:
        label_cells(table_of(x=["1", "2"]), "", ("x",))
    assert raised.value.values == ["2"]
    with pytest.raises(ColumnMissing):
        label_cells(table, "", ("x", "z"))


def test_rows_are_made_of_label_columns() -> None:
    flags = {name: [str(int(n % k == 0)) for n in range(60)] for k, name in ((2, "toxic"), (3, "insult"))}
    labelled = prepare(table_of(text=TEXTS, **flags), DataSpec(text_column="text", label_columns=("toxic", "insult")))
    assert (labelled.task, labelled.labels, len(labelled)) == ("multilabel", ["insult", "toxic"], 60)
    assert labelled.counts() == {"insult": 20, "toxic": 30}


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ('["a", "b"]', ["a", "b"]),
        ("['a', \"b's\"]", ["a", "b's"]),
        ("[3, 27]", ["3", "27"]),
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ("[]", []),
        ("[deleted]", ["[deleted]"]),
        ("[__import__('os').system('true')]", ["[__import__('os').system('true')]"]),
        ("[" * 9000 + "]" * 9000, ["[" * 9000 + "]" * 9000]),
    ],
)
def test_a_cell_that_is_written_as_a_list_holds_its_labels(cell: str, labels: list[str]) -> None:
    assert split_cell(cell, LIST_SEPARATOR) == labels


def test_lists_are_found_and_vectors_are_not() -> None:
    lists = {"['a', 'b']": 5, "['b']": 5, "['c', 'a']": 5}
    assert guess_separator(lists) == LIST_SEPARATOR
    assert label_counts(lists, LIST_SEPARATOR) == {"a": 10, "b": 10, "c": 5}
    assert guess_separator({f"[0.{n}1, 0.{n}2]": 1 for n in range(50)}) != LIST_SEPARATOR
    assert list_in("a, b") is None
    found = guess(table_of(text=TEXTS, tags=["['a', 'b']", "['b', 'c']", "['c']"] * 20))
    assert (found.label, found.task, found.separator) == ("tags", "multilabel", LIST_SEPARATOR)
