"""Charts keep labels apart, show what a user wrote as text, and stay readable with many labels."""

from __future__ import annotations

import json
from typing import Any

from studio.figures import label_chart, label_lengths_chart, pairs_chart
from studio.i18n import words

LONG = "a label with a very long name, number"
T = words("en")


def figure(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def test_labels_that_are_cut_to_the_same_name_keep_a_bar_each() -> None:
    chart = figure(label_chart(T, [{"value": f"{LONG} {n}", "count": 3 - n} for n in range(3)], {}))
    assert chart["data"][0]["y"] == [0, 1, 2]
    assert len(set(chart["layout"]["yaxis"]["ticktext"])) == 1


def test_a_label_of_html_is_text_in_every_chart() -> None:
    label = "<a href='javascript:1'>x</a>"
    quantiles = {"value": label, "p5": 1, "p25": 2, "p50": 3, "p75": 4, "p95": 5}
    pairs = {"labels": [label, "b"], "counts": [[5, 2], [2, 4]]}
    charts = (label_chart(T, [{"value": label, "count": 5}], {}), label_lengths_chart(T, [quantiles], {}))
    for chart in (*charts, pairs_chart(T, pairs, {})):
        assert "<a " not in chart
        assert "\\u003ca " not in chart
        assert "&lt;a" in chart.replace("\\u0026", "&")


def test_the_square_of_41_labels_is_as_wide_as_a_page_and_names_them_all() -> None:
    labels = [f"genre {n}" for n in range(41)]
    chart = figure(pairs_chart(T, {"labels": labels, "counts": [[1] * 41 for _ in labels]}, {"genre 0": "first"}))
    assert 900 < chart["layout"]["width"] < 1160
    assert chart["layout"]["xaxis"]["ticktext"] == ["first", *labels[1:]]
    assert chart["data"][0]["z"][3][3] is None
    assert chart["data"][0]["z"][3][4] == 1
