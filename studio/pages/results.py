"""Results: one honest sentence first, then the figures beside simple baselines, each label, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.jobs.directory import JobDirectory
from backend.jobs.phases import TRAINING
from backend.jobs.status import JobState
from backend.lab.starting import Expected, expected_of
from studio import components
from studio.address import Opened
from studio.figures import confusion_chart
from studio.i18n import Words, duration, size
from studio.markup import empty_state, link, table, tag, text
from studio.services import Services
from studio.site import Site

HEADLINE_METRICS = ("accuracy", "f1", "f1_macro", "mcc")
BASELINES = ("before", "majority", "tfidf")
PERCENT = 100.0
FEW_TESTS = 100
"""With fewer test texts one of them is worth more than a point of accuracy."""


@dataclass(frozen=True)
class ResultsView:
    """The components of the page."""

    title: gr.HTML
    body: gr.HTML
    matrix_card: gr.Column
    matrix: gr.HTML
    details: gr.HTML

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.title, self.body, self.matrix_card, self.matrix, self.details]


def layout(t: Words) -> ResultsView:
    """Build the page inside the open tab."""
    title, body = gr.HTML(visible=False), gr.HTML()
    with gr.Column(elem_classes="card", visible=False) as matrix_card:
        matrix = components.plot("confusion")
    return ResultsView(title, body, matrix_card, matrix, gr.HTML())


def show(services: Services, t: Words, view: ResultsView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    # What an earlier attempt came to is not how the run stands now.
    current = opened.run and opened.report and opened.report["state"] == opened.run.status().state
    report = opened.report if current else None
    if opened.run is None:
        body = empty_state(t("results.nothing"), t("results.nothing_next"), link("?step=data", t("step.data")))
    elif report is None:
        body = _not_yet(t, opened)
    else:
        body = tag("p", text(sentence(t, report)), class_="sentence") + figures(t, report)
    confusion = (report or {}).get("confusion")
    labels = (report or {}).get("labels", [])
    return {
        view.title: components.run_title(opened.run.name if opened.run else ""),
        view.body: body,
        view.matrix_card: gr.update(visible=bool(confusion)),
        view.matrix: confusion_chart(t, labels, confusion) if confusion else "",
        view.details: details(t, report, *_cost(services, opened.run, report)) if opened.run and report else "",
    }


def _cost(services: Services, run: JobDirectory, report: Mapping[str, Any]) -> tuple[Expected | None, float | None]:
    return expected_of(services.home, run, report), run.worked_s if run.attempt > 1 else None


def _not_yet(t: Words, opened: Opened) -> str:
    assert opened.run is not None
    state = opened.run.status().state
    key = "results.failed" if state in (JobState.FAILED, JobState.INTERRUPTED) else "results.not_yet"
    return empty_state(
        t(key), t(f"{key}_next"), link(f"?run={opened.run.id}&step=train", t("step.train"), primary=True)
    )


def sentence(t: Words, report: Mapping[str, Any]) -> str:
    """The result in one sentence: the figures, the distance to TF-IDF, and the weakest label."""
    metrics = report["metrics"]
    if not metrics:
        kept = report.get("kept") or {}
        found = kept.get("metrics") or {}
        key = "results.failed_kept" if report["state"] == JobState.FAILED else "results.stopped"
        if not found:
            return t(f"{key}_unmeasured")
        return t(key, step=kept["step"], accuracy=_score(found["accuracy"]), f1=_score(found["f1"]))
    parts = [t("results.headline", accuracy=_score(metrics["accuracy"]), f1=_score(metrics["f1"]))]
    tfidf = report["baselines"].get("tfidf")
    if tfidf:
        points = PERCENT * (metrics["f1"] - tfidf["f1"])
        key = "results.equal" if abs(points) < 0.05 else "results.above" if points > 0 else "results.below"
        parts.append(t(key, points=f"{abs(points):.1f}"))
    tested = [row for row in report["per_label"] if row["support"]]
    missed = sum(row["f1"] == 0 for row in tested)
    weakest = min(tested, key=lambda row: row["f1"], default=None)
    if missed > 1:
        parts.append(t("results.missed", missed=missed, labels=len(tested)))
    elif weakest and weakest["f1"] < 1:
        parts.append(t("results.weakest", label=weakest["label"], f1=_score(weakest["f1"])))
    return t("results.join").join(parts) + t("results.stop")


def figures(t: Words, report: Mapping[str, Any]) -> str:
    """The model beside the baselines, measured on the same held-out texts."""
    columns = [name for name in BASELINES if name in report["baselines"]]
    more = [name for name in ("jaccard", "roc_auc") if name in (report["metrics"] or {})]
    rows = []
    for metric in (*HEADLINE_METRICS, *more):
        own = (report["metrics"] or {}).get(metric)
        others = [report["baselines"][name].get(metric) for name in columns]
        best = own is not None and all(other is None or own >= other for other in others)
        cells = [tag("strong" if best else "span", _score(own)), *(_score(other) for other in others)]
        rows.append([text(t(f"metric.{metric}")), *cells])
    heads = [t("results.metric"), t("results.model"), *(t(f"baseline.{name}") for name in columns)]
    counts = report["rows"]
    held_out = text(t("results.held_out", count=counts["test"], train=counts["train"], validation=counts["validation"]))
    meaning = text(t(f"results.f1_meaning.{report['task']}", label=report.get("positive_label") or ""))
    few = 0 < counts["test"] < FEW_TESTS
    caution = text(t("results.few_tests", points=f"{PERCENT / counts['test']:.1f}")) if few else ""
    told = (held_out, meaning, caution) if report["metrics"] else (meaning,)  # of baselines alone
    note = tag("p", " ".join(told), class_="muted")
    return tag(
        "div", tag("h4", text(t("results.figures"))), note, table(heads, rows, kind="figures scores"), class_="card"
    )


def details(
    t: Words, report: Mapping[str, Any], ahead: Expected | None = None, all_attempts_s: float | None = None
) -> str:
    """Each label's precision, recall and F1, and what the run cost, beside what was estimated ``ahead``.

    What was resumed has taken ``all_attempts_s``, of which the phases are those of the last attempt.
    """
    names = ("precision", "recall", "f1", "support")
    cells = (
        [
            text(row["label"]),
            *(_score(row[name]) if name != "support" else f"{row[name]:,}" for name in names),
        ]
        for row in report["per_label"]
    )
    per_label = table([t("results.label"), *(t(f"metric.{name}") for name in names)], cells)
    seconds = report["seconds"]
    phases = [[text(t(f"phase.{name}")), duration(seconds[name])] for name in seconds]
    if ahead:
        phases = [
            [name, f"{time} {text(t('results.ahead', value=duration(ahead.seconds)))}" if phase == TRAINING else time]
            for phase, (name, time) in zip(seconds, phases, strict=True)
        ]
    memory = size(report["peak_memory_bytes"]) if report.get("peak_memory_bytes") else "–"
    if ahead:
        memory += f" {t('results.ahead', value=size(ahead.peak_bytes))}"
    facts = [
        [text(t("results.base")), text(t("model.starter") if report["base"] == "starter" else report["base"])],
        [text(t("results.parameters")), f"{report['parameters']:,}"],
        [text(t("results.device")), text(f"{report['device']} · {report['precision']}")],
        [text(t("results.speed")), f"{report['examples_per_second']:,.0f}" if report["examples_per_second"] else "–"],
        [text(t("results.memory")), text(memory)],
    ]
    if all_attempts_s is not None:
        phases.append([text(t("results.all_attempts")), duration(all_attempts_s)])
    labels_card = tag("div", tag("h4", text(t("results.per_label"))), per_label, class_="card long")
    cost_card = tag(
        "div", tag("h4", text(t("results.cost"))), table([t("results.fact"), ""], [*facts, *phases]), class_="card"
    )
    return tag("div", labels_card if report["per_label"] else "", cost_card, class_="two-cards")


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def wire(view: ResultsView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""

    def selected(address: str) -> dict[Any, Any]:
        return show(site.services, site.t, view, site.opened(address))

    site.on(tab.select, selected, [site.router], view.outputs())
