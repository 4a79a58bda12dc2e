"""Charts keep labels apart, show what a user wrote as text, and stay readable with many labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from studio.figures import confusion_chart, label_chart, label_lengths_chart, pairs_chart
from studio.i18n import words

LONG = "a label with a very long name, number {} of those that are cut"
T = words("en")


def figure(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_long_labels_keep_their_beginning_and_their_end() -> None:
    labels = [f"science fiction and space opera {n:02d}" for n in (3, 9)]
    chart = figure(confusion_chart(T, labels, [[4, 1], [0, 5]]))
    assert chart["layout"]["xaxis"]["ticktext"] == ["science ficti…era 03", "science ficti…era 09"]


def test_labels_that_are_cut_to_the_same_name_keep_a_bar_each() -> None:
    chart = figure(label_chart(T, [{"value": LONG.format(n), "count": 3 - n} for n in range(3)], {}))
    assert chart["data"][0]["y"] == [0, 1, 2]
    assert len(set(chart["layout"]["yaxis"]["ticktext"])) == 1


def test_labels_that_are_cut_to_the_same_name_keep_a_row_and_a_column_each() -> None:
    labels = [LONG.format(n) for n in range(3)]
    chart = figure(confusion_chart(T, labels, [[4, 1, 0], [0, 5, 0], [2, 0, 3]]))
    (heat,) = chart["data"]
    assert len({*heat["x"]}) == len({*heat["y"]}) == 3
    assert heat["z"][2] == [0.4, 0, 0.6]
    assert heat["customdata"][2] == [2, 0, 3]
    assert heat["text"][2] == ["2", "0", "3"]
    for axis in ("xaxis", "yaxis"):
        assert chart["layout"][axis]["type"] == "category"
        assert chart["layout"][axis]["tickvals"] == [0, 1, 2]
        assert len(set(chart["layout"][axis]["ticktext"])) == 1


def test_of_very_many_labels_those_with_the_most_texts_are_in_the_matrix() -> None:
    count = 1000
    labels = [f"a label of some length {n}" for n in range(count)]
    matrix = [[0] * count for _ in labels]
    for n in range(count):
        matrix[n][(n + 1) % count] = 1 + n
    text = confusion_chart(T, labels, matrix)
    chart = figure(text)
    assert len(text) < 1e6
    assert chart["layout"]["width"] < 4200
    assert chart["data"][0]["x"] == labels[-200:]
    assert chart["data"][0]["customdata"][0][1] == 801
    assert "200 labels" in chart["layout"]["title"]["text"]


@pytest.mark.parametrize(("count", "most"), [(2, 326), (6, 600), (20, 1060), (42, 1040)])
def test_confusion_matrix_grows_with_its_labels_and_fits_a_page(count: int, most: int) -> None:
    labels = [f"label {n}" for n in range(count)]
    chart = figure(confusion_chart(T, labels, [[1] * count for _ in labels]))
    assert 19 * count < chart["layout"]["width"] < most
    assert bool(chart["data"][0].get("texttemplate")) == (count <= 20)


def test_a_label_of_html_is_text_in_every_chart() -> None:
    label = "<a href='javascript:1'>x</a>"
    quantiles = {"value": label, "p5": 1, "p25": 2, "p50": 3, "p75": 4, "p95": 5}
    pairs = {"labels": [label, "b"], "counts": [[5, 2], [2, 4]]}
    charts = (label_chart(T, [{"value": label, "count": 5}], {}), label_lengths_chart(T, [quantiles], {}))
    for chart in (*charts, pairs_chart(T, pairs, {}), confusion_chart(T, [label, "b"], [[3, 2], [2, 4]])):
        assert "<a " not in chart
        assert "\\u003ca " not in chart
        assert "&lt;a" in chart.replace("\\u0026", "&")


def test_the_square_of_41_labels_is_as_wide_as_a_page_and_names_them_all() -> None:
    labels = [f"genre {n}" for n in range(41)]
    chart = figure(pairs_chart(T, {"labels": labels, "counts": [[1] * 41 for _ in labels]}, {"genre 0": "first"}))
    assert 880 < chart["layout"]["width"] < 1160
    assert chart["layout"]["xaxis"]["ticktext"] == ["first", *labels[1:]]
    assert chart["data"][0]["z"][3][3] is None
    assert chart["data"][0]["z"][3][4] == 1
