"""Starting a measurement, and finding again what was measured for a table and a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backend.errors import CombinationImpossible, CombinationUnknown
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.events import CombinationTried
from backend.jobs.launch import launch
from backend.jobs.status import JobState
from backend.lab.combinations import Combination, combinations, differences
from backend.lab.others import telling_share
from backend.machine import machine_for
from backend.models.shape import architecture_named
from backend.recipes import bag_steps, learned_rows, made_up_for, with_recipe
from backend.settings import Home
from backend.specs import ComputeSpec, RunSpec

KIND, MODULE = "lab", "backend.lab.laboratory"
ESTIMATE = "estimate"
"""The kind of a job that measures the settings as they are alone, to tell how long a run would take."""
CHOSEN = "chosen"
"""The way to train that is the settings as they are."""
STEPS = 8
NOTHING_TO_SPEED = frozenset(
    f"training.{name}"
    for name in (
        "epochs",
        "max_steps",
        "learning_rate",
        "scheduler",
        "warmup_share",
        "warmup_steps",
        "weight_decay",
        "focal_gamma",
        "class_weights",
        "label_weights",
        "label_smoothing",
        "metric",
        "evaluations",
        "saves",
        "patience",
        "trackers",
    )
)
"""Settings with which a training step takes as long whatever they say, but for `MUCH_WORK`."""
MUCH_WORK = frozenset({"training.epochs", "training.max_steps"})
"""Those by which a card's layers are compiled or not, where that is left open: it pays where there is much to do."""


def start_lab(
    home: Home,
    spec: RunSpec,
    codes: Sequence[str] = (),
    *,
    steps: int = STEPS,
    environ: Mapping[str, str] | None = None,
    kind: str = KIND,
) -> JobDirectory:
    """Start measuring these ways to train (none: all that are worth it here) with so many optimizer steps each.

    Raises:
        CombinationUnknown: there is no such way.
        CombinationImpossible: this machine, or the model, cannot do it.
    """
    ways = {way.code: way for way in ways_of(spec)}
    for code in codes:
        if code not in ways:
            raise CombinationUnknown(combination=code, known=list(ways))
        if ways[code].hindrance:
            raise CombinationImpossible(combination=code, hindrance=ways[code].hindrance)
    chosen = list(codes) or [code for code, way in ways.items() if way.asked_for and not way.hindrance]
    asked = {"run": spec.model_dump(mode="json"), "codes": chosen, "steps": steps}
    job = JobDirectory.create(home.jobs, kind=kind, module=MODULE, spec=asked)
    launch(job, environ=environ)
    return job


def start_estimate(home: Home, spec: RunSpec, *, environ: Mapping[str, str] | None = None) -> JobDirectory:
    """Start measuring how quick a run with these settings would be, which `expected` then tells.

    A measurement that is under way already is the one; one of other settings, which would slow this one, is stopped.
    """
    under_way = living_estimate(home, spec)
    if under_way is not None and _as_quick(under_way, spec):
        return under_way
    if under_way is not None:
        under_way.request_stop()
    return start_lab(home, spec, (CHOSEN,), environ=environ, kind=ESTIMATE)


def living_estimate(home: Home, spec: RunSpec) -> JobDirectory | None:
    """The estimate of a run of this model on these texts that is being measured, if one is."""
    newest = next(_measurements(home, spec, (ESTIMATE,)), None)
    return newest if newest is not None and not newest.status().state.is_final else None


def ways_of(spec: RunSpec) -> list[Combination]:
    """All ways to train what the spec trains, and what stands against them on this machine, each in one process."""
    alone = spec.model_copy(update={"compute": ComputeSpec(device=spec.compute.device)})
    return combinations(with_recipe(alone), machine_for(spec.compute), architecture_named(spec.model.base))


def latest_lab(home: Home, spec: RunSpec) -> JobDirectory | None:
    """The newest measurement of this model on these texts that has figures or is under way; None if there is none."""
    alike = _measurements(home, spec, (KIND,))
    return next((job for job in alike if tried(job) or not job.status().state.is_final), None)


def _measurements(home: Home, spec: RunSpec, kinds: Sequence[str]) -> Iterator[JobDirectory]:
    """The measurements of this model on these texts, the newest first."""
    wanted = learned_from(spec)
    for path in sorted(home.jobs.iterdir(), reverse=True) if home.jobs.exists() else ():
        if not is_job_id(path.name) or not (path / "job.json").exists():
            continue
        kind, measures = _asked_in(path)
        if kind in kinds and measures is not None and learned_from(measures) == wanted:
            yield JobDirectory(path)


@lru_cache(maxsize=1024)
def _asked_in(folder: Path) -> tuple[str, RunSpec | None]:
    """The kind of a job, and the run that it measures, which stay what they are; None for another job."""
    job = JobDirectory(folder)
    kind = str(job.description["kind"])
    if kind not in (KIND, ESTIMATE):
        return kind, None
    try:
        return kind, RunSpec(**job.spec["run"])
    except ValidationError:  # of another version, with other settings
        return kind, None


def learned_from(spec: RunSpec) -> dict[str, Any]:
    """What tells texts, model and device of one run from those of another: how many rows there are is nothing to the
    speed."""
    named = {"source", "validation_source", "test_source", "label_names"}
    data = spec.data.model_dump(mode="json", exclude=named)
    steps, model = (part.model_dump(mode="json") for part in (spec.prepare, spec.model))
    return {"data": data, "steps": steps, "model": model, "device": spec.compute.device}


def tried(job: JobDirectory) -> list[CombinationTried]:
    """What was measured so far, in the order of measuring."""
    return [event for event in job.events() if isinstance(event, CombinationTried)]


def quickest(found: Sequence[CombinationTried]) -> CombinationTried | None:
    """The way with the most examples a second among those that train all weights; None where none was measured.

    Adapters and frozen layers learn less from an example: a measurement of speed cannot say what that costs.
    """
    whole = [each for each in found if each.figures and each.figures["trained_share"] == 1]
    return max(whole, key=lambda each: float((each.figures or {})["examples_per_second"]), default=None)


@dataclass(frozen=True)
class Expected:
    """What was measured ahead for a run."""

    seconds: float
    """Of its training steps."""
    peak_bytes: int
    others_share: float
    """Of the processors, which other programs took meanwhile; 0 where that is not worth a word."""


def expected(home: Home, spec: RunSpec, train_rows: int) -> Expected | None:
    """What was measured ahead for a run with these settings.

    What counts is the newest measurement with all settings that bear on speed. None without one, and for a run of
    several processes, since one alone is measured.
    """
    if spec.compute.together > 1:
        return None
    for job in _measurements(home, spec, (KIND, ESTIMATE)):
        if not _as_quick(job, spec):
            continue
        figures = next((each.figures for each in tried(job) if each.code == CHOSEN and each.figures), None)
        if figures:
            return Expected(estimate(figures, spec, train_rows), int(figures["peak_bytes"]), telling_share(figures))
    return None


def expected_of(home: Home, run: JobDirectory, report: Mapping[str, Any]) -> Expected | None:
    """What was measured ahead for a run that has ended; None too where that is not what its report tells of.

    What was stopped took less, and the report of what was resumed tells of its last attempt alone.
    """
    if run.attempt > 1 or report["state"] != JobState.COMPLETED:
        return None
    try:
        spec = RunSpec(**run.spec)
    except ValidationError:  # of another version, with other settings
        return None
    return expected(home, spec, report["rows"]["train"])


def was_estimated(home: Home, spec: RunSpec) -> bool:
    """Whether a run of this model on these texts was measured ahead, with whatever settings."""
    return any(each.figures for job in _measurements(home, spec, (ESTIMATE,)) for each in tried(job))


def _as_quick(job: JobDirectory, spec: RunSpec) -> bool:
    """Whether a step takes as long by these settings as by those that the job measures."""
    compiles = spec.speed.compile == "auto" and machine_for(spec.compute).device == "cuda"
    nothing = NOTHING_TO_SPEED - MUCH_WORK if compiles else NOTHING_TO_SPEED
    _, measured = _asked_in(job.path)
    assert measured is not None
    return differences(with_recipe(measured), with_recipe(spec)).keys() <= nothing


def estimate(figures: Mapping[str, Any], spec: RunSpec, train_rows: int) -> float:
    """Seconds that the training steps of a run would take, by the figures of its way to train."""
    training, rows, steps, seconds = with_recipe(spec).training, train_rows, 0, 0.0
    if "bag_step_seconds" in figures:  # a starter learns from more texts than there are, and has a part before
        rows += made_up_for(train_rows, multilabel=figures["multilabel"])
        steps = bag_steps(rows, multilabel=figures["multilabel"], max_steps=training.max_steps)
        seconds = steps * figures["bag_step_seconds"]
    return seconds + learned_rows(rows, training, steps) / float(figures["examples_per_second"])
