"""Errors about base models."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


class ModelError(StudioError):
    """A base model that cannot be found, read or used."""


@dataclass(eq=False)
class HubUnreachable(ModelError):
    code = "model.hub_unreachable"
    endpoint: str


@dataclass(eq=False)
class ModelNotNamed(ModelError):
    """The field for the Hub id, the folder or the listed model is empty."""

    code = "model.not_named"


@dataclass(eq=False)
class ModelUnknown(ModelError):
    code = "model.unknown"
    model: str


@dataclass(eq=False)
class ModelGated(ModelError):
    code = "model.gated"
    model: str


@dataclass(eq=False)
class NotAModelFolder(ModelError):
    code = "model.not_a_folder"
    folder: str
    missing: list[str]


@dataclass(eq=False)
class FolderMissing(NotAModelFolder):
    """There is no such folder, so all of it is missing."""

    code = "model.folder_missing"


@dataclass(eq=False)
class FolderIsAdapter(NotAModelFolder):
    """It holds what was learned beside a model, and not the model."""

    code = "model.is_adapter"


@dataclass(eq=False)
class WeightsDamaged(ModelError):
    """A file with weights was not copied or downloaded to its end, or holds something else."""

    code = "model.weights_damaged"
    folder: str
    file: str
    detail: str


@dataclass(eq=False)
class ModelUnusable(ModelError):
    """The model's files are there but it cannot classify text."""

    code = "model.unusable"
    model: str
    detail: str


@dataclass(eq=False)
class TokenizerBeyondModel(ModelError):
    """Texts hold a token that the model has no row for in its vocabulary."""

    code = "model.tokenizer_beyond"
    token: str
    number: int
    rows: int


@dataclass(eq=False)
class TrackerMissing(ModelError):
    """A tracker's package is not installed."""

    code = "model.tracker_missing"
    tracker: str
    package: str


@dataclass(eq=False)
class TrackerUnknown(ModelError):
    code = "model.tracker_unknown"
    tracker: str
    known: list[str]


@dataclass(eq=False)
class TrackerFailed(ModelError):
    """A tracker is installed but cannot begin: not logged in, no network, a place that cannot be written."""

    code = "model.tracker_failed"
    tracker: str
    reason: str


@dataclass(eq=False)
class CheckpointingMissing(ModelError):
    """An architecture whose layers cannot compute their activations again."""

    code = "model.checkpointing_missing"
    architecture: str


@dataclass(eq=False)
class LoraTargetsMissing(ModelError):
    """The model's layers have no linear modules of these names."""

    code = "model.lora_targets_missing"
    targets: list[str]
    available: list[str]
