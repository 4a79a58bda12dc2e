"""Small custom components: HTML elements that the scripts in ``assets/web`` bring to life."""

from __future__ import annotations

from collections.abc import Iterable

import gradio as gr

from studio.i18n import Words


def live_component(script: str, t: Words, keys: Iterable[str], *, name: str, value: str = "") -> gr.HTML:
    """A component whose content ``script`` builds from its ``value`` (JSON text) and its words.

    ``script`` is called with ``element, props, trigger, watch``; ``keys`` are the words (or prefixes ending in ``.``)
    that it uses.
    """
    return gr.HTML(
        value=value,
        html_template=f'<div class="live-root {name}"></div>',
        js_on_load=script,
        apply_default_css=False,
        elem_classes=[f"component-{name}"],
        words=chosen_words(t, keys),
    )


def chosen_words(t: Words, keys: Iterable[str]) -> dict[str, str]:
    """The words a script needs, by key; a key that ends in a dot takes all below it."""
    wanted = tuple(keys)
    return {
        key: value
        for key, value in t.texts.items()
        if any(key == name or (name.endswith(".") and key.startswith(name)) for name in wanted)
    }


def run_list(t: Words) -> gr.HTML:
    """The newest runs, beside every page."""
    return live_component(
        "Studio.sidebar(element.firstElementChild ?? element, props)",
        t,
        ["nav.", "state.", "phase.", "metric.", "header.running"],
        name="sidebar",
    )


def run_table(t: Words) -> gr.HTML:
    """Every run, with opening, renaming and deleting."""
    return live_component(
        "Studio.runsTable(element.firstElementChild ?? element, props)",
        t,
        ["nav.", "state.", "phase.", "metric.", "runs.", "model.starter"],
        name="runs-table",
    )


def job_progress(t: Words) -> gr.HTML:
    """The progress of one import or upload: value ``{"job": id, "then": address}``."""
    return live_component(
        "Studio.jobProgress(element.firstElementChild ?? element, props, watch)",
        t,
        ["state.", "phase.", "job."],
        name="job-progress",
    )


def live_run(t: Words) -> gr.HTML:
    """A run as it happens: value ``{"run": id}``."""
    return live_component(
        "Studio.liveRun(element.firstElementChild ?? element, props, watch)",
        t,
        ["state.", "phase.", "metric.", "train.", "chart.", "note.", "unit."],
        name="live-run",
    )


def label_names(t: Words) -> gr.HTML:
    """The labels with fields for their names: value ``{"labels": […], "names": {…}}``; event ``renamed``."""
    return live_component(
        "Studio.labelNames(element.firstElementChild ?? element, props, trigger, watch); void 'renamed'",
        t,
        ["data.name_for"],
        name="label-names",
    )


def plot(t: Words, *, name: str) -> gr.HTML:
    """A plotly figure in the page's colours: value is the figure as JSON."""
    return live_component("Studio.plot(element.firstElementChild ?? element, props, watch)", t, [], name=name)


def router(t: Words) -> gr.HTML:
    """The unseen component that tells the server which address is open; event ``navigate``."""
    component = live_component("Studio.router(element, props, trigger, watch); void 'navigate'", t, [], name="router")
    component.visible = "hidden"
    return component
