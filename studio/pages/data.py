"""Data: drop a file or take a sample, see what is in it, choose the columns, name the labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.choices import report_on, save_choices, start_report_on
from backend.data.datasets import Sample, samples, start_import, wait
from backend.data.labels import named_labels
from backend.errors import DatasetMissing, StudioError
from backend.specs import DataSpec, Task
from studio import components
from studio.address import Opened, goto
from studio.figures import label_chart, length_chart
from studio.i18n import Words
from studio.markup import empty_state, problem
from studio.pages import data_reading
from studio.pages.data_findings import findings, findings_said
from studio.pages.data_view import heading, lengths, preview
from studio.services import Services
from studio.site import Site

REPORT_TIMEOUT_S = 300.0
MOST_LABELS_NAMED = 200
NAME_LENGTH = 80


@dataclass(frozen=True)
class DataView:
    """The components of the data page."""

    problem: gr.HTML
    nothing: gr.Column
    file: gr.File
    samples: tuple[tuple[Sample, gr.Button], ...]
    importing: gr.HTML
    table: gr.Column
    heading: gr.HTML
    reading: data_reading.ReadingView
    text: gr.Dropdown
    label: gr.Dropdown
    task: gr.Dropdown
    separator: gr.Textbox
    names: gr.HTML
    labels_chart: gr.HTML
    lengths_chart: gr.HTML
    lengths_summary: gr.HTML
    findings: gr.HTML
    preview: gr.HTML

    def choices(self) -> list[Component]:
        """The fields that make a `DataSpec`, in the order of `chosen`."""
        return [self.text, self.label, self.task, self.separator, self.names]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        shown = [self.problem, self.nothing, self.file, self.importing, self.table, self.heading, *self.choices()]
        charts = [self.labels_chart, self.lengths_chart, self.lengths_summary]
        return [*shown, *self.reading.outputs(), *charts, self.findings, self.preview]


def layout(t: Words) -> DataView:
    """Build the page inside the open tab."""
    trouble = gr.HTML(elem_classes="slot")
    with gr.Column(elem_classes="first-visit") as nothing:
        gr.HTML(empty_state(t("data.first_title"), t("data.first_about")))
        # Any file may come: reading it says in the user's words what is wrong with it.
        file = gr.File(label=t("data.drop"), file_count="multiple", height=170, elem_id=f"drop-{t.language}")
        gr.HTML(f"<h4>{t('data.or_sample')}</h4>")
        with gr.Row(elem_classes="cards"):
            cards = tuple((sample, _sample_card(t, sample)) for sample in samples())
    importing = components.job_progress()
    with gr.Column(visible=False) as table:
        head = gr.HTML()
        reading = data_reading.layout(t)
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
        with gr.Row(elem_classes="two"):
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.labels')}</h4><p class='muted'>{t('data.labels_about')}</p>")
                names = components.label_names()
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.findings')}</h4>")
                found = components.findings_list()
        with gr.Row(elem_classes="two"):
            with gr.Column(min_width=320, elem_classes="card"):
                labels_chart = components.plot("labels-chart")
            with gr.Column(min_width=320, elem_classes="card"):
                lengths_chart = components.plot("lengths-chart")
                lengths_summary = gr.HTML()
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('data.first_rows')}</h4>")
            rows = gr.HTML()
        gr.HTML(
            f'<div class="next"><a class="button" href="?step=data" data-go>{t("data.other_file")}</a>'
            f'<button class="button primary" data-step="model">{t("data.next")} →</button></div>'
        )
    return DataView(
        trouble, nothing, file, cards, importing, table, head, reading, text, label, task, separator, names,
        labels_chart, lengths_chart, lengths_summary, found, rows,
    )  # fmt: skip


def _sample_card(t: Words, sample: Sample) -> gr.Button:
    with gr.Column(min_width=220, elem_classes="card sample"):
        gr.HTML(f"<strong>{t(f'sample.{sample.id}.title')}</strong><p>{t(f'sample.{sample.id}.about')}</p>")
        return gr.Button(t("data.try_sample"), size="sm", elem_id=f"sample-{sample.id}-{t.language}")


# -- handlers


def show(services: Services, t: Words, view: DataView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    importing = opened.address.importing
    empty = opened.profile is None
    updates: dict[Any, Any] = {
        view.problem: problem(t, opened.problem),
        view.nothing: gr.update(visible=empty and not importing),
        view.file: None,
        view.importing: json.dumps({"job": importing, "then": "?data={dataset}"}) if importing else "",
        view.table: gr.update(visible=not empty),
    }
    if opened.profile is None or opened.choices is None:
        return updates
    columns = [column["name"] for column in opened.profile["columns"]]
    chosen = opened.choices
    updates |= data_reading.show(t, view.reading, opened)
    updates |= {
        view.heading: heading(t, opened.profile),
        view.text: gr.update(choices=columns, value=chosen.text_column or None),
        view.label: gr.update(choices=columns, value=chosen.label_column or None),
        view.task: chosen.task,
        view.separator: gr.update(value=chosen.label_separator, visible=chosen.task == "multilabel"),
        view.preview: preview(t, opened.profile, chosen),
    }
    report = report_on(services.home, chosen)
    if report:
        return updates | _described(t, view, chosen, report)
    waiting = "data.describing" if _names_columns(chosen) else "data.choose_columns"
    return updates | _undescribed(view, t(waiting))


def import_file(services: Services, path: str | None, name: str | None = None) -> str:
    """Start reading a dropped file in a process of its own; leads to its progress.

    Raises:
        DatasetMissing: no file came.
    """
    if not path:
        raise DatasetMissing(dataset="")
    job = start_import(services.home, Path(path), name or Path(path).name)
    return goto(importing=job.id)


def chosen(opened: Opened, text: str | None, label: str | None, task: Task, separator: str, names: str) -> DataSpec:
    """The choices that the fields hold, for the open table.

    Raises:
        DatasetMissing: no table is open.
    """
    if opened.profile is None:
        raise DatasetMissing(dataset="")
    given = json.loads(names)["names"] if names else {}
    return DataSpec(
        source=opened.profile["file"],
        dataset=opened.dataset,
        text_column=text or "",
        label_column=label or "",
        task=task,
        label_separator=(separator or "")[:3],
        label_names={str(value): str(name)[:NAME_LENGTH] for value, name in given.items()},
    )


def _keep(services: Services, opened: Opened, spec: DataSpec) -> None:
    # A run's own table is shown with the run's choices; they are history and stay as they were.
    if opened.run is None:
        save_choices(services.home, spec)


def describe(services: Services, t: Words, view: DataView, opened: Opened, *fields: Any) -> Iterator[dict[Any, Any]]:
    """Keep the chosen columns and report on them, in a process of its own."""
    spec = chosen(opened, *fields)
    assert opened.profile is not None
    assert opened.choices is not None
    if spec.label_column != opened.choices.label_column:
        spec = spec.model_copy(update={"label_names": {}})
    _keep(services, opened, spec)
    yield {
        view.problem: "",
        view.preview: preview(t, opened.profile, spec),
        view.separator: gr.update(visible=spec.task == "multilabel"),
    }
    if _names_columns(spec):
        yield from _report(services, t, view, spec)
    else:
        yield _undescribed(view, t("data.choose_columns"))


def finish_describing(services: Services, t: Words, view: DataView, opened: Opened) -> Iterator[dict[Any, Any]]:
    """Report on an opened table that has no report on its chosen columns yet: the page was closed too early."""
    spec = opened.choices
    if spec is None or not _names_columns(spec) or report_on(services.home, spec):
        yield {view.problem: gr.skip()}
    else:
        yield from _report(services, t, view, spec)


def _names_columns(spec: DataSpec) -> bool:
    return bool(spec.text_column and spec.label_column)


def _report(services: Services, t: Words, view: DataView, spec: DataSpec) -> Iterator[dict[Any, Any]]:
    report = report_on(services.home, spec)
    if report is None:
        yield _undescribed(view, t("data.describing"))
        try:
            wait(start_report_on(services.home, spec), timeout_s=REPORT_TIMEOUT_S)
            report = report_on(services.home, spec)
        except StudioError as error:
            yield {view.problem: problem(t, error), **_undescribed(view, "")}
            return
    assert report is not None
    yield _described(t, view, spec, report)


def _undescribed(view: DataView, said: str) -> dict[Any, Any]:
    # Nothing of another table or column may stay on the page.
    cleared = (view.names, view.labels_chart, view.lengths_chart, view.lengths_summary)
    return {view.findings: findings_said(said), **dict.fromkeys(cleared, "")}


def _described(t: Words, view: DataView, spec: DataSpec, report: dict[str, Any]) -> dict[Any, Any]:
    labels = report["labels"][:MOST_LABELS_NAMED]
    return {
        view.names: json.dumps({"labels": labels, "names": spec.label_names}, ensure_ascii=False),
        view.labels_chart: label_chart(t, report["labels"], spec.label_names),
        view.lengths_chart: length_chart(t, report["lengths"]),
        view.lengths_summary: lengths(t, report["lengths"]),
        view.findings: findings(t, report, MOST_LABELS_NAMED),
    }


def rename_labels(services: Services, t: Words, view: DataView, opened: Opened, *fields: Any) -> dict[Any, Any]:
    """Keep the new names of the labels; gives their chart anew, and says when two would have the same name."""
    spec = chosen(opened, *fields)
    _keep(services, opened, spec)
    report = report_on(services.home, spec)
    clash = None
    try:
        check_label_names(services, spec)
    except StudioError as error:
        clash = error
    chart = {view.labels_chart: label_chart(t, report["labels"], spec.label_names)} if report else {}
    return {view.problem: problem(t, clash), **chart}


def check_label_names(services: Services, spec: DataSpec) -> None:
    """Look whether the labels, as they are named, are still different; unknown before there is a report.

    Raises:
        LabelNamesUnknown, LabelNamesClash: the names do not fit the labels.
    """
    report = report_on(services.home, spec)
    if report:
        named_labels([label["value"] for label in report["labels"]], spec.label_names)


def wire(view: DataView, site: Site) -> None:
    """Connect the page's events."""
    services, t = site.services, site.t

    def dropped(files: list[str] | None) -> str:
        return data_reading.import_files(services, files or [])

    def taken(sample: Sample) -> Any:
        return lambda: import_file(services, str(sample.file), sample.file.name)

    def changed(address: str, *fields: Any) -> Iterator[dict[Any, Any]]:
        yield from describe(services, t, view, site.opened(address), *fields)

    def renamed(address: str, *fields: Any) -> dict[Any, Any]:
        return rename_labels(services, t, view, site.opened(address), *fields)

    data_reading.wire(view.reading, site)
    inputs = [site.router, *view.choices()]
    site.on(view.file.upload, dropped, [view.file], [site.router])
    for sample, button in view.samples:
        site.on(button.click, taken(sample), [], [site.router])
    for field in (view.text, view.label, view.task):
        site.on(field.input, changed, inputs, view.outputs(), trigger_mode="always_last")
    site.on(view.separator.blur, changed, inputs, view.outputs())
    site.on(view.names.renamed, renamed, inputs, [view.problem, view.labels_chart], trigger_mode="always_last")
