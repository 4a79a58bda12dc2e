"""Which columns are taken for the texts and the labels, and what a label column is taken to say."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pyarrow as pa
import pytest

from backend.data.datasets import samples
from backend.data.labels import guess_separator, label_counts, label_order, resolve_task, split_cell
from backend.data.profiling import Guess, count_cells, guess_columns, profile_column
from backend.data.reading import read_table


def guess(table: pa.Table) -> Guess:
    profiles = [profile_column(name, table[name]) for name in table.column_names]
    return guess_columns(profiles, lambda name: count_cells(table[name]))


REAL = {
    "waimai_10k.csv": ("review", "label", "binary", "", True),
    "online_shopping_10_cats.zip": ("review", "label", "binary", "", False),
    "anime_no_adult.csv": ("synopsis", "genres", "multilabel", ", ", True),
    "mbti_1.csv": ("posts", "type", "multiclass", "", True),
    "goemotions/train.tsv": ("column_1", "column_2", "multilabel", ",", True),
    "sst2/train.tsv": ("column_1", "column_2", "binary", "", True),
}


@pytest.mark.data
@pytest.mark.parametrize("name", REAL)
def test_columns_of_real_tables_are_guessed_in_any_order(name: str, shared_data: Path) -> None:
    table, _facts = read_table(shared_data / name)
    for columns in list(permutations(table.column_names))[:: max(1, len(table.column_names) - 2)][:6]:
        found = guess(table.select(columns))
        assert (found.text, found.label, found.task, found.separator, found.certain) == REAL[name]


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        (0, ("review", "label", "binary", "")),
        (1, ("message", "topic", "multiclass", "")),
        (2, ("blurb", "genres", "multilabel", ", ")),
    ],
)
def test_columns_of_the_samples_are_guessed_with_certainty(sample: int, expected: tuple[str, ...]) -> None:
    found = guess(read_table(samples()[sample].file)[0])
    assert (found.text, found.label, found.task, found.separator) == expected
    assert found.certain
    assert samples()[sample].task == found.task


def table_of(**columns: list[str | None]) -> pa.Table:
    return pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})


TEXTS: list[str | None] = [f"this is sentence number {n} of a small table" for n in range(40)]


def test_columns_of_ids_numbers_and_nothing_are_neither_text_nor_label() -> None:
    table = table_of(
        id=[str(n) for n in range(40)],
        commit=[f"{n * 7919:08x}" for n in range(40)],
        price=[f"{n}.5" for n in range(40)],
        empty=[None, " "] * 20,
        sentence=TEXTS,
        mood=["glad", "sad"] * 20,
    )
    kinds = {name: profile_column(name, table[name]).kind for name in table.column_names}
    assert kinds == {
        "id": "id",
        "commit": "id",
        "price": "number",
        "empty": "empty",
        "sentence": "text",
        "mood": "label",
    }
    found = guess(table)
    assert (found.text, found.label, found.certain) == ("sentence", "mood", True)


def test_two_texts_of_the_same_length_are_not_certain() -> None:
    other = [f"here stands some other text, of row {n}, beside it" for n in range(40)]
    assert guess(table_of(premise=TEXTS, hypothesis=other, label=["0", "1"] * 20)).certain is False


def test_a_named_label_wins_over_an_unnamed_one_with_fewer_values() -> None:
    found = guess(table_of(text=TEXTS, lang=["en", "de"] * 20, label=["a", "b", "c", "d"] * 10))
    assert (found.label, found.certain) == ("label", True)


def test_a_table_without_labels_has_no_label_column() -> None:
    found = guess(table_of(text=TEXTS, id=[str(n) for n in range(40)]))
    assert (found.text, found.label, found.certain) == ("text", None, False)


def test_four_rows_are_enough_to_guess() -> None:
    texts = ["good food", "bad food", "very good", "very bad"]
    assert guess(table_of(label=["1", "0", "1", "0"], text=list(texts))).label == "label"


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        ({"Action, Comedy": 3, "Comedy, Drama": 3, "Drama": 4}, ", "),
        ({"3,27": 4, "27": 9, "3": 9, "4,27": 4, "4": 5}, ","),
        ({"a|b": 5, "b|c": 5, "c": 5}, "|"),
        ({"悬疑、爱情": 4, "爱情、喜剧": 4, "喜剧": 4}, "、"),
        ({"Home, garden": 20, "Sports, outdoors": 20, "Books": 10}, ""),
        ({"yes": 10, "no": 10}, ""),
        ({"One sentence, with a comma.": 1, "Another one, and more.": 1, "A third, too, here.": 1}, ""),
    ],
)
def test_several_labels_in_a_cell_are_told_from_names_with_commas(cells: dict[str, int], separator: str) -> None:
    assert guess_separator(cells) == separator


def test_cells_are_split_cleanly() -> None:
    assert split_cell(" a,b , ,a", ", ") == ["a", "b"]
    assert split_cell("a b", " ") == ["a", "b"]
    assert split_cell("a, b", "") == ["a, b"]
    assert label_counts({"a,b": 2, "b": 3}, ",") == {"a": 2, "b": 5}


def test_labels_are_ordered_by_value_or_by_characters() -> None:
    assert label_order(["10", "9", "-1"]) == ["-1", "9", "10"]
    assert label_order(["b", "10", "a"]) == ["10", "a", "b"]


def test_what_is_left_open_is_resolved_and_what_is_given_stands() -> None:
    pair = {"a": 5, "b": 5}
    assert resolve_task(pair, "auto", "") == ("binary", "")
    assert resolve_task(pair, "multiclass", "") == ("multiclass", "")
    assert resolve_task({**pair, "c": 5}, "auto", "") == ("multiclass", "")
    assert resolve_task({"a;b": 5, "b": 5}, "auto", ";") == ("multilabel", ";")
    assert resolve_task({"a;b": 5, "b;c": 5, "c": 5}, "multilabel", "") == ("multilabel", ";")
    assert resolve_task({"a;b": 5, "b;c": 5, "c": 5}, "multiclass", "") == ("multiclass", "")
