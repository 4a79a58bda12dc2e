"""Charts of tables and reports as plotly figures (JSON text); the page gives them its colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go
from rich.cells import cell_len

from studio.i18n import Words

MOST_BARS = 50
HEIGHT = 260
MOST_PAIRS_WRITTEN = 14
MOST_CELLS_WRITTEN = 20
SMALL_CELL = 19
"""Pixels, where there are too many labels for numbers in the cells."""
LETTER = 6.5
"""Pixels of a letter of a tick's name; a Chinese character takes the room of two."""
LONGEST_HOVERED = 40
MOST_IN_A_SQUARE = 200
NARROWEST = 320
"""Pixels of a square of labels with its names: its title and what is said below the mouse need them."""


def label_chart(t: Words, labels: list[dict[str, Any]], names: Mapping[str, str]) -> str:
    """Rows a label, largest first: ``labels`` is ``[{"value", "count"}]``."""
    shown = sorted(labels, key=lambda label: -label["count"])[:MOST_BARS][::-1]
    named = [_short(names.get(label["value"], label["value"])) for label in shown]
    bars = go.Bar(
        x=[label["count"] for label in shown],
        y=list(range(len(shown))),
        customdata=named,
        orientation="h",
        text=[f"{label['count']:,}" for label in shown],
        textposition="outside",
        constraintext="none",  # never shrunk until nobody can read it
        textangle=0,
        cliponaxis=False,
        hovertemplate="%{customdata}: %{x:,}<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_layout(height=max(HEIGHT, 60 + 20 * len(shown)), bargap=0.35, xaxis_title=t("data.rows_axis"))
    most = max((label["count"] for label in shown), default=1)
    figure.update_xaxes(range=[0, 1.14 * most])  # room for the longest bar's number
    figure.update_yaxes(**_named_axis(named))
    return _json(figure, t("data.labels_chart"))


def length_chart(t: Words, lengths: dict[str, Any]) -> str:
    """How long the texts are, in characters: ``lengths["histogram"]`` is ``{"edges", "counts"}``."""
    edges, counts = lengths["histogram"]["edges"], lengths["histogram"]["counts"]
    bars = go.Bar(
        x=[(low + high) / 2 for low, high in pairwise(edges)],
        y=counts,
        width=[high - low for low, high in pairwise(edges)],
        customdata=[f"{low:g}–{high:g}" for low, high in pairwise(edges)],
        hovertemplate="%{customdata}: %{y:,}<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_layout(
        height=HEIGHT, bargap=0.04, xaxis_title=t("data.characters_axis"), yaxis_title=t("data.rows_axis")
    )
    return _json(figure, t("data.lengths_chart"))


def label_lengths_chart(t: Words, lengths: list[dict[str, Any]], names: Mapping[str, str]) -> str:
    """How long the texts of each label are: ``lengths`` is ``[{"value", "p5", "p25", "p50", "p75", "p95"}]``."""
    shown = lengths[:MOST_BARS][::-1]
    named = [_short(names.get(label["value"], label["value"])) for label in shown]
    places = list(range(len(shown)))
    middle = [
        f"{name}: {label['p50']:g} ({label['p5']:g}–{label['p95']:g})" for name, label in zip(named, shown, strict=True)
    ]
    hover = {"customdata": middle, "hovertemplate": "%{customdata}<extra></extra>"}
    lines = [
        go.Bar(
            base=[label["p5"] for label in shown],
            x=[label["p95"] - label["p5"] for label in shown],
            y=places,
            orientation="h",
            width=0.16,
            opacity=0.45,
            **hover,
        )
    ]
    lines += [
        go.Bar(
            base=[label["p25"] for label in shown],
            x=[label["p75"] - label["p25"] for label in shown],
            y=places,
            orientation="h",
            width=0.62,
            opacity=0.75,
            **hover,
        )
    ]
    medians = go.Scatter(
        x=[label["p50"] for label in shown],
        y=places,
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 11, "line": {"width": 2.5}},
        **hover,
    )
    figure = go.Figure([*lines, medians])
    figure.update_layout(
        height=max(HEIGHT, 90 + 22 * len(shown)),
        barmode="overlay",
        showlegend=False,
        xaxis_title=t("data.quantiles_axis"),
    )
    figure.update_traces(marker_color="#0f766e", selector={"type": "bar"})
    figure.update_yaxes(**_named_axis(named))
    figure.update_xaxes(rangemode="tozero")
    return _json(figure, t("data.lengths_by_label"))


def pairs_chart(t: Words, pairs: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Which labels stand together: ``pairs`` is ``{"labels", "counts"}``, counts a square with the rows of both.

    A cell's shade is the share of its row's label that has the column's label too. Of a fixed size, so that every
    label can be read; the page lets it scroll.
    """
    named = [_short(names.get(label, label), 20) for label in pairs["labels"]]
    counts, count = pairs["counts"], len(pairs["labels"])
    shares = [
        [None if row == column else counts[row][column] / max(1, counts[row][row]) for column in range(count)]
        for row in range(count)
    ]
    said = [
        [
            t(
                "data.pair",
                count=counts[row][column],
                one=named[row],
                other=named[column],
                percent=round(100 * (share or 0)),
            )
            for column, share in enumerate(line)
        ]
        for row, line in enumerate(shares)
    ]
    few = count <= MOST_PAIRS_WRITTEN
    heat = go.Heatmap(
        z=shares,
        customdata=said,
        text=[
            [f"{cell:,}" if row != column else "" for column, cell in enumerate(line)]
            for row, line in enumerate(counts)
        ],
        texttemplate="%{text}" if few else None,
        zmin=0,
        showscale=False,
        colorscale=_shades(0.6 if few else 0.9),
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        xgap=1,
        ygap=1,
    )
    figure = go.Figure(heat)
    _make_square(figure, named, cell=46 if few else SMALL_CELL)
    return _json(figure, t("data.pairs_chart"))


def confusion_chart(t: Words, labels: list[str], matrix: list[list[int]]) -> str:
    """The confusion matrix: rows are what the texts are, columns what the model said; shade is the share of the row.

    Of a fixed size, as `pairs_chart`; of very many labels those with the most texts.
    """
    counts, truth, said = np.array(matrix, dtype=np.int64), t("results.truth"), t("results.said")
    texts = counts.sum(axis=1)
    shown = np.sort(np.argsort(-texts, kind="stable")[:MOST_IN_A_SQUARE])
    title = t("results.confusion") if len(shown) == len(labels) else t("results.confusion_of_most", count=len(shown))
    said_of, shares = (each[np.ix_(shown, shown)] for each in (counts, counts / np.maximum(1, texts)[:, None]))
    names, written = [labels[row] for row in shown], len(shown) <= MOST_CELLS_WRITTEN
    places = _distinct([_short(name, LONGEST_HOVERED) for name in names])
    heat = go.Heatmap(
        z=shares.round(4).tolist(),
        x=places,
        y=places,
        customdata=said_of.tolist(),
        zmin=0,
        zmax=1,
        showscale=False,
        colorscale=_shades(0.6 if written else 0.9),
        text=[[f"{count:,}" for count in row] for row in said_of.tolist()] if written else None,
        texttemplate="%{text}" if written else None,
        hovertemplate=f"{truth}: %{{y}}<br>{said}: %{{x}}<br>%{{customdata:,}} · %{{z:.1%}}<extra></extra>",
        xgap=2 if written else 1,
        ygap=2 if written else 1,
    )
    figure = go.Figure(heat)
    _make_square(figure, [_short(name, 20) for name in names], cell=_cell_size(len(shown)))
    figure.update_xaxes(type="category", title={"text": said, "standoff": 10})
    figure.update_yaxes(type="category", title={"text": truth, "standoff": 10})
    return _json(figure, title)


def _distinct(names: list[str]) -> list[str]:
    """The names; one that was there before with its number: what has the same name has the same place on an axis."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _cell_size(count: int) -> int:
    """Pixels of a cell of so many labels' confusion matrix."""
    return next((size for most, size in ((3, 96), (6, 72), (MOST_CELLS_WRITTEN, 46)) if count <= most), SMALL_CELL)


def _make_square(figure: go.Figure, names: list[str], cell: int) -> None:
    """Give a heat map of labels by labels a size in which each cell has so many pixels and every name can be read."""
    longest, cells = LETTER * max(map(cell_len, names), default=0), cell * len(names)
    angle = 0 if longest < cell else -45 if cell > SMALL_CELL else -90
    below = {0: 16.0, -45: 0.75 * longest, -90: longest}[angle]
    width = max(NARROWEST, round(70 + longest + cells))
    figure.update_layout(width=width, height=round(110 + below + cells), autosize=False)
    figure.update_yaxes(**_named_axis(names), tickfont_size=11, autorange="reversed")
    figure.update_xaxes(**_named_axis(names), tickfont_size=11, side="bottom", tickangle=angle)


def _shades(deepest: float) -> list[list[Any]]:
    # The page writes its own ink over them: up to 0.6 it stays readable, light and dark.
    return [[0, "rgba(15,118,110,0.04)"], [1, f"rgba(15,118,110,{deepest})"]]


def _named_axis(names: list[str]) -> dict[str, Any]:
    # By place, not by name: two long names may be cut to the same one, and would share a bar.
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": names,
        "showgrid": False,
        "zeroline": False,
    }


def _json(figure: go.Figure, title: str) -> str:
    figure.update_layout(
        title={"text": title, "font": {"size": 13}, "x": 0.012, "xanchor": "left", "xref": "container"},
        margin={"l": 10, "r": 16, "t": 40, "b": 40},
        template="none",
    )
    return str(figure.to_json())


def _short(label: str, longest: int = 24) -> str:
    # In the middle: what tells labels of one kind apart is often at their end.
    end = longest // 3
    cut = label if len(label) <= longest else f"{label[: longest - 1 - end]}…{label[-end:]}"
    # Plotly reads a little HTML in its texts: what a user wrote is never that.
    return cut.replace("&", "&amp;").replace("<", "&lt;")
