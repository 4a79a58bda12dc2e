"""The charts of a report: labels, lengths, lengths by label, and which labels stand together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import components
from studio.figures import label_chart, label_lengths_chart, length_chart, pairs_chart
from studio.i18n import Words
from studio.markup import tag, text
from studio.pages.data_view import lengths as lengths_line


@dataclass(frozen=True)
class ChartsView:
    """The components of the charts."""

    labels: gr.HTML
    lengths: gr.HTML
    lengths_summary: gr.HTML
    label_lengths: gr.HTML
    pairs_panel: gr.Accordion
    pairs: gr.HTML
    pairs_about: gr.HTML

    def outputs(self) -> list[Any]:
        """Everything a report can change."""
        return [self.pairs_panel, *self.values()]

    def values(self) -> list[gr.HTML]:
        """What is empty where there is no report."""
        return [self.labels, self.lengths, self.lengths_summary, self.label_lengths, self.pairs, self.pairs_about]


def layout(t: Words) -> ChartsView:
    """Build the cards of the charts; one without a figure is not seen."""
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=320, elem_classes="card"):
            labels = components.plot("labels-chart")
        with gr.Column(min_width=320, elem_classes="card"):
            lengths = components.plot("lengths-chart")
            lengths_summary = gr.HTML()
            with gr.Accordion(t("data.lengths_by_label"), open=False, elem_classes="by-label"):
                label_lengths = components.plot("label-lengths-chart")
    with gr.Accordion(t("data.pairs_chart"), open=False, visible=False, elem_classes="folded") as pairs_panel:
        pairs = components.plot("pairs-chart")
        pairs_about = gr.HTML()
    return ChartsView(labels, lengths, lengths_summary, label_lengths, pairs_panel, pairs, pairs_about)


def described(t: Words, view: ChartsView, report: Mapping[str, Any], names: Mapping[str, str]) -> dict[Any, Any]:
    """The charts of a report, its labels under the names they were given."""
    lengths, pairs = report["lengths"], report.get("pairs")
    by_label = lengths.get("by_label") or []
    said = t("data.pairs_about") if pairs else ""
    return {
        view.labels: label_chart(t, report["labels"], names),
        view.lengths: length_chart(t, lengths),
        view.lengths_summary: lengths_line(t, lengths),
        view.label_lengths: label_lengths_chart(t, by_label, names) if by_label else "",
        view.pairs_panel: gr.update(visible=bool(pairs)),
        view.pairs: pairs_chart(t, pairs, names) if pairs else "",
        view.pairs_about: tag("p", text(said), class_="muted") if said else "",
    }


def undescribed(view: ChartsView) -> dict[Any, Any]:
    """Nothing of another table may stay on the page."""
    return {**dict.fromkeys(view.values(), ""), view.pairs_panel: gr.update(visible=False)}
