"""Starting a measurement, and finding again what was measured for a table and a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.errors import CombinationImpossible, CombinationUnknown
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.events import CombinationTried
from backend.jobs.launch import launch
from backend.lab.combinations import combinations, differences
from backend.machine import this_machine
from backend.recipes import with_recipe
from backend.settings import Home
from backend.specs import RunSpec

KIND, MODULE = "lab", "backend.lab.laboratory"
STEPS = 8


def start_lab(
    home: Home,
    spec: RunSpec,
    codes: Sequence[str] = (),
    *,
    steps: int = STEPS,
    environ: Mapping[str, str] | None = None,
) -> JobDirectory:
    """Start measuring these ways to train (none: all that are worth it here) with so many optimizer steps each.

    Raises:
        CombinationUnknown: there is no such way.
        CombinationImpossible: this machine, or the model, cannot do it.
    """
    ways = {way.code: way for way in combinations(with_recipe(spec), this_machine())}
    for code in codes:
        if code not in ways:
            raise CombinationUnknown(combination=code, known=list(ways))
        if ways[code].hindrance:
            raise CombinationImpossible(combination=code, hindrance=ways[code].hindrance)
    chosen = list(codes) or [code for code, way in ways.items() if way.asked_for and not way.hindrance]
    asked = {"run": spec.model_dump(mode="json"), "codes": chosen, "steps": steps}
    job = JobDirectory.create(home.jobs, kind=KIND, module=MODULE, spec=asked)
    launch(job, environ=environ)
    return job


def latest_lab(home: Home, spec: RunSpec) -> JobDirectory | None:
    """The newest measurement of this model on this table that has figures or is under way; None if there is none."""
    if not home.jobs.exists():
        return None
    for path in sorted(home.jobs.iterdir(), reverse=True):
        if not is_job_id(path.name) or not (path / "job.json").exists():
            continue
        job = JobDirectory(path)
        if job.description["kind"] != KIND:
            continue
        asked = job.spec["run"]
        same = asked["data"]["dataset"] == spec.data.dataset and asked["model"]["base"] == spec.model.base
        if same and (tried(job) or not job.status().state.is_final):
            return job
    return None


def tried(job: JobDirectory) -> list[CombinationTried]:
    """What was measured so far, in the order of measuring."""
    return [event for event in job.events() if isinstance(event, CombinationTried)]


def quickest(found: Sequence[CombinationTried]) -> CombinationTried | None:
    """The way with the most examples a second among those that train all weights; None where none was measured.

    Adapters and frozen layers learn less from an example: a measurement of speed cannot say what that costs.
    """
    whole = [each for each in found if each.figures and each.figures["trained_share"] == 1]
    return max(whole, key=lambda each: float((each.figures or {})["examples_per_second"]), default=None)


def expected(home: Home, spec: RunSpec, train_rows: int) -> tuple[float, int] | None:
    """Seconds of training steps and bytes of memory that were measured ahead for a run with exactly these settings."""
    job = latest_lab(home, spec)
    if job is None or differences(with_recipe(RunSpec(**job.spec["run"])), with_recipe(spec)):
        return None
    figures = next((each.figures for each in tried(job) if each.code == "chosen" and each.figures), None)
    return (estimate(figures, spec, train_rows), int(figures["peak_bytes"])) if figures else None


def estimate(figures: Mapping[str, Any], spec: RunSpec, train_rows: int) -> float:
    """Seconds that the training steps of a run would take, by the figures of its way to train."""
    training = with_recipe(spec).training
    rows = (training.epochs or 1) * train_rows
    if training.max_steps:
        rows = min(rows, training.max_steps * (training.batch_size or 1) * training.accumulation)
    return float(rows / figures["examples_per_second"])
