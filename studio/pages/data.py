"""Data: drop a file or take a sample, see what is in it, choose the columns, name the labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.choices import load_choices, names_columns, save_choices
from backend.data.datasets import Sample, load_report, samples, start_import, start_report, wait
from backend.data.labels import named_labels
from backend.errors import DatasetMissing, StudioError
from backend.specs import Choices, Task
from studio import components
from studio.address import Opened, goto
from studio.figures import label_chart
from studio.i18n import Words
from studio.markup import empty_state, problem
from studio.pages import data_charts, data_hub, data_preparing, data_reading
from studio.pages.data_charts import ChartsView
from studio.pages.data_findings import findings, findings_said
from studio.pages.data_view import heading, preview, reasons
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
    hub: data_hub.HubView
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
    charts: ChartsView
    findings: gr.HTML
    preview: gr.HTML
    preparing: data_preparing.PreparingView
    reasons: gr.HTML

    def choices(self) -> list[Component]:
        """The fields that make a `DataSpec`, in the order of `chosen`."""
        return [self.text, self.label, self.task, self.separator, self.names]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        shown = [self.problem, self.nothing, self.file, self.importing, self.table, self.heading, *self.choices()]
        shown += self.preparing.outputs()
        return [*shown, *self.reading.outputs(), *self.charts.outputs(), self.findings, self.preview, self.reasons]


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
        why = gr.HTML()
        with gr.Row(elem_classes="two"):
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.labels')}</h4><p class='muted'>{t('data.labels_about')}</p>")
                names = components.label_names()
            with gr.Column(min_width=320, elem_classes="card"):
                gr.HTML(f"<h4>{t('data.findings')}</h4>")
                found = components.findings_list()
        preparing = data_preparing.layout(t)
        charts = data_charts.layout(t)
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('data.first_rows')}</h4>")
            rows = gr.HTML()
        gr.HTML(
            f'<div class="next"><a class="button" href="?step=data" data-go>{t("data.other_file")}</a>'
            f'<button class="button primary" data-step="model">{t("data.next")} →</button></div>'
        )
    return DataView(
        trouble, nothing, file, hub, cards, importing, table, head, reading, text, label, task, separator, names,
        charts, found, rows, preparing, why,
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
    choices, data = opened.choices, opened.choices.data
    updates |= data_reading.show(t, view.reading, opened)
    updates |= {
        view.heading: heading(t, opened.profile),
        view.text: gr.update(choices=columns, value=data.text_column or None),
        view.label: gr.update(choices=columns, value=data.label_column or None),
        view.task: data.task,
        view.separator: gr.update(value=data.label_separator, visible=data.task == "multilabel"),
        view.preview: preview(t, opened.profile, data),
        view.reasons: reasons(t, opened.profile, data),
    }
    report = load_report(services.home, choices)
    updates |= data_preparing.show(t, view.preparing, opened, report)
    if report:
        return updates | _described(t, view, choices, report)
    waiting = "data.describing" if names_columns(data) else "data.choose_columns"
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


def chosen(opened: Opened, text: str | None, label: str | None, task: Task, separator: str, names: str) -> Choices:
    """What was chosen for the open table, with what the fields of its columns hold.

    Raises:
        DatasetMissing: no table is open.
    """
    if opened.profile is None or opened.choices is None:
        raise DatasetMissing(dataset="")
    given = json.loads(names)["names"] if names else {}
    columns = {
        "text_column": text or "",
        "label_column": label or "",
        "task": task,
        "label_separator": (separator or "")[:3],
        "label_names": {str(value): str(name)[:NAME_LENGTH] for value, name in given.items()},
    }
    if label:
        columns["label_columns"] = ()
    data = opened.choices.data.model_copy(update={**columns, "dataset": opened.dataset})
    return opened.choices.model_copy(update={"data": data})


def keep(services: Services, opened: Opened, choices: Choices) -> None:
    """Save the choices for the open table."""
    # A run's own table is shown with the run's choices; they are history and stay as they were.
    if opened.run is None:
        save_choices(services.home, choices)


def describe(services: Services, t: Words, view: DataView, opened: Opened, *fields: Any) -> Iterator[dict[Any, Any]]:
    """Keep the chosen columns and report on them, in a process of its own."""
    choices = chosen(opened, *fields)
    assert opened.choices is not None
    before, now = opened.choices.data, choices.data
    if (before.label_column, before.label_columns) != (now.label_column, now.label_columns):
        choices = choices.model_copy(update={"data": now.model_copy(update={"label_names": {}})})
    keep(services, opened, choices)
    yield from show_choices(services, t, view, opened, choices)


def show_choices(
    services: Services, t: Words, view: DataView, opened: Opened, choices: Choices
) -> Iterator[dict[Any, Any]]:
    """What the page shows of choices that have changed, and the report on them as soon as there is one."""
    assert opened.profile is not None
    yield {
        view.problem: "",
        view.preview: preview(t, opened.profile, choices.data),
        view.reasons: reasons(t, opened.profile, choices.data),
        view.task: choices.data.task,
        view.separator: gr.update(visible=choices.data.task == "multilabel"),
        **data_preparing.told(t, view.preparing, opened, choices, None),
    }
    if names_columns(choices.data):
        yield from _report(services, t, view, opened, choices)
    else:
        yield _undescribed(view, t("data.choose_columns"))


def finish_describing(services: Services, t: Words, view: DataView, opened: Opened) -> Iterator[dict[Any, Any]]:
    """Report on an opened table that has no report on its chosen columns yet: the page was closed too early."""
    choices = opened.choices
    if choices is None or not names_columns(choices.data) or load_report(services.home, choices):
        yield {view.problem: gr.skip()}
    else:
        yield from _report(services, t, view, opened, choices)


def _report(services: Services, t: Words, view: DataView, opened: Opened, choices: Choices) -> Iterator[dict[Any, Any]]:
    report = load_report(services.home, choices)
    if report is None:
        yield _undescribed(view, t("data.describing"))
        try:
            wait(start_report(services.home, choices), timeout_s=REPORT_TIMEOUT_S)
            report = load_report(services.home, choices)
        except StudioError as error:
            yield {view.problem: problem(t, error), **_undescribed(view, "")}
            return
        if opened.run is None and opened.profile and load_choices(services.home, opened.profile) != choices:
            return  # something else was chosen meanwhile, and is reported on by whoever chose it
    assert report is not None
    steps = data_preparing.told(t, view.preparing, opened, choices, report)
    yield {**_described(t, view, choices, report), **steps}


def alter(
    services: Services, t: Words, view: DataView, site: Site, opened: Opened, choices: Choices
) -> Iterator[dict[Any, Any]]:
    """Keep what was chosen of steps, sample and split, and report on it; the choices of a run make a new one."""
    if opened.run is not None:
        save_choices(services.home, choices)
        yield {site.router: goto(data=opened.dataset)}
    else:
        save_choices(services.home, choices)
        yield from show_choices(services, t, view, opened, choices)


def _undescribed(view: DataView, said: str) -> dict[Any, Any]:
    # Nothing of another table or column may stay on the page.
    return {view.findings: findings_said(said), view.names: "", **data_charts.undescribed(view.charts)}


def _described(t: Words, view: DataView, choices: Choices, report: dict[str, Any]) -> dict[Any, Any]:
    labels, spec = report["labels"][:MOST_LABELS_NAMED], choices.data
    return {
        view.names: json.dumps({"labels": labels, "names": spec.label_names}, ensure_ascii=False),
        **data_charts.described(t, view.charts, report, spec.label_names),
        view.findings: findings(t, report, MOST_LABELS_NAMED),
    }


def rename_labels(services: Services, t: Words, view: DataView, opened: Opened, *fields: Any) -> dict[Any, Any]:
    """Keep the new names of the labels; gives their chart anew, and says when two would have the same name."""
    choices = chosen(opened, *fields)
    keep(services, opened, choices)
    report = load_report(services.home, choices)
    clash = None
    try:
        check_label_names(services, choices)
    except StudioError as error:
        clash = error
    chart = {view.charts.labels: label_chart(t, report["labels"], choices.data.label_names)} if report else {}
    return {view.problem: problem(t, clash), **chart}


def check_label_names(services: Services, choices: Choices) -> None:
    """Look whether the labels, as they are named, are still different; unknown before there is a report.

    Raises:
        LabelNamesUnknown, LabelNamesClash: the names do not fit the labels.
    """
    report = load_report(services.home, choices)
    if report:
        named_labels([label["value"] for label in report["labels"]], choices.data.label_names)


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
    _wire_preparing(view, site)
    inputs = [site.router, *view.choices()]
    site.on(view.file.upload, dropped, [view.file], [site.router])
    data_hub.wire(view.hub, site)
    for sample, button in view.samples:
        site.on(button.click, taken(sample), [], [site.router])
    for field in (view.text, view.label, view.task):
        site.on(field.input, changed, inputs, view.outputs(), trigger_mode="always_last")
    site.on(view.separator.blur, changed, inputs, view.outputs())
    site.on(view.names.renamed, renamed, inputs, [view.problem, view.charts.labels], trigger_mode="always_last")


def _wire_preparing(view: DataView, site: Site) -> None:
    services, t, panel = site.services, site.t, view.preparing
    outputs = [site.router, *view.outputs()]

    def altered(make: Callable[..., Choices], *, refill: bool = False) -> Callable[..., Iterator[dict[Any, Any]]]:
        def handle(address: str, *values: Any) -> Iterator[dict[Any, Any]]:
            opened = site.opened(address)
            choices = make(opened, *values)
            if refill:
                yield data_preparing.fields(panel, opened, choices)
            yield from alter(services, t, view, site, opened, choices)

        return handle

    def templated(opened: Opened, template: str | None) -> Choices:
        return data_preparing.with_template(opened, template)

    def formed(opened: Opened, *values: Any) -> Choices:
        return data_preparing.with_form(opened, values)

    def exported(kind: str) -> Callable[[str], str]:
        return lambda address: data_preparing.export(services, site.opened(address), kind)

    repaired = altered(data_preparing.repaired, refill=True)
    site.on(view.findings.repair, repaired, [site.router, view.findings], outputs)
    site.on(panel.steps.altered, altered(data_preparing.with_steps), [site.router, panel.steps], outputs)
    site.on(panel.add.input, altered(data_preparing.with_step), [site.router, panel.add], outputs).then(
        None, js="() => null", outputs=[panel.add], api_visibility="private"
    )
    for event in (panel.template.blur, panel.template.submit):
        site.on(event, altered(templated), [site.router, panel.template], outputs)
    fields = [site.router, *panel.form.fields]
    form: tuple[Any, ...] = panel.form.fields
    for field in form:
        event = field.blur if isinstance(field, gr.Number) else field.input
        site.on(event, altered(formed), fields, outputs, trigger_mode="always_last")
    for button, kind in ((panel.csv, "csv"), (panel.parquet, "parquet")):
        site.on(button.click, exported(kind), [site.router], [panel.exporting])
