"""Errors about runs: creating, stopping, deleting, asking them, and how they end badly."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


class RunError(StudioError):
    """A run that cannot be created, stopped or deleted, or that ended badly."""


@dataclass(eq=False)
class RunMissing(RunError):
    code = "run.missing"
    run: str


@dataclass(eq=False)
class RunAmbiguous(RunError):
    """Several runs have this name, or ids that begin like this; ``found`` are their ids."""

    code = "run.ambiguous"
    run: str
    found: list[str]


@dataclass(eq=False)
class RunActive(RunError):
    """A running run cannot be deleted."""

    code = "run.active"
    run: str


@dataclass(eq=False)
class RunNotFinished(RunError):
    """The run has no model yet, so nothing can be predicted or shared."""

    code = "run.not_finished"
    run: str
    state: str


@dataclass(eq=False)
class RunNotResumable(RunError):
    """A run in this state is not attempted again."""

    code = "run.not_resumable"
    run: str
    state: str


@dataclass(eq=False)
class RunNotQueued(RunError):
    """Only a run that waits for its turn has a place in the queue."""

    code = "run.not_queued"
    run: str


@dataclass(eq=False)
class CheckpointMissing(RunError):
    """There is no checkpoint of this step from which training can go on; ``steps`` are those that there are."""

    code = "run.checkpoint_missing"
    run: str
    step: int
    steps: list[int]


@dataclass(eq=False)
class ResumeRefused(RunError):
    """The rows that a checkpoint has learned from are not those that there are now."""

    code = "run.resume_refused"
    changed: str
    """What is not the same: ``labels``, ``rows`` or ``texts``."""
    before: str
    now: str


@dataclass(eq=False)
class MachinesDiffer(RunError):
    """The machines that share a run have not read the same, or were not asked for the same."""

    code = "run.machines_differ"
    changed: str
    """What is not the same: ``settings``, ``labels``, ``rows``, ``texts``, ``checkpoint`` or ``model``."""


@dataclass(eq=False)
class MachinesNotMet(RunError):
    """Not all machines that share the run came to the place where they meet."""

    code = "run.machines_not_met"
    place: str


@dataclass(eq=False)
class MachineGone(RunError):
    """Another machine that shares the run has failed, or its run was stopped, before all of them had met."""

    code = "run.machine_gone"
    machine: int


@dataclass(eq=False)
class RemarksInvalid(RunError):
    """Tags or notes of a run that are too many, too long, or cannot stand in a list of tags."""

    code = "run.remarks_invalid"
    most_tags: int
    tag_length: int
    notes_length: int


@dataclass(eq=False)
class ComparisonInvalid(RunError):
    """So many runs are not put beside each other."""

    code = "run.comparison_invalid"
    given: int
    fewest: int
    most: int


@dataclass(eq=False)
class NameInvalid(RunError):
    code = "run.name_invalid"
    longest: int


@dataclass(eq=False)
class ProcessKilled(RunError):
    code = "run.killed"
    signal: str


@dataclass(eq=False)
class MemoryKilled(RunError):
    """The system's memory was at its end, and it ended the process that had most of it."""

    code = "run.memory_killed"


@dataclass(eq=False)
class ProcessOverdue(RunError):
    """The process was given this long, did not end, and was ended."""

    code = "run.overdue"
    minutes: float


@dataclass(eq=False)
class RunLost(RunError):
    """All processes of the run ended and none was left to note why: a power cut, or all were killed."""

    code = "run.lost"
    run: str


@dataclass(eq=False)
class ProcessCrashed(RunError):
    """The process ended with an error of its own; ``last_lines`` is the end of its log."""

    code = "run.crashed"
    exit_code: int
    last_lines: list[str]


@dataclass(eq=False)
class TooManyProcesses(RunError):
    """More are asked for than the machine has cards, or threads of its processor where it has none."""

    code = "run.too_many_processes"
    asked: int
    most: int
    device: str


@dataclass(eq=False)
class DiskFull(RunError):
    code = "run.disk_full"
    folder: str
    free_bytes: int
    needed_bytes: int | None = None


@dataclass(eq=False)
class MemoryFull(RunError):
    code = "run.memory_full"
    device: str
    kept: str = "none"
    """As of `LossNotFinite`."""


@dataclass(eq=False)
class LossNotFinite(RunError):
    """The loss, or a gradient, became NaN or infinite at ``step``."""

    code = "run.loss_not_finite"
    step: int
    learning_rate: float
    cause: str = "learning_rate"
    """As `backend.remedies.cause_of_nan` says."""
    highest_rate: float = 0.0
    """The learning rate that the schedule rises to; 0: not known."""
    kept: str = "none"
    """Which model is left: the ``best`` of the evaluations, the ``last`` weights before the step, or ``none``."""


@dataclass(eq=False)
class NoRemedy(RunError):
    """The run did not fail, or in a way that nothing is known to help against."""

    code = "run.no_remedy"
    run: str


@dataclass(eq=False)
class RemedyMissing(RunError):
    """The run did not fail in a way that what was asked for would help against; ``remedies`` are what would."""

    code = "run.remedy_missing"
    run: str
    remedies: list[str]


@dataclass(eq=False)
class ProcessesLost(RunError):
    """One of several processes of a run has ended without a word, and the others cannot go on."""

    code = "run.processes_lost"
    processes: int


@dataclass(eq=False)
class CombinationUnknown(RunError):
    """There is no such way to train in the optimization lab."""

    code = "lab.combination_unknown"
    combination: str
    known: list[str]


@dataclass(eq=False)
class ProcessesNotEstimated(RunError):
    code = "lab.processes_not_estimated"
    processes: int


@dataclass(eq=False)
class CombinationImpossible(RunError):
    """A way to train cannot be tried here; ``hindrance`` is the key of the reason in the locales."""

    code = "lab.combination_impossible"
    combination: str
    hindrance: str


@dataclass(eq=False)
class TextMissing(RunError):
    """Nothing was given to predict."""

    code = "predict.text_missing"


@dataclass(eq=False)
class PredictorFailed(RunError):
    code = "predict.failed"
    detail: str


@dataclass(eq=False)
class OutputUnknown(RunError):
    """A file is to be written in a format that is not written here."""

    code = "predict.output_unknown"
    file: str
    formats: list[str]


@dataclass(eq=False)
class OutputTaken(RunError):
    """A file is to be written where one lies."""

    code = "predict.output_taken"
    file: str


@dataclass(eq=False)
class PredictionsMissing(RunError):
    """A file of predictions is asked for that was not written, or is gone."""

    code = "predict.predictions_missing"
