"""Model and options: what stands where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.specs import STARTER
from studio import components
from studio.form import Form, build_form
from studio.i18n import Words
from studio.markup import empty_state, link
from studio.pages import lab as lab_page
from studio.pages import model_tokens
from studio.pages.lab import LabView
from studio.pages.model_choice import KINDS, model_facts
from studio.pages.model_estimate import EstimateView


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
