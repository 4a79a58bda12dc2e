"""Charts of tables and reports as plotly figures (JSON text); the page gives them its colours."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import plotly.graph_objects as go

from studio.i18n import Words

MOST_BARS = 50
HEIGHT = 260


def label_chart(t: Words, labels: list[dict[str, Any]], names: dict[str, str]) -> str:
    """Rows a label, largest first: ``labels`` is ``[{"value", "count"}]``."""
    shown = sorted(labels, key=lambda label: -label["count"])[:MOST_BARS][::-1]
    bars = go.Bar(
        x=[label["count"] for label in shown],
        y=[_short(names.get(label["value"], label["value"])) for label in shown],
        orientation="h",
        text=[f"{label['count']:,}" for label in shown],
        textposition="auto",
        constraintext="none",  # never shrunk until nobody can read it
        textangle=0,
        cliponaxis=False,
        hovertemplate="%{y}: %{x:,}<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_layout(height=max(HEIGHT, 60 + 20 * len(shown)), bargap=0.35, xaxis_title=t("data.rows_axis"))
    figure.update_yaxes(type="category", showgrid=False)
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


def confusion_chart(t: Words, labels: list[str], matrix: list[list[int]]) -> str:
    """The confusion matrix: rows are what the texts are, columns what the model said; shade is the share of the row."""
    names = [_short(label) for label in labels]
    shares = [[cell / max(1, sum(row)) for cell in row] for row in matrix]
    truth, said = t("results.truth"), t("results.said")
    heat = go.Heatmap(
        z=shares,
        x=names,
        y=names,
        zmin=0,
        zmax=1,
        showscale=False,
        colorscale=[[0, "rgba(15,118,110,0.04)"], [1, "rgba(15,118,110,0.85)"]],
        text=[[f"{cell:,}" for cell in row] for row in matrix],
        texttemplate="%{text}" if len(labels) <= 20 else None,
        hovertemplate=f"{truth}: %{{y}}<br>{said}: %{{x}}<br>%{{text}} · %{{z:.1%}}<extra></extra>",
        xgap=2,
        ygap=2,
    )
    figure = go.Figure(heat)
    figure.update_layout(height=max(320, 90 + 34 * len(labels)), xaxis_title=said, yaxis_title=truth)
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(type="category", showgrid=False)
    return _json(figure, t("results.confusion"))


def _json(figure: go.Figure, title: str) -> str:
    figure.update_layout(
        title={"text": title, "font": {"size": 13}, "x": 0, "xanchor": "left", "xref": "paper"},
        margin={"l": 10, "r": 16, "t": 40, "b": 40},
        template="none",
    )
    return str(figure.to_json())


def _short(label: str, longest: int = 24) -> str:
    # Plotly reads a little HTML in its texts: what a user wrote is never that.
    cut = label if len(label) <= longest else label[: longest - 1] + "…"
    return cut.replace("&", "&amp;").replace("<", "&lt;")
