"""What happens in a job, as past-tense frozen events in an append-only file of JSON lines.

One process writes; any number read. A torn last line (a crash in mid-write) is not an event. Each attempt at a job has
a file of its own; an event's ``seq`` counts from 0 over all of them, so a reader asks for what is new since the last
one it saw. What a later attempt does again is superseded: `Resumed` says from where.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

_TYPES: dict[str, type[Event]] = {}


@dataclass(frozen=True)
class Event:
    """Base of all events. ``time`` is seconds since 1970 (UTC), set when the event is made."""

    time: float = field(default_factory=time.time, kw_only=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _TYPES[cls.__name__] = cls

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON values, with its ``type``."""
        return {"type": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class PhaseStarted(Event):
    """The job entered a phase: for training, one of `backend.jobs.phases`."""

    phase: str


@dataclass(frozen=True)
class Progressed(Event):
    """``done`` of ``total`` units (rows, steps, bytes) of the phase are behind; total 0 is unknown."""

    phase: str
    done: float
    total: float
    unit: str = ""
    rate: float | None = None
    """Units a second, where the phase knows it: for training, examples a second."""
    epoch: float | None = None
    epochs: float | None = None
    left_s: float | None = None
    """Seconds that are left of the phase, where it knows more of them than its share tells."""


@dataclass(frozen=True)
class Noted(Event):
    """Something the user should know, worded in the locales under ``note.<code>``."""

    code: str
    facts: dict[str, Any]


@dataclass(frozen=True)
class DataSplit(Event):
    """Rows a split and rows a label in each: ``counts[split][label]``."""

    train: int
    validation: int
    test: int
    labels: list[str]
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True)
class BaselineMeasured(Event):
    """Metrics of a simple method (``majority``, ``tfidf``) or of the model ``before`` training, on the test split."""

    name: str
    metrics: dict[str, float]


@dataclass(frozen=True)
class ModelDescribed(Event):
    """The model that is trained, and on what."""

    base: str
    parameters: int
    trainable: int
    device: str
    precision: str


@dataclass(frozen=True)
class OptionsDecided(Event):
    """What the options became that the machine has a say in: each `backend.decisions.Decision.to_dict`."""

    decisions: list[dict[str, Any]]


@dataclass(frozen=True)
class CombinationTried(Event):
    """A way to train was measured (``figures``, see `backend.lab.trial`), or could not be (``error``)."""

    code: str
    changes: dict[str, Any]
    figures: dict[str, Any] | None
    error: dict[str, Any] | None


@dataclass(frozen=True)
class LossLogged(Event):
    """Mean training loss since the last one, at optimizer step ``step``."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    gradient_norm: float | None = None


@dataclass(frozen=True)
class Evaluated(Event):
    """Loss and metrics on the ``validation`` or ``test`` split after ``step``."""

    split: str
    step: int
    epoch: float
    loss: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class CheckpointSaved(Event):
    """A checkpoint was written after ``step``; ``best`` so far by the chosen metric or not."""

    step: int
    best: bool


@dataclass(frozen=True)
class Resumed(Event):
    """A later attempt goes on from the state after ``step``; what earlier ones told of later steps no longer holds.

    ``damaged`` are the steps of checkpoints that were passed over because their files are not what was written.
    """

    step: int
    damaged: list[int]


@dataclass(frozen=True)
class Ended(Event):
    """Base of the events that close a job; at most one of them is written, last."""

    state: ClassVar[str]


@dataclass(frozen=True)
class JobCompleted(Ended):
    state = "completed"
    result: dict[str, Any]


@dataclass(frozen=True)
class JobStopped(Ended):
    """The user stopped it. ``kept`` says what remains (None: nothing): of training ``{"step", "epoch", "metrics"}``."""

    state = "stopped"
    kept: dict[str, Any] | None


@dataclass(frozen=True)
class JobFailed(Ended):
    """``error`` is `backend.errors.StudioError.to_dict`."""

    state = "failed"
    error: dict[str, Any]


def event_from_dict(document: dict[str, Any]) -> Event | None:
    """The event a line holds; None for a type that this version does not know. Unknown fields are left out."""
    kind = _TYPES.get(document.get("type", ""))
    if kind is None:
        return None
    known = {f.name for f in fields(kind)}
    return kind(**{k: v for k, v in document.items() if k in known})


class EventLog:
    """The writing end: one whole line a call, flushed to the system at once, synced to disk for ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: Event) -> None:
        """Append the event, whole or not at all. Raises ``OSError`` when the disk is full; ``ValueError`` for a NaN."""
        line = json.dumps(event.to_dict(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        view = memoryview(line)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            os.ftruncate(self._descriptor, before)  # half a line would spoil the next one
            raise
        if isinstance(event, Ended):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)
