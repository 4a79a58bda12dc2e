"""Model and options: what is fine-tuned and how, the same as a command and as YAML, and the Train button."""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import gradio as gr

from backend.data.choices import names_columns
from backend.data.datasets import load_report
from backend.recipes import open_where_recipe
from backend.spec_files import spec_to_yaml
from backend.specs import RunSpec
from studio import auto
from studio.address import Opened
from studio.form import form_settings
from studio.i18n import Words
from studio.pages import lab as lab_page
from studio.pages import model_estimate
from studio.pages.data import DataView
from studio.pages.model_answers import Answers, summary_of
from studio.pages.model_asked import command_of
from studio.pages.model_choice import kind_of, listed_choices, model_facts
from studio.pages.model_layout import ModelView, layout
from studio.pages.model_recipe import remembered
from studio.services import Services
from studio.site import Site

__all__ = ["ModelView", "layout", "show", "wire"]


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
        **view.form.updates(open_where_recipe(spec)),
    }
    if opened.choices:
        full = spec.with_choices(opened.choices)
        updates |= {
            view.decisions: auto.listed(t, open_where_recipe(full)),
            view.command: command_of(full),
            view.yaml: spec_to_yaml(full),
            view.summary: summary_of(services, t, full.choices, base),
            **model_estimate.show(services, t, view.estimate, full),
            **lab_page.show(services, t, view.lab, full),
        }
    return updates


def _language(services: Services, opened: Opened) -> str:
    described = opened.choices is not None and names_columns(opened.choices.data)
    report = load_report(services.home, opened.choices) if described and opened.choices else None
    shares: dict[str, float] = (report or {}).get("language", {})
    return max(shares, key=lambda name: shares[name]) if shares else "en"


def wire(view: ModelView, data: DataView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""
    fields: dict[str, Any] = {s.path: f for s, f in zip(form_settings(), view.form.fields, strict=True)}
    answers = Answers(view, data, site, fields)
    everything = [
        site.router,
        *data.choices(),
        *data.preparing.choices(),
        *view.model_fields(),
        view.name,
        *view.form.fields,
    ]
    told = [view.problem, view.decisions, view.command, view.yaml, view.summary, view.estimate.said]
    site.on(tab.select, answers.described, everything, told)  # the table's choices may have changed
    optimizer = fields["training.optimizer"]
    recipe = [view.followed, optimizer, *view.form.fields]
    kind_shown = site.on(
        view.kind.input,
        answers.kind_chosen,
        [*view.model_fields(), *recipe],
        view.outputs(),
        trigger_mode="always_last",
    )
    recipe_shown = site.on(
        optimizer.input,
        answers.recipe_followed,
        [view.kind, *recipe],
        [view.followed, *view.form.fields],
        trigger_mode="always_last",
    )
    changed = partial(answers.described, changed=True)
    for shown in (kind_shown, recipe_shown):
        site.on(shown.then, changed, everything, told)
    site.on(view.listed.input, answers.listed_chosen, [view.listed], [view.facts])
    site.on(view.check.click, answers.checked, view.model_fields(), [view.facts])
    site.on(view.hub_id.submit, answers.checked, view.model_fields(), [view.facts])
    site.on(view.folder.submit, answers.checked, view.model_fields(), [view.facts])
    site.on(view.folder.blur, answers.folder_left, view.model_fields(), [view.facts])
    typed: tuple[Any, ...] = (view.listed, view.hub_id, view.folder, view.name, *view.form.fields)
    for field in (field for field in typed if field is not optimizer):
        site.on(field.input, changed, everything, told, trigger_mode="always_last")
    looked_at = (view.hub_id.submit, view.folder.submit, view.folder.blur)
    named = (view.kind.input, view.listed.input, view.check.click, *looked_at)
    for asking in (*named, fields["training.max_length"].blur):
        site.on(asking, answers.counted, everything, [view.tokens], trigger_mode="always_last")
    filled = lab_page.wire(view.lab, view.form, site, everything, lambda *values: answers.spec_of(*values)[1])
    site.on(filled.then, changed, everything, told)
    site.on(filled.then, remembered, [view.kind, optimizer], [view.followed])
    site.on(view.estimate.ask.click, answers.estimated, everything, [view.problem, *view.estimate.outputs()])
    progress = view.estimate.progress
    site.on(progress.ended, answers.estimate_ended, [progress, *everything], [view.problem, *view.estimate.outputs()])
    answered = [site.router, view.problem, view.request, view.estimate.said]
    site.on(view.start.click, answers.started, [view.request, *everything], answered)
