"""Data: drop a file or take a sample, see what is in it, choose the columns, name the labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from backend.data.choices import names_columns, save_changes, save_choices
from backend.data.datasets import Sample, load_report, report_job, report_key, start_import, start_report, stop_report
from backend.data.labels import named_labels
from backend.errors import DatasetMissing, SpecError, StudioError
from backend.jobs.status import JobState
from backend.specs import Choices, DataSpec, Task
from studio.address import Opened, goto
from studio.figures import label_chart
from studio.findings import task_words
from studio.i18n import Words
from studio.markup import problem
from studio.pages import data_charts, data_hub, data_preparing, data_reading
from studio.pages.data_findings import findings, findings_said
from studio.pages.data_layout import DataView, layout
from studio.pages.data_view import heading, preview, reasons
from studio.services import Services
from studio.site import Site

__all__ = ["DataView", "describe", "finish_describing", "layout", "show", "wire"]

MOST_LABELS_NAMED = 200
NAME_LENGTH = 80


# -- handlers


def show(services: Services, t: Words, view: DataView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    importing = opened.address.importing
    empty = opened.profile is None
    updates: dict[Any, Any] = {
        view.problem: problem(t, opened.problem),
        view.nothing: gr.update(visible=empty and not importing),
        view.file: None,
        view.describing: "",
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
        view.label_columns: gr.update(choices=columns, value=list(data.label_columns)),
        # A text column and two label columns are the least for which this means anything.
        view.several: gr.update(open=bool(data.label_columns), visible=len(columns) > 2),
        view.separator: gr.update(value=data.label_separator, visible=_has_separator(data)),
        view.preview: preview(t, opened.profile, data),
        view.reasons: reasons(t, opened.profile, data),
    }
    report = load_report(services.home, choices)
    updates |= data_preparing.show(t, view.preparing, opened, report)
    if report:
        updates |= _described(t, view, choices, report)
    else:
        waiting = "data.describing" if names_columns(data) else "data.choose_columns"
        updates |= _undescribed(t, view, t(waiting))
    updates[view.task]["value"] = data.task
    return updates


def import_file(services: Services, path: str | None, name: str | None = None) -> str:
    """Start reading a dropped file in a process of its own; leads to its progress.

    Raises:
        DatasetMissing: no file came.
    """
    if not path:
        raise DatasetMissing(dataset="")
    job = start_import(services.home, Path(path), name or Path(path).name)
    return goto(importing=job.id)


def chosen(
    opened: Opened,
    text: str | None,
    label: str | None,
    label_columns: Sequence[str] | None,
    task: Task,
    separator: str,
    names: str,
    *,
    by: str = "",
) -> Choices:
    """What was chosen for the open table, with what the fields of its columns hold; ``by`` is the one that changed.

    Raises:
        DatasetMissing: no table is open.
    """
    if opened.profile is None or opened.choices is None:
        raise DatasetMissing(dataset="")
    given = json.loads(names)["names"] if names else {}
    columns = {
        "text_column": text or "",
        "label_column": label or "",
        "label_columns": tuple(label_columns or ()),
        "task": task,
        "label_separator": (separator or "")[:3],
        "label_names": {str(value): str(name)[:NAME_LENGTH] for value, name in given.items()},
    }
    columns |= _one_kind_of_label(opened.choices.data, columns, by)
    data = opened.choices.data.model_copy(update={**columns, "dataset": opened.dataset})
    return opened.choices.model_copy(update={"data": data})


def _one_kind_of_label(before: DataSpec, now: Mapping[str, Any], by: str) -> dict[str, Any]:
    """Labels stand in one column or in several: what was chosen last takes the place of the other."""
    if by == "label_columns" and now["label_columns"]:
        return {"label_column": "", "task": "multilabel", "label_separator": ""}
    if not (now["label_column"] and now["label_columns"]):
        return {}
    if by == "label_column":
        return {"label_columns": (), "task": "auto"}
    # The fields of a page that has not heard of the last change yet.
    return {"label_column": before.label_column, "label_columns": before.label_columns}


def _has_separator(data: DataSpec) -> bool:
    return data.task == "multilabel" and not data.label_columns


def keep(services: Services, opened: Opened, choices: Choices) -> Choices:
    """Save the choices for the open table; gives them with what else was chosen meanwhile."""
    # A run's own table is shown with the run's choices; they are history and stay as they were.
    if opened.run is not None or opened.choices is None or opened.profile is None:
        return choices
    return save_changes(services.home, opened.profile, opened.choices, choices)


def describe(
    services: Services, t: Words, view: DataView, opened: Opened, *fields: Any, by: str = ""
) -> Iterator[dict[Any, Any]]:
    """Keep the chosen columns and report on them, in a process of its own; ``by`` is the field that changed."""
    choices = chosen(opened, *fields, by=by)
    assert opened.choices is not None
    before, now = opened.choices.data, choices.data
    if (before.label_column, before.label_columns) != (now.label_column, now.label_columns):
        choices = choices.model_copy(update={"data": now.model_copy(update={"label_names": {}})})
    choices = keep(services, opened, choices)
    shown = dict(zip(("text_column", "label_column", "label_columns", "task"), fields, strict=False))
    yield from show_choices(services, t, view, opened, choices, _corrected(view, choices.data, shown))


def _corrected(view: DataView, data: DataSpec, shown: Mapping[str, Any]) -> dict[Any, Any]:
    """The fields that show something else than what was made of it; the others may hold something newer by now."""
    updates: dict[Any, Any] = {}
    if (shown["label_column"] or "") != data.label_column:
        updates[view.label] = data.label_column or None
    if list(shown["label_columns"] or ()) != list(data.label_columns):
        updates[view.label_columns] = list(data.label_columns)
    if shown["task"] != data.task:
        updates[view.task] = data.task
    return updates


def show_choices(
    services: Services, t: Words, view: DataView, opened: Opened, choices: Choices, refilled: Mapping[Any, Any]
) -> Iterator[dict[Any, Any]]:
    """What the page shows of choices that have changed, and the report on them or how far it is.

    No field but those ``refilled`` is written: an answer that comes late takes nothing away that was typed since.
    """
    assert opened.profile is not None
    data = choices.data
    yield {
        view.problem: "",
        view.preview: preview(t, opened.profile, data),
        view.reasons: reasons(t, opened.profile, data),
        view.separator: gr.update(visible=_has_separator(data)),
        **refilled,
        **data_preparing.told(t, view.preparing, opened, choices, None),
    }
    if opened.run is None and opened.choices and report_key(opened.choices) != report_key(choices):
        stop_report(services.home, opened.choices)
    if names_columns(data):
        told = _report(services, t, view, opened, choices, anew=True)
        if opened.choices and _columns(opened.choices.data) == _columns(data) and told.get(view.describing):
            # The columns are the same: labels and charts stay, faded, so that the page does not jump.
            told = {part: told[part] for part in (view.findings, view.describing)}
        yield told
    else:
        yield {**_undescribed(t, view, t("data.choose_columns")), view.describing: ""}


def _columns(data: DataSpec) -> tuple[object, ...]:
    return data.text_column, data.template, data.label_column, data.label_columns, data.label_separator


def finish_describing(services: Services, t: Words, view: DataView, opened: Opened) -> dict[Any, Any]:
    """Report on an opened table that has no report on its chosen columns: what is being made is followed again."""
    choices = opened.choices
    if choices is None or not names_columns(choices.data) or load_report(services.home, choices):
        return {view.problem: gr.skip()}
    return _report(services, t, view, opened, choices, anew=False)


def _report(
    services: Services, t: Words, view: DataView, opened: Opened, choices: Choices, *, anew: bool
) -> dict[Any, Any]:
    """The report on the choices, or the progress of the job that makes it.

    One that was stopped or has failed is made again only when it is asked for ``anew``.
    """
    try:
        report = load_report(services.home, choices)
        if report is not None:
            steps = data_preparing.told(t, view.preparing, opened, choices, report)
            return {**_described(t, view, choices, report), **steps, view.describing: ""}
        job = None if anew else report_job(services.home, choices)
        if job is None or job.status().state in (JobState.COMPLETED, JobState.INTERRUPTED):
            job = start_report(services.home, choices)
    except StudioError as error:
        return {view.problem: problem(t, error), **_undescribed(t, view, ""), view.describing: ""}
    following = {"job": job.id, "tell": True, "again": t("data.describe_again")}
    return {**_undescribed(t, view, t("data.describing")), view.describing: json.dumps(following, ensure_ascii=False)}


def describing_ended(services: Services, t: Words, view: DataView, opened: Opened) -> dict[Any, Any]:
    """Show the report that is finished; where it failed or was stopped, the progress says so and stays."""
    choices = opened.choices
    if choices is None:
        return {view.problem: gr.skip()}
    if load_report(services.home, choices) is not None:
        return _report(services, t, view, opened, choices, anew=False)
    job = report_job(services.home, choices)
    if job is not None and not job.status().state.is_final:  # something else was chosen meanwhile
        return {view.problem: gr.skip()}
    return _undescribed(t, view, "")


def alter(
    services: Services, t: Words, view: DataView, site: Site, opened: Opened, choices: Choices, *, refill: bool
) -> Iterator[dict[Any, Any]]:
    """Keep what was chosen of steps, sample and split, and report on it; the choices of a run make a new one.

    The fields show what they were ``refill``ed with where somebody else than their user changed it: a repair.
    """
    if opened.run is not None:
        save_choices(services.home, choices)
        yield {site.router: goto(data=opened.dataset)}
        return
    refilled = {}
    if refill:
        assert opened.choices is not None
        refilled = data_preparing.changed_fields(view.preparing, opened, choices)
        refilled |= _corrected(view, choices.data, opened.choices.data.model_dump())
    yield from show_choices(services, t, view, opened, keep(services, opened, choices), refilled)


def _undescribed(t: Words, view: DataView, said: str) -> dict[Any, Any]:
    # Nothing of another table or column may stay on the page.
    return {
        view.findings: findings_said(said),
        view.names: "",
        view.task: gr.update(info=t("setting.data.task.help")),
        **data_charts.undescribed(view.charts),
    }


def _described(t: Words, view: DataView, choices: Choices, report: dict[str, Any]) -> dict[Any, Any]:
    labels, spec = report["labels"][:MOST_LABELS_NAMED], choices.data
    return {
        view.names: json.dumps({"labels": labels, "names": spec.label_names}, ensure_ascii=False),
        **data_charts.described(t, view.charts, report, spec.label_names),
        view.findings: findings(t, report, MOST_LABELS_NAMED, spec.label_names),
        view.task: gr.update(info=task_words(t, report)),
    }


def rename_labels(services: Services, t: Words, view: DataView, opened: Opened, *fields: Any) -> dict[Any, Any]:
    """Keep the new names of the labels; gives what shows them anew, and says when two would have the same one."""
    choices = keep(services, opened, chosen(opened, *fields))
    report = load_report(services.home, choices)
    clash = None
    try:
        check_label_names(services, choices)
    except StudioError as error:
        clash = error
    names, shown = choices.data.label_names, {}
    if report:
        shown = {
            view.charts.labels: label_chart(t, report["labels"], names),
            view.findings: findings(t, report, MOST_LABELS_NAMED, names),
            view.preparing.counts: data_preparing.parts_counts(t, report, names),
        }
    return {view.problem: problem(t, clash), **shown}


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

    def changed(by: str) -> Callable[..., Iterator[dict[Any, Any]]]:
        def handle(address: str, *fields: Any) -> Iterator[dict[Any, Any]]:
            yield from describe(services, t, view, site.opened(address), *fields, by=by)

        return handle

    def renamed(address: str, *fields: Any) -> dict[Any, Any]:
        return rename_labels(services, t, view, site.opened(address), *fields)

    def described(address: str) -> dict[Any, Any]:
        return describing_ended(services, t, view, site.opened(address))

    def described_anew(address: str) -> dict[Any, Any]:
        opened = site.opened(address)
        if opened.choices is None:
            raise DatasetMissing(dataset="")
        return _report(services, t, view, opened, opened.choices, anew=True)

    data_reading.wire(view.reading, site)
    _wire_preparing(view, site)
    inputs = [site.router, *view.choices()]
    site.on(view.file.upload, dropped, [view.file], [site.router])
    data_hub.wire(view.hub, site)
    for sample, button in view.samples:
        site.on(button.click, taken(sample), [], [site.router])
    columns = {
        "text_column": view.text,
        "label_column": view.label,
        "label_columns": view.label_columns,
        "task": view.task,
    }
    for name, field in columns.items():
        site.on(field.input, changed(name), inputs, view.outputs(), trigger_mode="always_last")
    # A report may end while the answer about the one before is still on its way.
    site.on(view.describing.ended, described, [site.router], view.outputs(), trigger_mode="always_last")
    site.on(view.describing.again, described_anew, [site.router], view.outputs())
    site.on(view.separator.blur, changed("label_separator"), inputs, view.outputs(), trigger_mode="always_last")
    naming = [view.problem, view.charts.labels, view.findings, view.preparing.counts]
    site.on(view.names.renamed, renamed, inputs, naming, trigger_mode="always_last")


def _wire_preparing(view: DataView, site: Site) -> None:
    services, t, panel = site.services, site.t, view.preparing
    outputs = [site.router, *view.outputs()]

    def altered(make: Callable[..., Choices], *, refill: bool = False) -> Callable[..., Iterator[dict[Any, Any]]]:
        def handle(address: str, *values: Any) -> Iterator[dict[Any, Any]]:
            opened = site.opened(address)
            yield from alter(services, t, view, site, opened, make(opened, *values), refill=refill)

        return handle

    def templated(opened: Opened, template: str | None) -> Choices:
        return data_preparing.with_template(opened, template)

    def formed(address: str, *values: Any) -> Iterator[dict[Any, Any]]:
        opened = site.opened(address)
        try:
            choices = data_preparing.with_form(opened, values)
        except SpecError as error:  # where the parts would be told: what they were is not what is asked for
            yield {panel.counts: problem(t, error)}
        else:
            yield from alter(services, t, view, site, opened, choices, refill=False)

    def exported(kind: str) -> Callable[[str], str]:
        return lambda address: data_preparing.export(services, site.opened(address), kind)

    repaired = altered(data_preparing.repaired, refill=True)
    site.on(view.findings.repair, repaired, [site.router, view.findings], outputs)
    site.on(panel.steps.altered, altered(data_preparing.with_steps), [site.router, panel.steps], outputs)
    site.on(panel.add.input, altered(data_preparing.with_step), [site.router, panel.add], outputs).then(
        None, js="() => null", outputs=[panel.add], api_visibility="private"
    )
    for event in (panel.template.blur, panel.template.submit):
        site.on(event, altered(templated), [site.router, panel.template], outputs, trigger_mode="always_last")
    fields = [site.router, *panel.form.fields]
    form: tuple[Any, ...] = panel.form.fields
    for field in form:
        event = field.blur if isinstance(field, gr.Number) else field.input
        site.on(event, formed, fields, outputs, trigger_mode="always_last")
    for button, kind in ((panel.csv, "csv"), (panel.parquet, "parquet")):
        site.on(button.click, exported(kind), [site.router], [panel.exporting])
