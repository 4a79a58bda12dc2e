"""What a run asks of its training and cannot have, found out before time is spent on it. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.errors import LabelWeightsUnknown, TrackerMissing, TrackerUnknown
from backend.machine import this_machine

TRACKERS = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow", "trackio": "trackio"}
"""The trackers that Trainer can tell its logs to, each with the package it needs."""


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


def check_weighted(weighted: Iterable[str], labels: Sequence[str]) -> None:
    """Whether the labels that have a weight are labels of the run.

    Raises:
        LabelWeightsUnknown: some are not.
    """
    if unknown := [name for name in weighted if name not in labels]:
        raise LabelWeightsUnknown(given=unknown, labels=list(labels))
