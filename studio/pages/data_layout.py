"""Data: the components of the page, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.datasets import Sample, samples
from studio import components
from studio.i18n import Words
from studio.markup import empty_state
from studio.pages import data_charts, data_hub, data_preparing, data_reading
from studio.pages.data_charts import ChartsView


@dataclass(frozen=True)
class DataView:
    """The components of the data page."""

    problem: gr.HTML
    nothing: gr.Column
    file: gr.File
    hub: data_hub.HubView
    samples: tuple[tuple[Sample, gr.Button], ...]
    importing: gr.HTML
    table: gr.Column
    heading: gr.HTML
    reading: data_reading.ReadingView
    text: gr.Dropdown
    label: gr.Dropdown
    several: gr.Accordion
    label_columns: gr.Dropdown
    task: gr.Dropdown
    separator: gr.Textbox
    names: gr.HTML
    charts: ChartsView
    findings: gr.HTML
    describing: gr.HTML
    preview: gr.HTML
    preparing: data_preparing.PreparingView
    reasons: gr.HTML

    def choices(self) -> list[Component]:
        """The fields that make a `DataSpec`, in the order of `studio.pages.data.chosen`."""
        return [self.text, self.label, self.label_columns, self.task, self.separator, self.names]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        shown = [self.problem, self.nothing, self.file, self.importing, self.table, self.heading, *self.choices()]
        shown += [self.several, *self.preparing.outputs(), *self.reading.outputs(), *self.charts.outputs()]
        return [*shown, self.findings, self.describing, self.preview, self.reasons]


def layout(t: Words) -> DataView:
    """Build the page inside the open tab."""
    trouble = gr.HTML(elem_classes="slot")
    with gr.Column(elem_classes="first-visit") as nothing:
        gr.HTML(empty_state(t("data.first_title"), t("data.first_about")))
        # Any file may come: reading it says in the user's words what is wrong with it.
        file = gr.File(label=t("data.drop"), file_count="multiple", height=170, elem_id=f"drop-{t.language}")
        hub = data_hub.layout(t)
        gr.HTML(f"<h4>{t('data.or_sample')}</h4>")
        with gr.Row(elem_classes="cards"):
            cards = tuple((sample, _sample_card(t, sample)) for sample in samples())
    importing = components.job_progress()
    with gr.Column(visible=False) as table:
        head = gr.HTML()
        with gr.Row(elem_classes="roles"):
            text = gr.Dropdown(
                label=t("setting.data.text_column.name"),
                info=t("setting.data.text_column.help"),
                allow_custom_value=True,
                min_width=200,
            )
            label = gr.Dropdown(
                label=t("setting.data.label_column.name"),
                info=t("setting.data.label_column.help"),
                allow_custom_value=True,
                min_width=200,
            )
            task = gr.Dropdown(
                choices=[(t(f"task.{task}"), task) for task in ("auto", "binary", "multiclass", "multilabel")],
                label=t("setting.data.task.name"),
                info=t("setting.data.task.help"),
                filterable=False,
                min_width=200,
            )
            separator = gr.Textbox(
                label=t("setting.data.label_separator.name"),
                info=t("setting.data.label_separator.help"),
                max_lines=1,
                min_width=200,
            )
        why = gr.HTML()
        with gr.Accordion(t("data.several_columns"), open=False, elem_classes="several") as several:
            label_columns = gr.Dropdown(
                label=t("setting.data.label_columns.name"),
                info=t("setting.data.label_columns.help"),
                multiselect=True,
                elem_id=f"label-columns-{t.language}",
            )
        with gr.Row(elem_classes="two"):
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.findings')}</h4>")
                found = components.findings_list()
                describing = components.job_progress()
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.labels')}</h4><p class='muted'>{t('data.labels_about')}</p>")
                names = components.label_names()
        preparing = data_preparing.layout(t)
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('data.first_rows')}</h4>")
            rows = gr.HTML()
        charts = data_charts.layout(t)
        reading = data_reading.layout(t)
        gr.HTML(
            f'<div class="next"><a class="button" href="?step=data" data-go>{t("data.other_file")}</a>'
            f'<button class="button primary" data-step="model">{t("data.next")} →</button></div>',
            elem_classes="next-bar",
        )
    return DataView(
        trouble, nothing, file, hub, cards, importing, table, head, reading, text, label, several, label_columns, task,
        separator, names, charts, found, describing, rows, preparing, why,
    )  # fmt: skip


def _sample_card(t: Words, sample: Sample) -> gr.Button:
    with gr.Column(min_width=220, elem_classes="card sample"):
        gr.HTML(f"<strong>{t(f'sample.{sample.id}.title')}</strong><p>{t(f'sample.{sample.id}.about')}</p>")
        return gr.Button(t("data.try_sample"), size="sm", elem_id=f"sample-{sample.id}-{t.language}")
