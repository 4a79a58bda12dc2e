"""Model and options: what is fine-tuned and how, the same as a command and as YAML, and the Train button."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.datasets import load_report
from backend.errors import DatasetMissing, HubUnreachable, ModelUnknown, SpecError, StudioError
from backend.models.catalogue import CatalogueModel, catalogue, suggested
from backend.models.folder import check_folder
from backend.models.hub import look_up
from backend.recipes import recipe_for
from backend.specs import STARTER, ModelSpec, RunSpec, build_spec, settings, spec_to_yaml
from studio.address import Opened, goto
from studio.form import Form, build_form, form_document
from studio.i18n import Words
from studio.markup import empty_state, link, problem, tag, text
from studio.pages.data import DataView, chosen
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
    name: gr.Textbox
    form: Form
    command: gr.Code
    yaml: gr.Code
    problem: gr.HTML
    summary: gr.HTML
    start: gr.Button

    def model_fields(self) -> list[Component]:
        """The fields that name the model, in the order of `chosen_model`."""
        return [self.kind, self.listed, self.hub_id, self.folder]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        plain = [self.nothing, self.options, *self.model_fields(), self.check, self.facts, self.name]
        return [*plain, *self.form.fields, self.command, self.yaml, self.problem, self.summary]


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
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('model.options')}</h4>")
            name = gr.Textbox(label=t("setting.name.name"), info=t("setting.name.help"), max_lines=1, max_length=120)
            advanced = gr.Accordion(t("model.advanced"), open=False, render=False)
            form = build_form(t)
            advanced.render()
        with gr.Accordion(t("model.same"), open=False):
            gr.HTML(f"<p class='muted'>{t('model.same_about')}</p>")
            command = gr.Code(language="shell", label=t("model.command"), interactive=False, wrap_lines=True)
            yaml = gr.Code(language="yaml", label="run.yaml", interactive=False)
        trouble = gr.HTML(elem_classes="slot")
        with gr.Row(elem_classes="start"):
            summary = gr.HTML()
            start = gr.Button(t("model.train"), variant="primary", elem_id=f"train-{t.language}", scale=0, min_width=160)
    return ModelView(
        nothing, options, kind, listed, hub_id, folder, check, facts, name, form, command, yaml, trouble, summary, start
    )
