"""Try it: type texts, see the label and the probability of each, after fine-tuning and before it.

A run whose texts are composed of several columns has a field for each of them, and shows the text that they make;
whole texts, one a line, can be typed instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import gradio as gr
from rich.cells import cell_len

from backend.data.template import template_columns
from backend.data.text_cleaning import render
from backend.errors import RunMissing, StudioError
from studio import components
from studio.address import Opened
from studio.i18n import Words
from studio.markup import empty_state, link, problem, tag, text
from studio.pages import predict_table
from studio.services import Services
from studio.site import Site

MOST_LINES = 200
MOST_BARS = 12
LONGEST_TEXT = 100_000


@dataclass(frozen=True)
class PredictView:
    """The components of the page."""

    title: gr.HTML
    nothing: gr.HTML
    main: gr.Column
    plain: gr.Checkbox
    texts: gr.Textbox
    composing: gr.Column
    fields: gr.HTML
    made: gr.HTML
    before: gr.Checkbox
    ask: gr.Button
    answers: gr.HTML
    table: predict_table.TableView

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [
            self.title,
            self.nothing,
            self.main,
            self.plain,
            self.texts,
            self.composing,
            self.fields,
            self.made,
            self.answers,
            *self.table.outputs(),
        ]


def layout(t: Words) -> PredictView:
    """Build the page inside the open tab."""
    title, nothing = gr.HTML(visible=False), gr.HTML()
    with gr.Column(visible=False) as main:
        with gr.Column(elem_classes="card"):
            plain = gr.Checkbox(label=t("try.plain"), value=False, container=False, visible=False)
            texts = gr.Textbox(
                label=t("try.texts"),
                info=t("try.texts_help"),
                placeholder=t("try.placeholder"),
                lines=3,
                max_lines=12,
                elem_id=f"try-{t.language}",
            )
            with gr.Column(visible=False) as composing:
                fields = components.column_fields()
                made = gr.HTML()
            with gr.Row(elem_classes="start"):
                before = gr.Checkbox(label=t("try.before"), value=True, container=False)
                ask = gr.Button(t("try.ask"), variant="primary", scale=0, min_width=160, elem_id=f"ask-{t.language}")
        answers = gr.HTML(elem_classes="slot")
        table = predict_table.layout(t)
    return PredictView(title, nothing, main, plain, texts, composing, fields, made, before, ask, answers, table)


# -- handlers


def show(services: Services, t: Words, view: PredictView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    template = template_of(opened)
    columns = template_columns(template) if template else []
    return {
        **readiness(services, t, view, opened),
        view.title: components.run_title(opened.run.name if opened.run else ""),
        view.plain: gr.update(value=False, visible=bool(columns)),
        view.texts: gr.update(value="", visible=not columns),
        view.composing: gr.update(visible=bool(columns)),
        view.fields: json.dumps({"columns": columns}, ensure_ascii=False),
        view.made: made_text(t, ""),
        view.answers: "",
        **predict_table.show(services, view.table, opened),
    }


def switched(view: PredictView, opened: Opened, *, plain: bool) -> dict[Any, Any]:
    """Fields for the columns of the open run's template, or lines of text where it has none or with ``plain``."""
    composing = composes(opened, plain=plain)
    return {view.texts: gr.update(visible=not composing), view.composing: gr.update(visible=composing)}


def composes(opened: Opened, *, plain: bool) -> bool:
    """Whether the page asks for the columns of a template."""
    return bool(template_of(opened)) and not plain


def template_of(opened: Opened) -> str:
    """The template of the open run's texts; empty where they are one column."""
    return opened.spec.data.template if opened.spec and opened.run else ""


def composed(opened: Opened, fields: str | None) -> str:
    """The text that the filled fields make: empty where all are blank."""
    template = template_of(opened)
    columns = template_columns(template) if template else []
    return render(template, dict(zip(columns, _cells(fields), strict=False)))


def _cells(fields: str | None) -> list[str]:
    """What was typed, in the order of the columns; anybody can send anything as a component's value."""
    try:
        document = json.loads(fields or "{}")
    except (ValueError, RecursionError):
        return []
    cells = document.get("cells") if isinstance(document, dict) else None
    return [cell[:LONGEST_TEXT] if isinstance(cell, str) else "" for cell in cells] if isinstance(cells, list) else []


def made_text(t: Words, made: str) -> str:
    """The composed text, as HTML."""
    heading = tag("p", text(t("try.made")), class_="muted")
    return heading + tag("p", text(made or "…"), class_="made", aria_live="polite")


def readiness(services: Services, t: Words, view: PredictView, opened: Opened) -> dict[Any, Any]:
    """Whether there is a model to ask by now, or what to do until there is."""
    ready = has_model(services, opened)
    if opened.run is None:
        advice = empty_state(t("try.nothing"), t("try.nothing_next"), link("?step=data", t("step.data")))
    else:
        training = link(f"?run={opened.run.id}&step=train", t("step.train"))
        advice = empty_state(t("try.not_yet"), t("try.not_yet_next"), training)
    return {view.nothing: gr.update(value=advice, visible=not ready), view.main: gr.update(visible=ready)}


def has_model(services: Services, opened: Opened) -> bool:
    """Whether the open run has a model to ask or to share."""
    if opened.run is None:
        return False
    try:
        services.store.model_folder(opened.run.id)
    except StudioError:
        return False
    return True


def predict(
    services: Services,
    t: Words,
    opened: Opened,
    typed: str | None,
    fields: str | None,
    *,
    plain: bool,
    before: bool,
) -> str:
    """The answers to the typed lines, or to the text that the fields make, as HTML.

    Raises:
        RunMissing, RunNotFinished: there is no model to ask.
        TextMissing, PredictorFailed: nothing was typed, or the model's process failed.
    """
    if opened.run is None:
        raise RunMissing(run="")
    services.store.model_folder(opened.run.id)
    if composes(opened, plain=plain):
        lines = [composed(opened, fields)]
    else:
        lines = [line.strip()[:LONGEST_TEXT] for line in (typed or "").splitlines() if line.strip()]
    answers = services.predictors.predict(opened.run.path, lines[:MOST_LINES], before=before)
    cards = (answer_card(t, now, then) for now, then in zip_longest(answers.answers, answers.before or []))
    cut = (
        tag("p", text(t("try.cut", count=len(lines), most=MOST_LINES)), class_="muted")
        if len(lines) > MOST_LINES
        else ""
    )
    return tag("div", *cards, class_="answers") + cut


def answer_card(t: Words, answer: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """One text with its label and the bars of all labels; beside it the same before fine-tuning, greyed."""
    sides = [_side(t, t("try.after") if before else "", answer)]
    if before:
        sides.append(_side(t, t("baseline.before"), before, muted=True))
    return tag(
        "article", tag("p", text(answer["text"]), class_="asked"), tag("div", *sides, class_="sides"), class_="card"
    )


def _side(t: Words, title: str, answer: Mapping[str, Any], *, muted: bool = False) -> str:
    label = answer["label"]
    chosen = label if isinstance(label, list) else [label]
    scores = sorted(answer["scores"].items(), key=lambda item: -item[1])
    bars = (_bar(name, score, name in chosen) for name, score in scores[:MOST_BARS])
    rest = (_bar(name, score, name in chosen) for name, score in scores[MOST_BARS:])
    more = tag("details", tag("summary", f"+ {len(scores) - MOST_BARS}"), *rest) if len(scores) > MOST_BARS else ""
    heading = tag("h5", text(title)) if title else ""
    said = tag("p", text(" · ".join(chosen) or t("try.no_label")), class_="said")
    kind, longest = "side muted-side" if muted else "side", max(map(cell_len, answer["scores"]), default=1)
    return tag("div", heading, said, *bars, more, class_=kind, style=f"--name: {longest + 1}ch")


def _bar(name: str, score: float, chosen: bool) -> str:
    width = f"width:{100 * score:.1f}%"
    return tag(
        "div",
        tag("span", text(name), class_="name", title=name),
        tag("span", tag("i", style=width), class_="bar"),
        tag("span", f"{100 * score:.1f} %", class_="number"),
        class_="score chosen" if chosen else "score",
    )


def wire(view: PredictView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""
    services, t = site.services, site.t

    def waiting() -> str:
        return tag("p", text(t("try.asking")), class_="muted asking", role="status")

    def typed(address: str, fields: str) -> str:
        return made_text(t, composed(site.opened(address), fields))

    def switch(address: str, plain: bool) -> dict[Any, Any]:
        return switched(view, site.opened(address), plain=bool(plain))

    def asked(address: str, lines: str, fields: str, plain: bool, before: bool) -> str:
        try:
            return predict(services, t, site.opened(address), lines, fields, plain=bool(plain), before=bool(before))
        except StudioError as error:
            return problem(t, error)

    def selected(address: str) -> dict[Any, Any]:
        opened = site.opened(address)
        if has_model(services, opened):
            assert opened.run is not None
            services.predictors.warm(opened.run.path)  # the first answer comes sooner
        return readiness(services, t, view, opened)

    predict_table.wire(view.table, site)
    site.on(tab.select, selected, [site.router], [view.nothing, view.main])
    site.on(view.fields.typed, typed, [site.router, view.fields], [view.made], trigger_mode="always_last")
    site.on(view.plain.input, switch, [site.router, view.plain], [view.texts, view.composing])
    asking = site.on(view.ask.click, waiting, [], [view.answers])
    site.on(asking.then, asked, [site.router, view.texts, view.fields, view.plain, view.before], [view.answers])
