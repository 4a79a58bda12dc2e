"""What a failed run offers to try next, in words for page and terminal."""

from __future__ import annotations

from backend.errors import (
    CheckpointingMissing,
    DataError,
    DatasetMissing,
    LoraTargetsMissing,
    NoRemedy,
    RemedyMissing,
    SpecError,
)
from backend.jobs.comparison import decided_by
from backend.jobs.directory import JobDirectory
from backend.jobs.store import RunStore
from backend.models.shape import architecture_named
from backend.remedies import Remedy, changed, remedies
from backend.specs import RunSpec
from studio.i18n import Words

IN_THE_WAY = (DataError, SpecError, LoraTargetsMissing, CheckpointingMissing)
"""What is so however often a run is resumed: its settings and its table are what they were."""


def remedies_of(run: JobDirectory) -> list[Remedy]:
    """What can be done about the run's failure, the likeliest first; empty where it did not fail."""
    error, spec = run.status().error, RunSpec(**run.spec)
    if error is None:
        return []
    length = decided_by(run).get("training.max_length")
    return remedies(error, spec, length=length, architecture=architecture_named(spec.model.base))


def remedy_of(run: JobDirectory, code: str | None = None) -> Remedy:
    """The remedy with this code, or the likeliest.

    Raises:
        NoRemedy: the run did not fail, or in a way that nothing is known to help against.
        RemedyMissing: this would not help, but others may.
    """
    found = remedies_of(run)
    chosen = next((remedy for remedy in found if code in (None, remedy.code)), None)
    if chosen is None and not found:
        raise NoRemedy(run=run.name or run.id)
    if chosen is None:
        raise RemedyMissing(run=run.name or run.id, remedies=[remedy.code for remedy in found])
    return chosen


def resuming_helps(run: JobDirectory) -> bool:
    """Whether to go on with the same settings is worth it: not where they, or the table, are what was in the way."""
    status = run.status()
    final = isinstance(status.error, IN_THE_WAY) and not isinstance(status.error, DatasetMissing)  # can come back
    in_the_way = final or any(remedy.changes for remedy in remedies_of(run))
    return status.state.is_resumable and not in_the_way


def again(store: RunStore, run: JobDirectory, code: str | None = None) -> RunSpec:
    """What a failed run asked for, with a remedy in it (as `remedy_of` finds it) and under a name of its own.

    Raises:
        RemedyMissing: it has no such remedy.
    """
    spec = changed(RunSpec(**run.spec), remedy_of(run, code))
    return spec.replaced(name=store.free_name(spec.name)) if spec.name else spec


def remedy_text(t: Words, remedy: Remedy) -> str:
    """What starting again this way means: ``Again with learning rate 2e-06``."""
    facts = {path.rpartition(".")[2]: value for path, value in remedy.changes.items()}
    return t(f"remedy.{remedy.code}", **facts)
