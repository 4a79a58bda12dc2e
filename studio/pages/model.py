"""Model and options: what is fine-tuned and how, the same as a command and as YAML, and the Train button."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.choices import names_columns
from backend.data.datasets import load_report
from backend.errors import DatasetMissing, ModelNotNamed, SpecError, StudioError
from backend.recipes import made_up_for, open_where_recipe
from backend.specs import STARTER, Choices, RunSpec, spec_to_yaml
from studio import auto, components
from studio.address import Opened
from studio.form import Form, build_form, form_settings
from studio.i18n import Words
from studio.markup import empty_state, link, problem, problems, tag, text
from studio.pages import lab as lab_page
from studio.pages import model_estimate, model_tokens
from studio.pages.data import DataView, check_label_names
from studio.pages.lab import LabView
from studio.pages.model_asked import (
    build_holding_spec,
    build_run_spec,
    command_of,
    keep,
    keep_options,
    start_run,
    vain,
)
from studio.pages.model_choice import (
    KINDS,
    any_of,
    check_model,
    chosen_model,
    kind_of,
    listed_choices,
    model_facts,
)
from studio.pages.model_estimate import EstimateView
from studio.pages.model_recipe import followed, remembered
from studio.services import Services
from studio.site import Site


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
    estimate: EstimateView
    start: gr.Button
    request: gr.Textbox
    """Unseen: what this page's click on Train is known by, so that a double click starts one run."""
    followed: gr.Textbox
    """Unseen: the recipe that the options follow, and what was typed (`studio.pages.model_recipe`)."""

    def model_fields(self) -> list[Component]:
        """The fields that name the model, in the order of `chosen_model`."""
        return [self.kind, self.listed, self.hub_id, self.folder]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        plain = [self.nothing, self.options, *self.model_fields(), self.check, self.facts, self.tokens, self.name]
        told = [self.decisions, self.command, self.yaml, self.problem, self.summary, self.request, self.followed]
        return [*plain, *self.form.fields, *self.lab.outputs(), *self.estimate.outputs(), *told]


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
        with gr.Column(elem_classes="in-sight"):
            trouble = gr.HTML(elem_classes="slot told")
            said, progress = gr.HTML(elem_classes="slot"), components.job_progress()
            with gr.Row(elem_classes="start"):
                summary = gr.HTML()
                ask = gr.Button(t("model.estimate"), elem_id=f"estimate-{t.language}", scale=0, min_width=140)
                start = gr.Button(
                    t("model.train"), variant="primary", elem_id=f"train-{t.language}", scale=0, min_width=140
                )
        request, followed = (gr.Textbox(visible="hidden", elem_classes="never-shown") for _ in range(2))
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
        EstimateView(said, progress, ask),
        start,
        request,
        followed,
    )


# -- handlers


def show(services: Services, t: Words, view: ModelView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address: the open run's settings, or what is asked of the open table's next run."""
    spec = opened.spec or RunSpec()
    base = spec.model.base
    kind = kind_of(base)
    updates: dict[Any, Any] = {
        view.nothing: gr.update(visible=opened.profile is None),
        view.options: gr.update(visible=opened.profile is not None),
        view.kind: kind,
        view.listed: gr.update(
            choices=listed_choices(t, _language(services, opened)),
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
        view.followed: remembered(kind, spec.training.optimizer),
        view.estimate.said: "",
        view.estimate.progress: "",
        **view.form.updates(spec),
    }
    if opened.choices:
        full = spec.with_choices(opened.choices)
        updates |= {
            view.decisions: auto.listed(t, open_where_recipe(full)),
            view.command: command_of(full),
            view.yaml: spec_to_yaml(full),
            view.summary: _summary(services, t, full.choices, base),
            **model_estimate.show(services, t, view.estimate, full),
            **lab_page.show(services, t, view.lab, full),
        }
    return updates


def _language(services: Services, opened: Opened) -> str:
    described = opened.choices is not None and names_columns(opened.choices.data)
    report = load_report(services.home, opened.choices) if described and opened.choices else None
    shares: dict[str, float] = (report or {}).get("language", {})
    return max(shares, key=lambda name: shares[name]) if shares else "en"


def _summary(services: Services, t: Words, choices: Choices, base: str) -> str:
    report = load_report(services.home, choices) or {}
    parts = report.get("parts") or {}
    if "train" not in parts:
        return ""
    rows = {name: parts[name]["rows"] for name in ("train", "validation", "test")}
    told = [text(t("data.parts_counts", **rows))]
    made_up = made_up_for(rows["train"], multilabel=report["task"] == "multilabel")
    if base == STARTER and made_up:
        told.append(text(t("model.starter_texts", count=made_up, together=made_up + rows["train"])))
    return tag("p", "<br>".join(told), class_="muted")


def wire(view: ModelView, data: DataView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""
    services, t = site.services, site.t
    data_count, table_count, model_count = map(len, (data.choices(), data.preparing.choices(), view.model_fields()))

    def divided(values: tuple[Any, ...]) -> tuple[Any, ...]:
        # What the fields show counts, also where the news of a change is still on its way.
        data_fields, rest = values[:data_count], values[data_count:]
        table_fields, rest = rest[:table_count], rest[table_count:]
        model_fields, name, form = rest[:model_count], rest[model_count], rest[model_count + 1 :]
        return data_fields, table_fields, model_fields, name, form

    def spec_of(address: str, *values: Any) -> tuple[Opened, RunSpec]:
        opened = site.opened(address)
        return opened, build_run_spec(opened, *divided(values))

    form_fields: dict[str, Any] = {s.path: f for s, f in zip(form_settings(), view.form.fields, strict=True)}

    def kind_chosen(kind: str, listed: str | None, hub_id: str, folder: str, *rest: Any) -> dict[Any, Any]:
        known = model_facts(t, {"starter": STARTER, "list": listed or ""}.get(kind, ""))
        return {
            view.listed: gr.update(visible=kind == "list"),
            view.hub_id: gr.update(visible=kind == "hub"),
            view.folder: gr.update(visible=kind == "folder"),
            view.check: gr.update(visible=kind in ("hub", "folder")),
            view.facts: folder_left(kind, listed, hub_id, folder) if kind == "folder" else known,
            **recipe_followed(kind, *rest),
        }

    def recipe_followed(kind: str, before: str, optimizer: str, *values: Any) -> dict[Any, Any]:
        changes, known = followed(kind, optimizer, dict(zip(form_fields, values, strict=True)), before)
        return {view.followed: known, **{form_fields[path]: gr.update(value=value) for path, value in changes.items()}}

    def listed_chosen(base: str | None) -> str:
        return model_facts(t, base or "")

    def checked(*fields: Any) -> str:
        try:
            return check_model(services, t, chosen_model(*fields), fields[0])
        except StudioError as error:
            return problem(t, error)

    def folder_left(kind: str, *fields: Any) -> Any:
        if kind != "folder":
            return gr.skip()
        return checked(kind, *fields) if (fields[-1] or "").strip() else ""

    def complaints(
        address: str, error: SpecError, *values: Any, clicked: bool = True
    ) -> tuple[RunSpec | None, list[StudioError]]:
        # What was kept of a setting that does not hold now stands in no field.
        opened = site.opened(address)
        holding = build_holding_spec(error, opened, *divided(values))
        failed = [found["setting"] for found in error.problems]
        return holding, [error, *(vain(services, holding, but=failed, model=clicked) if holding else ())]

    def described(address: str, *values: Any, changed: bool = False) -> dict[Any, Any]:
        try:
            opened, spec = spec_of(address, *values)
        except SpecError as error:
            holding, wrong = complaints(address, error, *values, clicked=False)
            if holding is None:
                return {view.problem: problems(t, wrong)}
            if changed:
                keep(services, site.opened(address), holding)  # what else was changed is not lost with it
            return told_of(holding, wrong, t("model.without_what_fails"))
        except DatasetMissing:  # the page says so itself
            return {view.problem: ""}
        except ModelNotNamed as error:
            return unnamed(address, t.error(error)[0], *values, changed=changed)
        if changed:
            keep(services, opened, spec)
        return told_of(spec, vain(services, spec))

    def unnamed(address: str, said: str, *values: Any, changed: bool) -> dict[Any, Any]:
        # The other options are looked at meanwhile, and kept beside the model that was named before.
        first = data_count + table_count
        of_any = (*values[:first], "hub", None, any_of(values[first]).base, None, *values[first + model_count :])
        others = described(address, *of_any)
        if changed:
            keep_options(services, site.opened(address), *divided(of_any))
        return others | {
            view.decisions: tag("p", text(said), class_="muted"),
            view.command: f"# {said}",
            view.yaml: f"# {said}",
            view.summary: tag("p", text(said), class_="muted"),
            view.estimate.said: "",
        }

    def told_of(spec: RunSpec, errors: Sequence[StudioError], beside: str = "") -> dict[Any, Any]:
        shown, wrong = open_where_recipe(spec), [beside] if beside else [t.error(error)[0] for error in errors]
        comment = "".join(f"# {each}\n" for each in wrong)
        return {
            view.problem: problems(t, errors),
            view.decisions: (tag("p", text(beside), class_="banner slim") if beside else "") + auto.listed(t, shown),
            view.command: comment + command_of(shown),
            view.yaml: comment + spec_to_yaml(shown),
            view.summary: _summary(services, t, spec.choices, spec.model.base),
            view.estimate.said: "" if errors else model_estimate.measured(services, t, spec),
        }

    def estimated(address: str, *values: Any) -> dict[Any, Any]:
        try:
            _, spec = spec_of(address, *values)
            if asked_in_vain := vain(services, spec, model=True):
                return {view.problem: problems(t, asked_in_vain)}
            return {
                view.problem: "",
                view.estimate.said: "",
                view.estimate.progress: model_estimate.begin(services, spec),
            }
        except SpecError as error:
            return {view.problem: problems(t, complaints(address, error, *values)[1])}
        except StudioError as error:
            return {view.problem: problem(t, error)}

    def estimate_ended(shown: str, address: str, *values: Any) -> dict[Any, Any]:
        try:
            _, spec = spec_of(address, *values)
            return model_estimate.ended(services, t, view.estimate, spec, shown)
        except (SpecError, DatasetMissing, ModelNotNamed):  # nobody has clicked: the page says it already
            return {view.estimate.progress: ""}

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
            if asked_in_vain := vain(services, spec, model=True):
                return {view.problem: problems(t, asked_in_vain), view.estimate.said: ""}
            # What is clicked after this answer is another wish; what was clicked before it is the same one.
            fresh = {view.problem: "", view.request: secrets.token_hex(16)}
            led = start_run(services, spec, request)
            keep(services, opened, spec.replaced(name=""))
            return {site.router: led, **fresh}
        except SpecError as error:
            return {view.problem: problems(t, complaints(address, error, *values)[1]), view.estimate.said: ""}
        except StudioError as error:
            return {view.problem: problem(t, error), view.estimate.said: ""}

    everything = [
        site.router,
        *data.choices(),
        *data.preparing.choices(),
        *view.model_fields(),
        view.name,
        *view.form.fields,
    ]
    told = [view.problem, view.decisions, view.command, view.yaml, view.summary, view.estimate.said]
    site.on(tab.select, described, everything, told)  # the table's choices may have changed
    optimizer = form_fields["training.optimizer"]
    recipe = [view.followed, optimizer, *view.form.fields]
    kind_shown = site.on(
        view.kind.input, kind_chosen, [*view.model_fields(), *recipe], view.outputs(), trigger_mode="always_last"
    )
    recipe_shown = site.on(
        optimizer.input,
        recipe_followed,
        [view.kind, *recipe],
        [view.followed, *view.form.fields],
        trigger_mode="always_last",
    )
    changed = partial(described, changed=True)
    for shown in (kind_shown, recipe_shown):
        site.on(shown.then, changed, everything, told)
    site.on(view.listed.input, listed_chosen, [view.listed], [view.facts])
    site.on(view.check.click, checked, view.model_fields(), [view.facts])
    site.on(view.hub_id.submit, checked, view.model_fields(), [view.facts])
    site.on(view.folder.submit, checked, view.model_fields(), [view.facts])
    site.on(view.folder.blur, folder_left, view.model_fields(), [view.facts])
    typed: tuple[Any, ...] = (view.listed, view.hub_id, view.folder, view.name, *view.form.fields)
    for field in (field for field in typed if field is not optimizer):
        site.on(field.input, changed, everything, told, trigger_mode="always_last")
    looked_at = (view.hub_id.submit, view.folder.submit, view.folder.blur)
    named = (view.kind.input, view.listed.input, view.check.click, *looked_at)
    for asking in (*named, form_fields["training.max_length"].blur):
        site.on(asking, counted, everything, [view.tokens], trigger_mode="always_last")
    filled = lab_page.wire(view.lab, view.form, site, everything, lambda *fields: spec_of(*fields)[1])
    site.on(filled.then, changed, everything, told)
    site.on(filled.then, remembered, [view.kind, optimizer], [view.followed])
    site.on(view.estimate.ask.click, estimated, everything, [view.problem, *view.estimate.outputs()])
    progress = view.estimate.progress
    site.on(progress.ended, estimate_ended, [progress, *everything], [view.problem, *view.estimate.outputs()])
    answered = [site.router, view.problem, view.request, view.estimate.said]
    site.on(view.start.click, started, [view.request, *everything], answered)
