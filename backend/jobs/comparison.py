"""Runs beside each other: their curves, figures, and the settings in which they differ. Reads their folders only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.errors import ComparisonInvalid
from backend.jobs.directory import JobDirectory
from backend.jobs.events import OptionsDecided, Progressed
from backend.jobs.summaries import read_report, summarise
from backend.specs import settings

FEWEST, MOST = 2, 8
MOST_POINTS = 500
TRAIN_LOSS, VALIDATION_LOSS = "train_loss", "validation_loss"
UNTOLD = ("name", "data.dataset")
"""Settings that say which run it is, not how it was trained: the table's file is a setting of its own."""

Curve = list[tuple[int, float]]
"""Values at optimizer steps, in their order."""


@dataclass(frozen=True)
class Compared:
    """One of the runs."""

    id: str
    name: str
    state: str
    attempt: int
    seconds: float | None
    """At work, in all its attempts; None while it lives."""
    examples_per_second: float | None
    peak_memory_bytes: float | None
    metrics: dict[str, float]
    curves: dict[str, Curve]
    """`TRAIN_LOSS`, `VALIDATION_LOSS` and each metric of the validation split."""


@dataclass(frozen=True)
class Comparison:
    """Several runs, and what is not the same in all of them."""

    runs: list[Compared]
    differences: dict[str, list[Any]] = field(default_factory=dict)
    """By a setting's path its value in each run, in their order: what it became where the run chose it."""


def compare(runs: Sequence[JobDirectory]) -> Comparison:
    """The runs beside each other, in the order given.

    Raises:
        ComparisonInvalid: fewer than two runs, or more than eight, are given.
    """
    chosen = list({run.id: run for run in runs}.values())
    if not FEWEST <= len(chosen) <= MOST:
        raise ComparisonInvalid(given=len(chosen), fewest=FEWEST, most=MOST)
    values = [values_of(run) for run in chosen]
    differences = {}
    for path in values[0]:
        each = [found[path] for found in values]
        if any(value != each[0] for value in each):
            differences[path] = each
    return Comparison([_compared(run) for run in chosen], differences)


def decided_by(run: JobDirectory) -> dict[str, Any]:
    """What became of the options that the machine has a say in, by their paths; empty before the run has told it."""
    told = run.latest(OptionsDecided)
    return {each["setting"]: each["value"] for each in told.decisions} if told else {}


def values_of(run: JobDirectory) -> dict[str, Any]:
    """The run's settings by their paths, with what it decided itself where it was left open."""
    became, found = decided_by(run), {}
    for setting in settings():
        if setting.path in UNTOLD:
            continue
        value: Any = run.spec
        for part in setting.path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        found[setting.path] = became.get(setting.path, value)
    return found


def curves_of(run: JobDirectory, most_points: int = MOST_POINTS) -> dict[str, Curve]:
    """The curves of a run; what a later attempt did again stands in them once."""
    curves: dict[str, Curve] = {}
    for event in run.documents(most_points=most_points):
        match event["type"]:
            case "LossLogged":
                curves.setdefault(TRAIN_LOSS, []).append((event["step"], event["loss"]))
            case "Evaluated" if event["split"] == "validation":
                for name, value in {VALIDATION_LOSS: event["loss"], **event["metrics"]}.items():
                    curves.setdefault(name, []).append((event["step"], value))
            case "Resumed":
                curves = {n: [point for point in curve if point[0] <= event["step"]] for n, curve in curves.items()}
    return curves


def _compared(run: JobDirectory) -> Compared:
    summary, report, told = summarise(run), read_report(run) or {}, run.latest(Progressed)
    return Compared(
        id=run.id,
        name=summary.name,
        state=summary.state,
        attempt=summary.attempt,
        seconds=summary.worked_s if summary.state.is_final else None,
        examples_per_second=report.get("examples_per_second", told.rate if told else None),
        peak_memory_bytes=report.get("peak_memory_bytes"),
        metrics=summary.metrics,
        curves=curves_of(run),
    )
