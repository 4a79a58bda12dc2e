"""Model and options: what is fine-tuned and how, the same as a command and as YAML, and the Train button."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.asked import check_machine, check_weighted
from backend.data.choices import names_columns, refusal_of
from backend.data.datasets import load_report
from backend.data.drafts import save_draft
from backend.data.labels import named_labels
from backend.data.template import check_apart
from backend.errors import DatasetMissing, ModelNotNamed, SpecError, StudioError
from backend.models.catalogue import CatalogueModel, catalogue, suggested
from backend.models.folder import check_folder, names_a_folder
from backend.models.hub import look_up
from backend.recipes import recipe_for
from backend.schema import Section
from backend.specs import STARTER, ModelSpec, RunSpec, build_spec, settings, spec_to_yaml, value_at
from backend.steps import step_text
from studio import auto
from studio.address import Opened, goto
from studio.form import Form, build_form, form_document, form_settings, pairs_text
from studio.i18n import Words
from studio.markup import empty_state, link, problem, tag, text
from studio.pages import lab as lab_page
from studio.pages import model_tokens
from studio.pages.data import DataView, check_label_names, chosen
from studio.pages.data_preparing import with_fields
from studio.pages.lab import LabView
from studio.services import Services
from studio.site import Site

KINDS = ("starter", "list", "hub", "folder")
HUB_TIMEOUT_S = 3.0


@dataclass(frozen=True)
class ModelView:
    """The components of the model page."""

    nothing: gr.HTML
    options: gr.Column
    kind: gr.Radio
    listed: gr.Dropdown
    hub_id: gr.Textbox
    folder: gr.Textbox
    check: gr.Button
    facts: gr.HTML
    tokens: gr.HTML
    name: gr.Textbox
    form: Form
    decisions: gr.HTML
    lab: LabView
    command: gr.Code
    yaml: gr.Code
    problem: gr.HTML
    summary: gr.HTML
    start: gr.Button
    request: gr.Textbox
    """Unseen: what this page's click on Train is known by, so that a double click starts one run."""

    def model_fields(self) -> list[Component]:
        """The fields that name the model, in the order of `chosen_model`."""
        return [self.kind, self.listed, self.hub_id, self.folder]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        plain = [self.nothing, self.options, *self.model_fields(), self.check, self.facts, self.tokens, self.name]
        told = [self.decisions, self.command, self.yaml, self.problem, self.summary, self.request]
        return [*plain, *self.form.fields, *self.lab.outputs(), *told]


def layout(t: Words) -> ModelView:
    """Build the page inside the open tab."""
    nothing = gr.HTML(empty_state(t("model.nothing"), t("model.nothing_next"), link("?step=data", t("step.data"))))
    with gr.Column(visible=False) as options:
        with gr.Column(elem_classes="card"):
            kind = gr.Radio(
                [(t(f"model.kind.{kind}"), kind) for kind in KINDS], value="starter", label=t("setting.model.base.name")
            )
            listed = gr.Dropdown([], label=t("model.listed"), info=t("model.listed_help"), visible=False)
            hub_id = gr.Textbox(
                label=t("model.hub_id"), info=t("model.hub_id_help"), placeholder="hfl/rbt3", max_lines=1, visible=False
            )
            folder = gr.Textbox(label=t("model.folder"), info=t("model.folder_help"), max_lines=1, visible=False)
            check = gr.Button(t("model.check"), size="sm", visible=False, elem_classes="narrow")
            facts = gr.HTML(model_facts(t, STARTER))
            tokens = model_tokens.layout()
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('model.options')}</h4>")
            name = gr.Textbox(label=t("setting.name.name"), info=t("setting.name.help"), max_lines=1, max_length=120)
            form = build_form(t)
        with gr.Column(elem_classes="card"):
            decisions = gr.HTML()
        lab = lab_page.layout(t)
        with gr.Accordion(t("model.same"), open=False, elem_classes="folded"):
            gr.HTML(f"<p class='muted'>{t('model.same_about')}</p>")
            command = gr.Code(
                language="shell", label=t("model.command"), interactive=False, wrap_lines=True, lines=2, max_lines=8
            )
            yaml = gr.Code(language="yaml", label="run.yaml", interactive=False)
        trouble = gr.HTML(elem_classes="slot")
        with gr.Row(elem_classes="start"):
            summary = gr.HTML()
            start = gr.Button(
                t("model.train"), variant="primary", elem_id=f"train-{t.language}", scale=0, min_width=160
            )
        request = gr.Textbox(visible="hidden", elem_classes="never-shown")
    return ModelView(
        nothing,
        options,
        kind,
        listed,
        hub_id,
        folder,
        check,
        facts,
        tokens,
        name,
        form,
        decisions,
        lab,
        command,
        yaml,
        trouble,
        summary,
        start,
        request,
    )


# -- handlers


def show(services: Services, t: Words, view: ModelView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address: the open run's settings, or what is asked of the open table's next run."""
    spec = opened.spec or RunSpec()
    base = spec.model.base
    listed = [model.id for model in catalogue()]
    kind = "starter" if base == STARTER else "list" if base in listed else "folder" if names_a_folder(base) else "hub"
    updates: dict[Any, Any] = {
        view.nothing: gr.update(visible=opened.profile is None),
        view.options: gr.update(visible=opened.profile is not None),
        view.kind: kind,
        view.listed: gr.update(
            choices=_listed_choices(t, _language(services, opened)),
            value=base if kind == "list" else None,
            visible=kind == "list",
        ),
        view.hub_id: gr.update(value=base if kind == "hub" else "", visible=kind == "hub"),
        view.folder: gr.update(value=base if kind == "folder" else "", visible=kind == "folder"),
        view.check: gr.update(visible=kind in ("hub", "folder")),
        view.facts: model_facts(t, base),
        view.tokens: "",
        view.name: "" if opened.run else spec.name,
        view.problem: "",
        view.request: secrets.token_hex(16),
        **view.form.updates(spec),
    }
    if opened.choices:
        full = spec.with_choices(opened.choices)
        updates |= {
            view.decisions: auto.listed(t, _open_where_recipe(full)),
            view.command: command_of(full),
            view.yaml: spec_to_yaml(full),
            view.summary: _summary(services, t, full),
            **lab_page.show(services, t, view.lab, full),
        }
    return updates


def _language(services: Services, opened: Opened) -> str:
    described = opened.choices is not None and names_columns(opened.choices.data)
    report = load_report(services.home, opened.choices) if described and opened.choices else None
    shares: dict[str, float] = (report or {}).get("language", {})
    return max(shares, key=lambda name: shares[name]) if shares else "en"


def _listed_choices(t: Words, language: str) -> list[tuple[str, str]]:
    fitting = {model.id for model in suggested(language)}
    ordered = sorted(catalogue(), key=lambda model: model.id not in fitting)
    return [(_listed_name(t, model, model.id in fitting), model.id) for model in ordered]


def _listed_name(t: Words, model: CatalogueModel, fits: bool) -> str:
    facts = f"{model.id} · {model.parameters / 1e6:,.0f} M · {', '.join(model.languages)} · {model.licence}"
    return f"{facts} · {t('model.fits_your_texts')}" if fits else facts


def model_facts(t: Words, base: str) -> str:
    """What is known of a model without asking anybody: the starter's advice, or the curated list's entry."""
    if base == STARTER:
        return tag("p", text(t("model.starter_about")), class_="muted")
    known = next((model for model in catalogue() if model.id == base), None)
    if known is None:
        return ""
    facts = (f"{known.parameters / 1e6:,.0f} M", ", ".join(known.languages), known.licence)
    chips = (tag("span", text(fact), class_="chip") for fact in facts)
    return tag("p", *chips, tag("span", text(known.advice[t.language]), class_="advice"))


def chosen_model(kind: str, listed: str | None, hub_id: str | None, folder: str | None) -> ModelSpec:
    """The model that the fields name.

    Raises:
        ModelNotNamed: the field of the chosen kind is empty.
    """
    base = {"starter": STARTER, "list": listed, "hub": hub_id, "folder": folder}.get(kind)
    base = (base or "").strip()
    if not base:
        raise ModelNotNamed
    return ModelSpec(base=base)


def check_model(services: Services, t: Words, model: ModelSpec, kind: str) -> str:
    """Look at a folder or ask the Hub, and say what was found.

    Raises:
        ModelError: no such model, no model in the folder, or the Hub cannot be reached (within three seconds).
    """
    if kind == "folder":
        found = check_folder(model.base)
        facts = [found.model_type, t("model.folder_good")]
    else:
        hub = look_up(model.base, token=services.hub_token, timeout_s=HUB_TIMEOUT_S)
        size = f"{hub.parameters / 1e6:,.0f} M" if hub.parameters else ""
        facts = [size, hub.licence or "", hub.sha[:12] if hub.sha else "", t("model.hub_good")]
    return tag("p", *(tag("span", text(fact), class_="chip") for fact in facts if fact))


def build_run_spec(
    opened: Opened,
    data_fields: Sequence[Any],
    table_fields: Sequence[Any],
    model_fields: Sequence[Any],
    name: str,
    form: Sequence[Any],
) -> RunSpec:
    """The spec that everything on the pages asks for.

    Raises:
        DatasetMissing: no table is open.
        SpecError: settings that do not hold, all of them.
        ModelNotNamed: no model was named.
    """
    if opened.profile is None:
        raise DatasetMissing(dataset="")
    model = chosen_model(*model_fields)
    choices = with_fields(chosen(opened, *data_fields), table_fields)
    return build_spec(
        {"name": (name or "").strip(), **choices.model_dump(), "model": model.model_dump(), **form_document(form)}
    )


def start_run(services: Services, spec: RunSpec, request: str) -> str:
    """Start the run in a process of its own, or find the one that this request has started; leads to it.

    Raises:
        DataError: the report on the chosen columns says that training on them cannot begin.
        SameColumn: one column is text and label.
        LabelWeightsUnknown: a weight is for a label that there is not.
        TooManyProcesses, TrackerUnknown, TrackerMissing: this machine does not have what it asks for.
        ModelError: the model's folder holds no model, or the Hub does not have it or cannot be reached.
    """
    check_apart(spec.data)
    report = load_report(services.home, spec.choices)
    if report:
        if refusal := refusal_of(report, spec.data.label_names):
            raise refusal
        labels = [label["value"] for label in report["labels"]]
        check_weighted(spec.training.label_weights, named_labels(labels, spec.data.label_names))
    check_machine(spec)
    if names_a_folder(spec.model.base):
        check_folder(spec.model.base)
    elif spec.model.base != STARTER:
        revision = spec.model.revision or None
        look_up(spec.model.base, token=services.hub_token, timeout_s=HUB_TIMEOUT_S, revision=revision)
    # The same click with other settings, after what was wrong with them was mended, is another request.
    run = services.store.start_new(spec, f"{request} {spec.model_dump_json()}", environ=services.secrets)
    return goto(run=run.id, step="train")


def keep(services: Services, opened: Opened, spec: RunSpec) -> None:
    """Keep what is asked for as the draft of the table's next run, which its page shows after a reload, too.

    What is changed on a run's page becomes the draft as well; the run's own settings are history and stay.
    """
    save_draft(services.home, opened.dataset, _open_where_recipe(spec))


def command_of(spec: RunSpec) -> str:
    """The command that does the same as a click on Train: flags only for what differs from the defaults."""
    parts = ["python", "-m", "studio", "train", spec.data.source or "DATA.csv"]
    for setting in settings():
        if setting.path == "data.source":
            continue
        value = value_at(spec, setting.path)
        if value == setting.default or value in ("", {}, (), None):
            continue
        if setting.kind == "list":
            for entry in value:
                parts += [setting.flag, step_text(entry) if isinstance(entry, Section) else str(entry)]
            continue
        if setting.kind == "switch":
            parts.append(setting.flag if value else f"--no-{setting.flag.removeprefix('--')}")
            continue
        shown = pairs_text(value) if setting.kind == "mapping" else str(value)
        parts += [setting.flag, shown]
    return shlex.join(parts)


def _open_where_recipe(spec: RunSpec) -> RunSpec:
    # What the recipe says anyway is left open, so that command and file say only what was chosen.
    recipe = recipe_for(spec.model.base)
    said = {name: None for name, value in spec.training if hasattr(recipe, name) and value == getattr(recipe, name)}
    return spec.model_copy(update={"training": spec.training.model_copy(update=said)})


def _summary(services: Services, t: Words, spec: RunSpec) -> str:
    report = load_report(services.home, spec.choices)
    parts = (report or {}).get("parts") or {}
    if "train" not in parts:
        return ""
    counts = t("data.parts_counts", **{name: parts[name]["rows"] for name in ("train", "validation", "test")})
    return tag("p", text(counts), class_="muted")


def wire(view: ModelView, data: DataView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""
    services, t = site.services, site.t
    data_count, table_count, model_count = map(len, (data.choices(), data.preparing.choices(), view.model_fields()))

    def spec_of(address: str, *values: Any) -> tuple[Opened, RunSpec]:
        opened = site.opened(address)
        # What the fields show counts, also where the news of a change is still on its way.
        data_fields, rest = values[:data_count], values[data_count:]
        table_fields, rest = rest[:table_count], rest[table_count:]
        model_fields, name, form = rest[:model_count], rest[model_count], rest[model_count + 1 :]
        return opened, build_run_spec(opened, data_fields, table_fields, model_fields, name, form)

    def kind_chosen(kind: str) -> dict[Any, Any]:
        spec = RunSpec(model=ModelSpec(base=STARTER if kind == "starter" else "pretrained"))
        return {
            view.listed: gr.update(visible=kind == "list"),
            view.hub_id: gr.update(visible=kind == "hub"),
            view.folder: gr.update(visible=kind == "folder"),
            view.check: gr.update(visible=kind in ("hub", "folder")),
            view.facts: model_facts(t, STARTER) if kind == "starter" else "",
            **_training_updates(view.form, spec),
        }

    def listed_chosen(base: str | None) -> str:
        return model_facts(t, base or "")

    def checked(*fields: Any) -> str:
        try:
            return check_model(services, t, chosen_model(*fields), fields[0])
        except StudioError as error:
            return problem(t, error)

    def described(address: str, *values: Any, changed: bool = False) -> dict[Any, Any]:
        try:
            opened, spec = spec_of(address, *values)
        except SpecError as error:
            return {view.problem: problem(t, error)}
        except (DatasetMissing, ModelNotNamed):  # the page says itself what is still to be chosen
            return {view.problem: ""}
        if changed:
            keep(services, opened, spec)
        shown = _open_where_recipe(spec)
        return {
            view.problem: "",
            view.decisions: auto.listed(t, shown),
            view.command: command_of(shown),
            view.yaml: spec_to_yaml(shown),
            view.summary: _summary(services, t, spec),
        }

    def counted(address: str, *values: Any) -> Iterator[str]:
        try:
            _, spec = spec_of(address, *values)
        except (SpecError, DatasetMissing, ModelNotNamed):
            yield ""
        else:
            yield from model_tokens.token_lines(services, t, spec)

    def started(request: str, address: str, *values: Any) -> dict[Any, Any]:
        try:
            opened, spec = spec_of(address, *values)
            check_label_names(services, spec.choices)
            # What is clicked after this answer is another wish; what was clicked before it is the same one.
            fresh = {view.problem: "", view.request: secrets.token_hex(16)}
            led = start_run(services, spec, request)
            keep(services, opened, spec.replaced(name=""))
            return {site.router: led, **fresh}
        except StudioError as error:
            return {view.problem: problem(t, error)}

    everything = [
        site.router,
        *data.choices(),
        *data.preparing.choices(),
        *view.model_fields(),
        view.name,
        *view.form.fields,
    ]
    told = [view.problem, view.decisions, view.command, view.yaml, view.summary]
    site.on(tab.select, described, everything, told)  # the table's choices may have changed
    kind_shown = site.on(view.kind.input, kind_chosen, [view.kind], view.outputs())
    changed = partial(described, changed=True)
    site.on(kind_shown.then, changed, everything, told)
    site.on(view.listed.input, listed_chosen, [view.listed], [view.facts])
    site.on(view.check.click, checked, view.model_fields(), [view.facts])
    site.on(view.hub_id.submit, checked, view.model_fields(), [view.facts])
    site.on(view.folder.submit, checked, view.model_fields(), [view.facts])
    typed: tuple[Any, ...] = (view.listed, view.hub_id, view.folder, view.name, *view.form.fields)
    for field in typed:
        site.on(field.input, changed, everything, told, trigger_mode="always_last")
    fields: dict[str, Any] = {s.path: f for s, f in zip(form_settings(), view.form.fields, strict=True)}
    named = (view.kind.input, view.listed.input, view.check.click, view.hub_id.submit, view.folder.submit)
    for asking in (*named, fields["training.max_length"].blur):
        site.on(asking, counted, everything, [view.tokens], trigger_mode="always_last")
    filled = lab_page.wire(view.lab, view.form, site, everything, lambda *fields: spec_of(*fields)[1])
    site.on(filled.then, changed, everything, told)
    site.on(view.start.click, started, [view.request, *everything], [site.router, view.problem, view.request])


def _training_updates(form: Form, spec: RunSpec) -> dict[Any, Any]:
    updates = form.updates(spec)
    return {
        field: updates[field]
        for setting, field in zip(form_settings(), form.fields, strict=True)
        if setting.section == "training" and setting.optional
    }
