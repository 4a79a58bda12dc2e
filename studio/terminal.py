"""What a command writes and where: results on standard output, progress and errors on standard error.

With ``--json`` standard output holds one JSON document and nothing else, also when something went wrong.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from backend.errors import (
    CheckpointMissing,
    CombinationImpossible,
    CombinationUnknown,
    ComparisonInvalid,
    DataError,
    DiskFull,
    HubDataUnreachable,
    HubUnreachable,
    LossNotFinite,
    MachineGone,
    MachinesDiffer,
    MachinesNotMet,
    MemoryFull,
    MemoryKilled,
    ModelError,
    NameInvalid,
    NoRemedy,
    OutputTaken,
    OutputUnknown,
    ProcessCrashed,
    ProcessesLost,
    ProcessOverdue,
    RemarksInvalid,
    RemedyMissing,
    ResumeRefused,
    RunActive,
    RunAmbiguous,
    RunMissing,
    RunNotFinished,
    RunNotQueued,
    RunNotResumable,
    ServerError,
    SharingError,
    SpecError,
    SpecUnreadable,
    StudioError,
    TextMissing,
    TooManyProcesses,
)
from backend.jobs.status import JobState
from studio.i18n import Words

FAILED, REFUSED, STOPPED, INTERRUPTED, LEFT = 1, 2, 3, 4, 130
"""Exit statuses besides 0: the run (or the studio) failed; the command line or the input does not hold, so nothing
was started; the user stopped the run; its process was ended from outside; Ctrl-C before an end was known."""

STATUS_OF_ERROR: tuple[tuple[type[StudioError], int], ...] = (
    (MemoryFull, 5),
    (MemoryKilled, 5),
    (DiskFull, 6),
    (LossNotFinite, 7),
    (HubUnreachable, 8),
    (HubDataUnreachable, 8),
    (DataError, 9),
    (ModelError, 10),
    (ProcessCrashed, 11),
    (ProcessesLost, 11),
    (MachineGone, 11),
    (MachinesDiffer, 11),
    (MachinesNotMet, 11),
    (ProcessOverdue, 12),
    (ResumeRefused, 13),
)
"""What ended a run that was started, the first that fits; any other failure is a mistake of the studio: 1."""

STATUS_OF_STATE = {
    JobState.COMPLETED: 0,
    JobState.FAILED: FAILED,
    JobState.STOPPED: STOPPED,
    JobState.INTERRUPTED: INTERRUPTED,
    JobState.CANCELLED: STOPPED,
}
_REFUSALS = (
    DataError,
    TooManyProcesses,
    SpecError,
    SpecUnreadable,
    ModelError,
    RunMissing,
    RunAmbiguous,
    NoRemedy,
    RemedyMissing,
    CombinationUnknown,
    CombinationImpossible,
    RunActive,
    RunNotFinished,
    RunNotQueued,
    RunNotResumable,
    CheckpointMissing,
    NameInvalid,
    RemarksInvalid,
    ComparisonInvalid,
    TextMissing,
    OutputUnknown,
    OutputTaken,
    SharingError,
    ServerError,
)
PIPE_WIDTH = 140
"""Columns of a table where standard output is no terminal."""
METRICS_SHOWN = ("accuracy", "f1", "f1_macro", "mcc")


def status_of_end(state: JobState, error: StudioError | None) -> int:
    """The exit status of a command whose run ended so."""
    for kind, status in STATUS_OF_ERROR:
        if isinstance(error, kind):
            return status
    return STATUS_OF_STATE[state]


@dataclass(frozen=True)
class Terminal:
    """The two streams of a command, and the words for them."""

    words: Words
    as_json: bool
    out: Console
    err: Console

    def say(self, key: str, **facts: Any) -> None:
        """A line of progress: the text of ``key``."""
        self.err.print(self.words(key, **facts), soft_wrap=True)

    def show(self, *parts: RenderableType) -> None:
        """Results for people: tables and lines. Lines are never broken, so that paths can be copied."""
        for part in parts:
            self.out.print(part, soft_wrap=isinstance(part, str))

    def document(self, document: Any) -> None:
        """The result for programs: one JSON document in UTF-8."""
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
        sys.stdout.flush()

    def fail(self, error: StudioError) -> int:
        """Say what went wrong and what to do; returns the exit status."""
        if self.as_json:
            self.document({"error": error_document(error, self.words)})
        else:
            self.complain(error)
        return REFUSED if isinstance(error, _REFUSALS) else status_of_end(JobState.FAILED, error)

    def refuse_usage(self, what: str) -> int:
        """Say what is wrong with the command line; returns the exit status."""
        then = self.words("cli.usage")
        if self.as_json:
            self.document({"error": {"code": "usage", "what": what, "next": then, "facts": {}}})
        else:
            self.err.print(self.words("cli.error", what=what), style="bold red", soft_wrap=True)
            self.err.print(then, soft_wrap=True)
        return REFUSED

    def complain(self, error: StudioError) -> None:
        """The two sentences of an error, on standard error."""
        what, then = self.words.error(error)
        self.err.print(self.words("cli.error", what=what), style="bold red", soft_wrap=True)
        self.err.print(then, soft_wrap=True)


def build_terminal(words: Words, *, as_json: bool) -> Terminal:
    """The terminal of this process. User's texts never count as markup."""
    for stream in (sys.stdout, sys.stderr):
        # Arguments that are no valid UTF-8 must not end a command in mid-sentence.
        getattr(stream, "reconfigure", lambda **_: None)(encoding="utf-8", errors="backslashreplace")
    plain: dict[str, Any] = {"markup": False, "highlight": False, "emoji": False}
    return Terminal(
        words=words,
        as_json=as_json,
        out=Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH, **plain),
        err=Console(file=sys.stderr, width=None if sys.stderr.isatty() else PIPE_WIDTH, **plain),
    )


def error_document(error: StudioError, words: Words) -> dict[str, Any]:
    """An error as the commands print it: ``{"code", "what", "next", "facts"}``."""
    what, then = words.error(error)
    return {"code": error.code, "what": what, "next": then, "facts": error.facts}


def build_table(*headers: str, numbers_from: int | None = None) -> Table:
    """An empty table; columns from ``numbers_from`` on are aligned to the right."""
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    for index, header in enumerate(headers):
        right = numbers_from is not None and index >= numbers_from
        table.add_column(header, justify="right" if right else "left", overflow="fold", no_wrap=right)
    return table


def metric_text(metrics: Mapping[str, float | None] | None, name: str) -> str:
    """A metric as people read it; a dash where there is none."""
    value = (metrics or {}).get(name)
    return "–" if value is None else f"{value:.3f}"


def metrics_table(report: Mapping[str, Any], words: Words) -> Table:
    """The model's metrics on the test texts above those of the simple methods and of the model before training."""
    table = build_table("", *(words(f"metric.{name}") for name in METRICS_SHOWN), numbers_from=1)
    rows = [(words("cli.fine_tuned"), report.get("metrics"))]
    rows += [(words(f"baseline.{name}"), found) for name, found in (report.get("baselines") or {}).items()]
    for index, (title, metrics) in enumerate(rows):
        figures = (metric_text(metrics, name) for name in METRICS_SHOWN)
        table.add_row(title, *figures, style="bold" if index == 0 else None)
    return table


def per_label_table(report: Mapping[str, Any], words: Words) -> Table:
    """Precision, recall, F1 and number of test texts of each label."""
    names = ("precision", "recall", "f1")
    headers = [words("cli.column.label"), *(words(f"metric.{n}") for n in names), words("metric.support")]
    table = build_table(*headers, numbers_from=1)
    for line in report.get("per_label") or []:
        table.add_row(line["label"], *(metric_text(line, name) for name in names), f"{line['support']:,}")
    return table
