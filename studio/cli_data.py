"""From a table on disk to the data part of a run: import, columns, and what stands in the way of training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.data.choices import refusal_of
from backend.data.datasets import load_profile, load_report, result_of, start_import, start_report
from backend.errors import (
    ColumnMissing,
    ColumnsUncertain,
    RunLost,
    SameColumn,
)
from backend.jobs.directory import JobDirectory, JobState
from backend.settings import Home
from backend.specs import DataSpec, RunSpec
from studio.cli_follow import Interrupts, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of
from studio.terminal import Terminal


class StoppedBefore(Exception):
    """Ctrl-C before the run was started: there is no run."""


def prepare_data(terminal: Terminal, home: Home, spec: RunSpec, interrupts: Interrupts) -> RunSpec:
    """The spec with its table imported, its columns chosen and checked. Warnings are said on the way.

    Raises:
        StudioError: the file, the columns or the labels do not hold.
        StoppedBefore: on Ctrl-C.
    """
    source = Path(spec.data.source)
    terminal.say("cli.importing", file=source.name)
    result = _done(terminal, start_import(home, source), interrupts)
    profile = load_profile(home, str(result["dataset"]))
    spec = choose_columns(spec.replaced(data__dataset=profile["dataset"]), profile)
    report = _report(terminal, home, spec.data, interrupts)
    for finding in report["findings"]:
        if finding["severity"] == "warning":
            _warn(terminal, finding)
    if refusal := refusal_of(report, spec.data.label_names):
        raise refusal
    return spec


def _done(terminal: Terminal, job: JobDirectory, interrupts: Interrupts) -> dict[str, Any]:
    """The result of a short job, followed to its end."""
    status = follow(job, build_watcher(terminal, phases=False), interrupts, lambda: None)
    if status.state is JobState.STOPPED or interrupts.count:
        raise StoppedBefore
    if status.state is not JobState.COMPLETED:
        raise error_of(job, status) or RunLost(run=job.id)
    return result_of(job)


def _report(terminal: Terminal, home: Home, data: DataSpec, interrupts: Interrupts) -> dict[str, Any]:
    chosen = (home, data.dataset, data.text_column, data.label_column, data.task, data.label_separator)
    report = load_report(*chosen)
    if report is None:
        _done(terminal, start_report(*chosen), interrupts)
        report = load_report(*chosen)
    assert report is not None, "a completed report job has left no report"
    return report


def choose_columns(spec: RunSpec, profile: Mapping[str, Any]) -> RunSpec:
    """The spec with both columns named: as asked, else as guessed where the guess is certain.

    Raises:
        ColumnMissing: a named column is not in the table.
        SameColumn: one column is named for both.
        ColumnsUncertain: a column is left open and the guess is not certain.
    """
    available = [column["name"] for column in profile["columns"]]
    asked = {"text": spec.data.text_column, "label": spec.data.label_column}
    for column in filter(None, asked.values()):
        if column not in available:
            raise ColumnMissing(column=column, available=available)
    guess = profile["guess"]
    text, label = (asked[kind] or guess[kind] for kind in ("text", "label"))
    guessed = not (asked["text"] and asked["label"])
    if guessed and not (guess["certain"] and text and label and text != label):
        raise ColumnsUncertain(available=available)
    if text == label:
        raise SameColumn(column=text)
    spec = spec.replaced(data__text_column=text, data__label_column=label)
    if label == guess["label"] and spec.data.task == "auto" and not spec.data.label_separator:
        # As the page does: what was read off the whole column stands, unless the user says otherwise.
        spec = spec.replaced(data__task=guess["task"] or "auto", data__label_separator=guess["separator"] or "")
    return spec


def _warn(terminal: Terminal, finding: Mapping[str, Any]) -> None:
    key = f"finding.{finding['code']}"
    facts = {**finding["facts"], "count": finding["count"], "rows": finding["rows"]}
    terminal.say("cli.warning", warning=terminal.words(key, **facts))
