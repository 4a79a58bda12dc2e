"""``python -m studio train … --folds K --fold all``: a run for each fold, one after another, and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import typer

from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState, JobStatus
from backend.jobs.store import NAME_LENGTH, RunStore
from backend.jobs.summaries import read_report
from backend.specs import RunSpec
from studio.cli_follow import Interrupts, Left, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of
from studio.terminal import LEFT, METRICS_SHOWN, STOPPED, Terminal, build_table, metric_text, status_of_end

ALL = "all"
FOLD = "split__fold"

Given = Mapping[str, str | None]
Ended = tuple[JobDirectory, JobStatus]


def without_all(given: Given) -> tuple[Given, bool]:
    """The flags without ``--fold all``, and whether it was among them."""
    wanted = given.get(FOLD) == ALL
    return ({**given, FOLD: None} if wanted else given), wanted


def check_folds(terminal: Terminal, spec: RunSpec) -> None:
    """Refuse, as a usage error, to train on all folds of a split that has none."""
    if spec.split.folds < 2:
        raise typer.BadParameter(terminal.words("cli.folds.needed"))


def train_folds(
    terminal: Terminal, store: RunStore, spec: RunSpec, interrupts: Interrupts, environ: Mapping[str, str] | None
) -> tuple[list[Ended], int]:
    """Train on each fold of a prepared spec; the runs that were started, and the exit status.

    The first run that does not complete is the last: what is wrong with one fold is wrong with the next.
    """
    ended: list[Ended] = []
    folds, name = spec.split.folds, spec.name or Path(spec.data.source).stem
    for fold in range(1, folds + 1):
        mark = f" · {fold}/{folds}"
        run = store.start_new(
            spec.replaced(split__fold=fold, name=name[: NAME_LENGTH - len(mark)] + mark), environ=environ
        )
        terminal.say("cli.folds.started", run=run.id, fold=fold, folds=folds)
        try:
            stopping = partial(terminal.say, "cli.stopping")
            status = follow(run, build_watcher(terminal), interrupts, stopping, revive=store.revive)
        except Left:
            return [*ended, (run, run.status())], LEFT
        ended.append((run, status))
        if status.state is not JobState.COMPLETED:
            return ended, status_of_end(status.state, error_of(run, status))
        if interrupts.count and fold < folds:  # the stop came when this one was as good as over
            return ended, STOPPED
    return ended, 0


def mean_and_deviation(ended: Sequence[Ended]) -> tuple[dict[str, float], dict[str, float]]:
    """Of each test metric that all completed runs have: the mean, and of two and more the sample deviation."""
    found = [read_report(run) or {} for run, status in ended if status.state is JobState.COMPLETED]
    measured: list[dict[str, float]] = [report["metrics"] for report in found if report.get("metrics")]
    names = [name for name in (measured[0] if measured else ()) if all(name in metrics for metrics in measured)]
    values = {name: [metrics[name] for metrics in measured] for name in names}
    means = {name: fmean(found) for name, found in values.items()}
    return means, {name: stdev(found) for name, found in values.items() if len(found) > 1}


def show_folds(terminal: Terminal, ended: Sequence[Ended]) -> None:
    """The test metrics of each run and below them their mean ± deviation, for people."""
    words = terminal.words
    heads = (words("cli.column.run"), words("cli.column.name"), words("cli.column.state"))
    table = build_table(*heads, *(words(f"metric.{name}") for name in METRICS_SHOWN), numbers_from=3)
    for run, status in ended:
        metrics = (read_report(run) or {}).get("metrics")
        figures = (metric_text(metrics, name) for name in METRICS_SHOWN)
        table.add_row(run.id, run.name, words(f"state.{status.state}"), *figures)
    means, deviations = mean_and_deviation(ended)
    if deviations:
        figures = (f"{means[n]:.3f} ± {deviations[n]:.3f}" if n in deviations else "–" for n in METRICS_SHOWN)
        table.add_row(words("cli.folds.mean"), "", "", *figures, style="bold")
    terminal.show(table)
    if error := error_of(*ended[-1]):
        terminal.complain(error)


def folds_document(ended: Sequence[Ended], folds: int, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What ``--json`` prints: the runs as ``train --json`` does, and the mean and deviation of those completed."""
    means, deviations = mean_and_deviation(ended)
    completed = sum(status.state is JobState.COMPLETED for _run, status in ended)
    return {"folds": folds, "completed": completed, "runs": list(documents), "mean": means, "deviation": deviations}
