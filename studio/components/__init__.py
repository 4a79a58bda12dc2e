"""Small custom components: HTML elements that the scripts in ``assets/web`` bring to life."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr

from studio.markup import tag, text

SCRIPT_WORDS = (
    "nav.", "state.", "phase.", "metric.", "header.", "runs.", "model.starter", "job.", "train.", "chart.", "note.",
    "unit.", "lab.", "compare.", "data.name_for", "data.export_ready", "data.other_file", "error.title",
)  # fmt: skip
"""The words that scripts show: keys, or prefixes that end in a dot. Served as one script by `studio.server`."""


def live_component(script: str, *, name: str, value: str = "") -> gr.HTML:
    """A component whose content ``script`` builds from its ``value`` (JSON text).

    ``script``, a call of a function of `Studio`, is run once with ``element``, ``props``, ``trigger`` and ``watch``;
    the element stays the same for good.
    """
    function = script[: script.index("(")].removeprefix("Studio.")
    # The page's scripts and its components load side by side: on a busy machine either may be first.
    there = f"typeof Studio !== 'undefined' && Studio.{function}"
    started = f"const start = () => {there} ? {script} : setTimeout(start, 20); start();"
    return gr.HTML(
        value=value,
        html_template=f'<div class="live-root {name}"></div>',
        js_on_load=started,
        apply_default_css=False,
        elem_classes=[f"component-{name}"],
    )


def run_list() -> gr.HTML:
    """The newest runs, beside every page."""
    return live_component("Studio.sidebar(element.firstElementChild)", name="newest-runs")


def run_table() -> gr.HTML:
    """Every run, with opening, renaming and deleting."""
    return live_component("Studio.runsTable(element.firstElementChild)", name="runs-table")


def job_progress() -> gr.HTML:
    """The progress of one import, report or upload: value ``{"job": id, "then": address}``.

    With ``"tell": true`` the job's end, whatever it is, fires the event ``ended``; with ``"again": words`` one that
    did not complete gets a button of these words, which fires ``again``.
    """
    script = (
        "Studio.jobProgress(element.firstElementChild, props, watch, () => trigger('ended'), () => trigger('again'))"
    )
    return live_component(script, name="job-progress")


def live_run() -> gr.HTML:
    """A run as it happens: value ``{"run": id}``."""
    return live_component("Studio.liveRun(element.firstElementChild, props, watch)", name="live-run")


def label_names() -> gr.HTML:
    """The labels with fields for their names: value ``{"labels": […], "names": {…}}``; event ``renamed``."""
    script = "Studio.labelNames(element.firstElementChild, props, () => trigger('renamed'), watch)"
    return live_component(script, name="label-names")


def column_fields() -> gr.HTML:
    """A field for each column: value ``{"columns": […]}``; typing adds ``"cells": […]``: event ``typed``."""
    script = "Studio.columnFields(element.firstElementChild, props, () => trigger('typed'), watch)"
    return live_component(script, name="column-fields")


def findings_list() -> gr.HTML:
    """What stands out in a table: value as `studio.pages.data_findings` makes it.

    A click on a repair makes the value ``{"repair": {"step": …}}`` or ``{"repair": {"set": {path: value}}}`` (as it
    stands in the report), and fires the event ``repair``. The buttons stay out of use until a new value comes.
    """
    script = "Studio.findingsList(element.firstElementChild, props, () => trigger('repair'), watch)"
    return live_component(script, name="findings-list")


def hub_search(words: Mapping[str, str]) -> gr.HTML:
    """A field that searches the Hub's data sets, and what was found: value as `studio.pages.data_hub` makes it.

    Typing fires the event ``searched``, a click on a result ``chosen``. ``words`` are label, placeholder, searching.
    """
    script = (
        "Studio.hubSearch(element.firstElementChild, props, () => trigger('searched'), () => trigger('chosen'), watch)"
    )
    value = json.dumps({"words": dict(words)}, ensure_ascii=False)
    return live_component(script, name="hub-search", value=value)


def step_list() -> gr.HTML:
    """The steps that make a table ready: value as `studio.pages.data_preparing` makes it.

    Switching, changing, moving or removing one makes the value ``{"change": [step, …]}``: event ``altered``.
    """
    script = "Studio.stepList(element.firstElementChild, props, () => trigger('altered'), watch)"
    return live_component(script, name="step-list")


def lab_bars() -> gr.HTML:
    """What the optimization lab measures, as it is measured: value ``{"job": id}``.

    A click on Apply makes the value ``{"job": id, "apply": code}``: event ``applied``.
    """
    script = "Studio.labBars(element.firstElementChild, props, () => trigger('applied'), watch)"
    return live_component(script, name="lab-bars")


def plot(name: str) -> gr.HTML:
    """A plotly figure in the page's colours: value is the figure as JSON."""
    return live_component("Studio.plot(element.firstElementChild, props, watch)", name=name)


def router() -> gr.HTML:
    """The unseen component that tells the server which address is open; event ``navigate``."""
    return live_component("Studio.router(props, () => trigger('navigate'), watch)", name="router")


def run_title(name: str) -> dict[str, Any]:
    """The update of a line that says which run a page is about; without one it is not there."""
    return gr.update(value=tag("h2", text(name), class_="run-title"), visible=bool(name))
