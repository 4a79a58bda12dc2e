"""What a run asks for and cannot have, found out before time is spent on it: by who starts it and by the run itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from backend.errors import LabelWeightsUnknown, LabelWeightsZero, SpecError, TrackerMissing, TrackerUnknown
from backend.machine import check_processes, this_machine
from backend.specs import RunSpec, conflicts

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
"""The trackers that a run can tell its curves to, each with the package it needs."""


def check_machine(spec: RunSpec) -> None:
    """Whether this machine has what the run asks of it.

    Raises:
        TooManyProcesses: it has fewer cards, or threads where it has none.
        TrackerUnknown, TrackerMissing: the run's trackers cannot be used.
    """
    check_processes(spec.compute)
    check_trackers(spec.training.trackers)


def check_trackers(names: Iterable[str]) -> None:
    """Whether the trackers can be used.

    Raises:
        TrackerUnknown: there is no such tracker.
        TrackerMissing: its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise TrackerUnknown(tracker=name, known=list(TRACKERS))
        if TRACKERS[name] not in this_machine().packages:
            raise TrackerMissing(tracker=name, package=TRACKERS[name])


def check_metric(spec: RunSpec, task: str) -> None:
    """Whether what the best model is to be best in is measured in this task, which may have been told by the labels.

    Raises:
        SpecError: it is not.
    """
    told = spec.replaced(data__task=task)
    if problems := [each for each in conflicts(told) if each["setting"] == "training.metric"]:
        raise SpecError(problems=problems)


def check_weighted(weights: Mapping[str, float], labels: Sequence[str]) -> None:
    """Whether the labels that have a weight are labels of the run, and something is left to learn.

    Raises:
        LabelWeightsUnknown: some are not.
        LabelWeightsZero: every label has a weight of 0.
    """
    if unknown := [name for name in weights if name not in labels]:
        raise LabelWeightsUnknown(given=unknown, labels=list(labels))
    if labels and not any(weights.get(name, 1) for name in labels):
        raise LabelWeightsZero
