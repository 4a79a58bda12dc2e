"""Model and options: how long a run with these settings would take, measured by a click beside Train."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.data.choices import refusal_of
from backend.data.datasets import load_report
from backend.errors import ProcessesNotEstimated, StudioError
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.lab.starting import expected, living_estimate, start_estimate, tried, was_estimated
from backend.specs import RunSpec
from studio.i18n import Words, duration, size
from studio.markup import problem, tag, text
from studio.services import Services


@dataclass(frozen=True)
class EstimateView:
    """The components of the estimate."""

    said: gr.HTML
    progress: gr.HTML
    ask: gr.Button

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.said, self.progress]


def show(services: Services, t: Words, view: EstimateView, spec: RunSpec) -> dict[Any, Any]:
    """What was measured for these settings, and what is being measured."""
    job = living_estimate(services.home, spec)
    return {view.said: measured(services, t, spec, opened=True), view.progress: _followed(job) if job else ""}


def _followed(job: JobDirectory) -> str:
    return json.dumps({"job": job.id, "tell": True})


def measured(services: Services, t: Words, spec: RunSpec, *, opened: bool = False) -> str:
    """What is known of the time and memory of a run with these settings; empty where nothing was measured.

    Args:
        opened: the page was opened with these settings, and nobody has changed them since.
    """
    report = load_report(services.home, spec.choices) if spec.data.dataset else None
    parts = (report or {}).get("parts") or {}
    if "train" not in parts:
        return ""
    if ahead := expected(services.home, spec, parts["train"]["rows"]):
        words = [t("model.estimated", time=duration(max(1.0, ahead.seconds)), memory=size(ahead.peak_bytes))]
        if ahead.others_share:
            words.append(t("lab.beside", percent=round(100 * ahead.others_share)))
    else:
        again = not opened and spec.compute.together == 1 and was_estimated(services.home, spec)
        words = [t("model.estimated_other")] if again and not living_estimate(services.home, spec) else []
    return tag("p", text(" ".join(words)), class_="muted", role="status") if words else ""


def begin(services: Services, spec: RunSpec) -> str:
    """Start measuring; the value of the progress that follows it.

    Raises:
        ProcessesNotEstimated: the run would be shared among processes, and one alone is measured.
        StudioError: the table will not do for a run, or the way to train cannot be had here.
    """
    if spec.compute.together > 1:
        raise ProcessesNotEstimated(processes=spec.compute.together)
    report = load_report(services.home, spec.choices)
    if report and (refusal := refusal_of(report, spec.data.label_names)):
        raise refusal
    return _followed(start_estimate(services.home, spec, environ=services.secrets))


def ended(services: Services, t: Words, view: EstimateView, spec: RunSpec, shown: str) -> dict[Any, Any]:
    """What the measurement says that the progress has shown; that it failed or was stopped stays in sight."""
    job = services.job(json.loads(shown)["job"])
    found = next(iter(tried(job)), None)
    if found is None:
        cancelled = job.status().state is JobState.STOPPED  # by who knows it
        return {view.said: measured(services, t, spec), view.progress: ""} if cancelled else {view.said: ""}
    said = problem(t, StudioError.from_dict(found.error)) if found.error else measured(services, t, spec)
    return {view.said: said or tag("p", text(t("model.estimated_other")), class_="muted"), view.progress: ""}
