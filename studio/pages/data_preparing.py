"""Data: what is done to the rows before training, as a list that can be changed; how they are divided; the export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.data.choices import with_preparation, with_repair, with_values
from backend.data.exporting import start_export
from backend.data.template import check_template
from backend.data.text_cleaning import render
from backend.errors import DatasetMissing, StudioError
from backend.schema import Section
from backend.specs import Choices, RunSpec
from backend.steps import step_document
from studio import components
from studio.address import Opened
from studio.findings import example_table, step_name
from studio.form import TABLE_SECTIONS, Form, build_form, form_document, form_settings
from studio.i18n import Words
from studio.markup import problem, table, tag, text
from studio.services import Services

OFFERED = (
    "drop_blank",
    "normalise_text",
    "strip_html",
    "mask_contacts",
    "merge_label_variants",
    "map_labels",
    "drop_labels",
    "minimum_rows",
    "resolve_conflicts",
    "drop_duplicates:by=exact",
    "drop_duplicates:by=near",
    "drop_duplicates:by=semantic",
)
PARTS = ("train", "validation", "test")
COMPOSED_ROWS = 3
COMPOSED_CHARACTERS = 300
LABELS_SHOWN = 60


@dataclass(frozen=True)
class PreparingView:
    """The components of the panels."""

    template: gr.Textbox
    composed: gr.HTML
    steps: gr.HTML
    add: gr.Dropdown
    form: Form
    counts: gr.HTML
    csv: gr.Button
    parquet: gr.Button
    exporting: gr.HTML

    def choices(self) -> list[Any]:
        """The fields that are typed into, in the order of `with_fields`."""
        return [self.template, *self.form.fields]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.template, self.composed, self.steps, self.add, *self.form.fields, self.counts, self.exporting]


def layout(t: Words) -> PreparingView:
    """Build the panels inside the open page."""
    with gr.Row(elem_classes="two"):
        with gr.Column(min_width=320, elem_classes="card"):
            gr.HTML(f"<h4>{t('data.preparing')}</h4><p class='muted'>{t('data.preparing_about')}</p>")
            steps = components.step_list()
            add = gr.Dropdown(
                choices=[(step_name(t, step_document(kind)), kind) for kind in OFFERED],
                value=None,
                label=t("data.add_step"),
                elem_id=f"add-step-{t.language}",
                filterable=False,
            )
            template = gr.Textbox(
                label=t("setting.data.template.name"),
                info=t("setting.data.template.help"),
                max_lines=2,
                elem_id=f"template-{t.language}",
            )
            composed = gr.HTML()
        with gr.Column(min_width=320, elem_classes="card"):
            gr.HTML(f"<h4>{t('data.dividing')}</h4>")
            counts = gr.HTML(elem_classes="parts")
            with gr.Accordion(t("data.change_division"), open=False, elem_classes="division"):
                form = build_form(t, TABLE_SECTIONS)
            with gr.Row():
                csv = gr.Button(t("data.export_csv"), size="sm", elem_id=f"export-csv-{t.language}")
                parquet = gr.Button(t("data.export_parquet"), size="sm", elem_id=f"export-parquet-{t.language}")
            exporting = components.job_progress()
    return PreparingView(template, composed, steps, add, form, counts, csv, parquet, exporting)


# -- what is shown


def show(t: Words, view: PreparingView, opened: Opened, report: Mapping[str, Any] | None) -> dict[Any, Any]:
    """What the panels show for an opened table."""
    if opened.choices is None:
        return {}
    return {
        **fields(view, opened, opened.choices),
        **told(t, view, opened, opened.choices, report),
        view.add: None,
        view.exporting: "",
    }


def fields(view: PreparingView, opened: Opened, choices: Choices) -> dict[Any, Any]:
    """The values of the fields."""
    assert opened.profile is not None
    updates = view.form.updates(RunSpec().with_choices(choices))
    column = view.form.fields[[s.path for s in form_settings(TABLE_SECTIONS)].index("split.column")]
    names = [found["name"] for found in opened.profile["columns"]]
    updates[column] = gr.update(choices=["", *names], value=choices.split.column)
    return {view.template: choices.data.template, **updates}


def changed_fields(view: PreparingView, opened: Opened, choices: Choices) -> dict[Any, Any]:
    """The values of the fields that the choices change."""
    assert opened.choices is not None
    before = fields(view, opened, opened.choices)
    return {field: value for field, value in fields(view, opened, choices).items() if value != before[field]}


def told(
    t: Words, view: PreparingView, opened: Opened, choices: Choices, report: Mapping[str, Any] | None
) -> dict[Any, Any]:
    """What follows from the choices: the steps with what they touched, the composed texts, the parts."""
    return {
        view.steps: steps_value(t, choices, report),
        view.composed: composed(t, opened, choices),
        view.counts: parts_counts(t, report, choices.data.label_names),
    }


def steps_value(t: Words, choices: Choices, report: Mapping[str, Any] | None) -> str:
    """The value of the list of steps."""
    done = list((report or {}).get("steps") or [])
    entries = []
    for index, step in enumerate(choices.prepare.steps):
        document = step.model_dump(mode="json")
        result = done[index] if index < len(done) and done[index]["step"] == document else None
        heads, rows = example_table(t, (result or {}).get("examples") or [])
        entries.append(
            {
                "step": document,
                "name": step_name(t, document),
                "said": _said(t, result),
                "fields": _fields(t, step),
                "examples": {"heads": heads, "rows": rows},
            }
        )
    words = {name: t(f"data.step_{name}") for name in ("on", "up", "down", "remove", "none")}
    return json.dumps({"steps": entries, "words": {**words, "see": t("data.see_rows")}}, ensure_ascii=False)


def _said(t: Words, result: Mapping[str, Any] | None) -> list[str]:
    if result is None or not result["step"]["on"]:
        return []
    counted = t(
        "data.step_touched", touched=result["touched"], before=result["rows_before"], after=result["rows_after"]
    )
    return [counted, *(t(f"note.{note['code']}", **note["facts"]) for note in result["notes"])]


def _fields(t: Words, step: Section) -> list[dict[str, Any]]:
    """What can be changed of a step, in the list itself."""
    values = step.model_dump(mode="json")

    def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "label": t(f"steps.field.{name}"), "type": kind, "value": values[name], **more}

    def choice(name: str, *options: str) -> dict[str, Any]:
        return field(name, "choice", choices=[(t(f"steps.{values['kind']}.{option}"), option) for option in options])

    match values["kind"]:
        case "minimum_rows":
            into = [field("into", "text")] if values["action"] == "merge" else []
            return [field("rows", "number", least=1), choice("action", "drop", "merge"), *into]
        case "resolve_conflicts":
            return [choice("by", "drop", "majority")]
        case "drop_duplicates":
            found = [choice("by", "exact", "near", "semantic")]
            if values["by"] != "exact":
                found.append(field("threshold", "range", least=0.5, most=1, pace=0.01))
            return found + ([field("encoder", "text")] if values["by"] == "semantic" else [])
        case "map_labels":
            pairs = ", ".join(f"{old}={new}" for old, new in values["mapping"].items())
            return [field("mapping", "text") | {"value": pairs}]
        case "drop_labels":
            return [field("labels", "text") | {"value": ", ".join(values["labels"])}]
    return []


def composed(t: Words, opened: Opened, choices: Choices) -> str:
    """The first texts that the template makes, or what is wrong with it."""
    template = choices.data.template
    if not template or opened.profile is None:
        return ""
    preview = opened.profile["preview"]
    try:
        check_template(template, choices.data, preview["columns"])
    except StudioError as error:
        return problem(t, error)
    rows = (dict(zip(preview["columns"], row, strict=True)) for row in preview["rows"][:COMPOSED_ROWS])
    return tag("ul", *(tag("li", text(_cut(render(template, row)))) for row in rows), class_="composed")


def _cut(made: str) -> str:
    return made if len(made) <= COMPOSED_CHARACTERS else made[:COMPOSED_CHARACTERS] + "…"


def parts_counts(t: Words, report: Mapping[str, Any] | None, names: Mapping[str, str] | None = None) -> str:
    """How many rows each part has, of each label, and what is to be known of them; or why there are none."""
    parts = (report or {}).get("parts")
    if not parts:
        return ""
    if "error" in parts:
        return problem(t, StudioError.from_dict(parts["error"]))
    counted = t("data.parts_counts", **{name: parts[name]["rows"] for name in PARTS})
    notes = (tag("li", text(t(f"note.{note['code']}", **note["facts"]))) for note in parts["notes"])
    labels = list(parts["train"]["labels"])[:LABELS_SHOWN]
    heads = ["", *(t(f"part.{name}") for name in PARTS)]
    rows = (
        [text((names or {}).get(label, label)), *(f"{parts[name]['labels'][label]:,}" for name in PARTS)]
        for label in labels
    )
    method = text(t(f"choice.split.method.{parts['method']}"))
    return "".join(
        [
            tag("p", text(counted), tag("span", method, class_="chip"), class_="parts-counts"),
            tag("ul", *notes, class_="notes"),
            tag("details", tag("summary", text(t("data.by_label"))), table(heads, rows)),
        ]
    )


# -- what is changed


def with_steps(opened: Opened, value: str) -> Choices:
    """The choices with the list of steps as it was changed.

    Raises:
        DatasetMissing: no table is open.
        SpecError: a step does not hold.
    """
    changed = _sent(value, "change")
    if opened.choices is None or opened.profile is None or not isinstance(changed, list):
        raise DatasetMissing(dataset=opened.dataset)
    return with_preparation(opened.choices, [_typed(step) for step in changed], opened.profile)


def _sent(value: str, name: str) -> Any:
    """What a component has sent under this name; None for anything else, which may be forged."""
    try:
        document = json.loads(value or "{}")
    except ValueError:
        return None
    return document.get(name) if isinstance(document, dict) else None


def _typed(step: Any) -> Any:
    """A step from the list, whose mapping or labels may be as they were typed."""
    if not isinstance(step, dict):
        return step
    for name in ("mapping", "labels"):
        if isinstance(step.get(name), str):
            written = step_document(f"{step.get('kind')}:{step[name].replace('，', ',')}")
            step = {**step, name: written.get(name, step[name])}
    return step


def with_step(opened: Opened, kind: str | None) -> Choices:
    """The choices with one more step at the end. Raises as `with_steps` does."""
    if opened.choices is None or opened.profile is None:
        raise DatasetMissing(dataset="")
    if kind not in OFFERED:  # the field was emptied
        return opened.choices
    document = step_document(kind)
    document |= {"map_labels": {"mapping": {}}, "drop_labels": {"labels": []}}.get(document["kind"], {})
    steps = [step.model_dump(mode="json") for step in opened.choices.prepare.steps]
    more = with_preparation(opened.choices, [*steps, document], opened.profile)
    # The field may tell of one choice twice, and the same step twice in a row would do nothing anyway.
    twice = len(more.prepare.steps) > 1 and more.prepare.steps[-1] == more.prepare.steps[-2]
    return opened.choices if twice else more


def repaired(opened: Opened, value: str) -> Choices:
    """The choices after a click on a repair in the list of findings. Raises as `with_steps` does."""
    repair = _sent(value, "repair")
    if opened.choices is None or opened.profile is None or not isinstance(repair, dict):
        raise DatasetMissing(dataset=opened.dataset)
    if not isinstance(repair.get("set") or repair.get("step"), dict):
        raise DatasetMissing(dataset=opened.dataset)
    return with_repair(opened.choices, repair, opened.profile)


def with_template(opened: Opened, template: str | None) -> Choices:
    """The choices with another template. Raises as `with_steps` does."""
    if opened.choices is None:
        raise DatasetMissing(dataset="")
    return with_values(opened.choices, {"data.template": (template or "").strip()})


def with_form(opened: Opened, values: Sequence[Any]) -> Choices:
    """The choices with what the fields of sample and split hold. Raises as `with_steps` does."""
    if opened.choices is None:
        raise DatasetMissing(dataset="")
    return with_values(opened.choices, _form_values(values))


def _form_values(values: Sequence[Any]) -> dict[str, Any]:
    document = form_document(values, TABLE_SECTIONS)
    return {f"{section}.{name}": value for section, part in document.items() for name, value in part.items()}


def with_fields(choices: Choices, values: Sequence[Any]) -> Choices:
    """The choices with what the fields hold, in the order of `PreparingView.choices`. Raises as `with_steps` does."""
    template, *form = values
    return with_values(choices, {"data.template": (template or "").strip(), **_form_values(form)})


def export(services: Services, opened: Opened, kind: str) -> str:
    """Start writing the parts as files, in a process of its own; the value of its progress.

    Raises:
        DatasetMissing: no table is open.
    """
    if opened.choices is None:
        raise DatasetMissing(dataset="")
    job = start_export(services.home, opened.choices, kind)
    return json.dumps({"job": job.id})
