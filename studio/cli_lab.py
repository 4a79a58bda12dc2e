"""``python -m studio lab``: ways to train beside each other, measured on this machine, as a job in the foreground."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.data.datasets import result_of
from backend.errors import RunLost
from backend.jobs.events import CombinationTried
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.lab.starting import start_lab, tried
from backend.specs import RunSpec
from studio.cli_data import StoppedBefore, hub_token, prepare_data
from studio.cli_follow import Interrupts, Left, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of
from studio.cli_train import read_spec
from studio.i18n import size
from studio.lab import Line, advice, estimate_words, lines, ratio_text
from studio.terminal import STOPPED, Terminal, build_table


def lab(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    data: str | None,
    given: Mapping[str, str | None],
    codes: str,
    steps: int,
) -> int:
    """Measure the ways to train (all that are worth it here, if none is named); returns the exit status.

    Raises:
        StudioError: the settings or the table do not hold, or a way cannot be tried here; nothing was measured.
    """
    spec = read_spec(terminal, data, given)
    token = hub_token(store.home, environ)
    if spec.compute.together > 1:
        terminal.say("lab.one_process")
    names = [name.strip() for name in codes.split(",") if name.strip()]
    with Interrupts() as interrupts:
        try:
            spec = prepare_data(terminal, store.home, spec, interrupts, token)
            job = start_lab(store.home, spec, names, steps=steps, environ={"HF_TOKEN": token} if token else None)
            watcher = build_watcher(terminal, phases=False)
            status = follow(job, watcher, interrupts, lambda: terminal.say("lab.stopping"))
        except (StoppedBefore, Left):
            terminal.say("cli.stopped")
            return STOPPED
    found = tried(job)
    if status.state not in (JobState.COMPLETED, JobState.STOPPED):
        raise error_of(job, status) or RunLost(run=job.id)
    if terminal.as_json:
        terminal.document({"state": status.state, "job": job.id, "tried": [_document(each) for each in found]})
    else:
        show(terminal, found, spec, result_of(job).get("train_rows", 0))
    return 0 if status.state is JobState.COMPLETED else STOPPED


def show(terminal: Terminal, found: list[CombinationTried], spec: RunSpec, train_rows: int) -> None:
    """The figures as a table, what failed below it, then the winner's flags and the estimate."""
    words, shown = terminal.words, lines(terminal.words, found)
    heads = ("lab.way", "lab.rate", "lab.ratio", "lab.step", "lab.memory")
    table = build_table(*(words(head) for head in heads), numbers_from=1)
    for line in shown:
        table.add_row(line.name, *_figures(line))
    terminal.show(table)
    for line in shown:
        if line.why_not:
            terminal.show(f"{line.name}: {line.why_not}")
    said = advice(words, found)
    if said:
        terminal.show("", said)
    terminal.show(*(f"  {line.name}: {line.flags}" for line in shown if line.flags and line.rate))
    if about := estimate_words(words, found, spec, train_rows):
        terminal.show("", about)


def _figures(line: Line) -> list[str]:
    if line.rate is None or line.step_seconds is None or line.peak_bytes is None:
        return ["–"] * 4
    return [f"{line.rate:,.1f}", ratio_text(line), f"{line.step_seconds:.2f} s", size(line.peak_bytes)]


def _document(each: CombinationTried) -> dict[str, Any]:
    return {"code": each.code, "changes": each.changes, "figures": each.figures, "error": each.error}
