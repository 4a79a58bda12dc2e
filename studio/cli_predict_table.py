"""``python -m studio predict RUN --file TABLE``: each row of a table classified, as a job in the foreground."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.data.datasets import result_of
from backend.errors import RunLost
from backend.inference.table_predicting import predicted_name, start_table
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from studio.cli_follow import Interrupts, Left, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of, find_run
from studio.terminal import LEFT, STOPPED, Terminal, build_table, metric_text

LABELS_SHOWN = 30
METRICS_SHOWN = ("accuracy", "f1", "f1_macro")


def predict_table(
    terminal: Terminal, store: RunStore, given: str, table: Path, out: Path | None, *, text: str, replace: bool
) -> int:
    """Write the table with a label and probabilities beside its columns; returns the exit status.

    Raises:
        RunMissing, RunAmbiguous, RunNotFinished: no one run is meant, or it has no model.
        OutputUnknown, OutputTaken: the file cannot be written; nothing was started.
        DataError: the table cannot be read, or has not the run's columns.
        TextMissing, PredictorFailed: there is nothing to classify, or the model could not answer.
    """
    run, table = find_run(store, given), table.expanduser()
    out = out.expanduser() if out else Path(predicted_name(table.name, "csv"))
    with Interrupts() as interrupts:
        job = start_table(store, run, table, out=out, text=text, replace=replace)
        try:
            watcher = build_watcher(terminal, phases=False)
            status = follow(job, watcher, interrupts, lambda: terminal.say("cli.predict.stopping"))
        except Left:
            terminal.say("cli.predict.left")
            if terminal.as_json:
                terminal.document({"state": job.status().state})
            return LEFT
    if status.state is JobState.STOPPED:
        terminal.say("cli.predict.stopped")
        if terminal.as_json:
            terminal.document({"state": status.state})
        return STOPPED
    if status.state is not JobState.COMPLETED:
        raise error_of(job, status) or RunLost(run=job.id)
    result = result_of(job)
    told = {name: result[name] for name in ("rows", "predicted", "blank", "labels", "measured")}
    if terminal.as_json:
        terminal.document({"run": run.id, "file": str(out.resolve()), **told})
    else:
        _show(terminal, str(out), told)
    return 0


def _show(terminal: Terminal, out: str, told: Mapping[str, Any]) -> None:
    words = terminal.words
    counts = build_table(words("cli.predict.predicted"), words("cli.check.rows"), numbers_from=1)
    for label, rows in sorted(told["labels"].items(), key=lambda pair: -pair[1])[:LABELS_SHOWN]:
        counts.add_row(label, f"{rows:,}")
    terminal.show(counts)
    if len(told["labels"]) > LABELS_SHOWN:
        terminal.show(words("data.labels_cut", shown=LABELS_SHOWN, count=len(told["labels"])))
    terminal.show(words("cli.predict.written", count=told["predicted"], rows=told["rows"], file=out))
    if told["blank"]:
        terminal.show(words("cli.predict.blank", count=told["blank"]))
    if measured := told["measured"]:
        _show_measured(terminal, measured)


def _show_measured(terminal: Terminal, measured: Mapping[str, Any]) -> None:
    words, metrics = terminal.words, measured["metrics"]
    if metrics:
        figures = [f"{words(f'metric.{name}')} {metric_text(metrics, name)}" for name in METRICS_SHOWN]
        terminal.show(
            words("cli.predict.measured", rows=measured["rows"], figures=words("cli.figures", figures=figures))
        )
    if measured["left_out"]:
        terminal.show(words("cli.predict.left_out", count=measured["left_out"]))
    if measured["unknown"]:
        terminal.show(words("cli.predict.unknown", labels=[f"{k} ({v:,})" for k, v in measured["unknown"].items()]))
