"""Model and options: the optimization lab, in which ways to train are measured on the open table and this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.choices import refusal_of
from backend.data.datasets import load_report
from backend.errors import StudioError
from backend.lab.starting import STEPS, latest_lab, start_lab, tried, ways_of
from backend.recipes import open_where_recipe
from backend.specs import RunSpec, Setting, value_at
from studio import components
from studio.comparing import setting_text
from studio.form import Form, form_settings, shown_value
from studio.i18n import Words
from studio.markup import problem, tag, text
from studio.services import Services
from studio.site import Site


@dataclass(frozen=True)
class LabView:
    """The components of the lab."""

    ways: gr.CheckboxGroup
    steps: gr.Number
    measure: gr.Button
    problem: gr.HTML
    bars: gr.HTML

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.ways, self.bars, self.problem]


def layout(t: Words) -> LabView:
    """Build the folded part under the options."""
    with gr.Accordion(t("lab.title"), open=False, elem_classes="folded"):
        gr.HTML(tag("p", text(t("lab.about")), class_="muted") + tag("p", text(t("lab.one_process")), class_="muted"))
        ways = gr.CheckboxGroup([], label=t("lab.ways"), elem_classes="ways")
        with gr.Row(elem_classes="lab-start"):
            steps = gr.Number(
                STEPS, label=t("lab.steps"), info=t("lab.steps_help"), precision=0, min_width=220, scale=0
            )
            measure = gr.Button(t("lab.measure"), scale=0, min_width=160, elem_id=f"lab-{t.language}")
        trouble = gr.HTML(elem_classes="slot")
        bars = components.lab_bars()
    return LabView(ways, steps, measure, trouble, bars)


def show(services: Services, t: Words, view: LabView, spec: RunSpec) -> dict[Any, Any]:
    """The ways that are possible here, and the newest figures of this model on this table."""
    job = latest_lab(services.home, spec) if spec.data.dataset else None
    return {
        **offered(t, view, spec),
        view.problem: "",
        view.bars: json.dumps({"job": job.id}) if job else "",
    }


def offered(t: Words, view: LabView, spec: RunSpec) -> dict[Any, Any]:
    """The ways that can be tried with these settings; those that are worth it are chosen."""
    ways = [way for way in ways_of(spec) if not way.hindrance]
    choices = [(t(f"lab.{way.code}"), way.code) for way in ways]
    return {view.ways: gr.update(choices=choices, value=[way.code for way in ways if way.asked_for])}


def start(services: Services, spec: RunSpec, codes: Sequence[str], steps: int) -> str:
    """Start measuring; the value of the bars that follow it.

    Raises:
        StudioError: the table will not do for a run, or a way cannot be tried here.
    """
    report = load_report(services.home, spec.choices)
    if report and (refusal := refusal_of(report, spec.data.label_names)):
        raise refusal
    return json.dumps({"job": start_lab(services.home, spec, codes, steps=max(2, steps), environ=services.secrets).id})


def applied(services: Services, t: Words, form: Form, spec: RunSpec, clicked: str) -> tuple[dict[Any, Any], str]:
    """The form with the settings of the way whose button was clicked, on top of what it says now, and what changed."""
    asked = json.loads(clicked)
    found = next(each for each in tried(services.job(asked["job"])) if each.code == asked["apply"])
    changes = {path.replace(".", "__"): value for path, value in found.changes.items()}
    before = open_where_recipe(spec)
    after = before.replaced(**changes)
    return dict(form.updates(after)), _changed(t, asked["apply"], before, after)


def _changed(t: Words, code: str, before: RunSpec, after: RunSpec) -> str:
    """What the click has changed in the options, which are out of sight."""
    way = t(f"lab.{code}")
    changed = [s for s in form_settings() if value_at(before, s.path) != value_at(after, s.path)]
    if not changed:
        said = tag("span", text(t("lab.applied_nothing", way=way)))
    else:
        rows = (tag("li", text(f"{t(f'setting.{s.path}.name')}: {_shown(t, s, after)}")) for s in changed)
        said = tag("span", text(t("lab.applied", way=way))) + tag("ul", *rows)
    return tag("div", said, class_="banner good", role="status")


def _shown(t: Words, setting: Setting, spec: RunSpec) -> str:
    value = shown_value(setting, spec)
    return t("auto.open") if value is None else setting_text(t, setting.path, value)


def wire(
    view: LabView,
    form: Form,
    site: Site,
    inputs: Sequence[Component],
    spec_of: Callable[..., RunSpec],
) -> Any:
    """Connect the lab's events; gives the event after which the form has other values."""
    services, t = site.services, site.t

    def measured(codes: list[str], steps: float | None, *fields: Any) -> dict[Any, Any]:
        try:
            spec = spec_of(*fields)
            return {view.problem: "", view.bars: start(services, spec, codes, int(steps or STEPS))}
        except StudioError as error:
            return {view.problem: problem(t, error)}

    def apply(clicked: str, *fields: Any) -> dict[Any, Any]:
        try:
            updates, said = applied(services, t, form, spec_of(*fields), clicked)
            return {view.problem: said, **updates}
        except StudioError as error:
            return {view.problem: problem(t, error)}

    site.on(view.measure.click, measured, [view.ways, view.steps, *inputs], [view.problem, view.bars])
    return site.on(view.bars.applied, apply, [view.bars, *inputs], [view.problem, *form.fields])
