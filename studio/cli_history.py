"""The commands about runs of the past: note something about one, compare some, delete them, look into the trash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from backend.jobs.comparison import compare
from backend.jobs.remarks import read_remarks
from backend.jobs.store import RunStore
from studio.cli_flags import read_list
from studio.cli_runs import find_run, summary_document
from studio.comparing import differences_text, metrics_of
from studio.i18n import duration, size
from studio.terminal import Terminal, build_table


def note(terminal: Terminal, store: RunStore, given: str, name: str | None, tags: str | None, notes: str | None) -> int:
    """Give a run another name, tags or notes; without any of them, show what is noted.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        NameInvalid, RemarksInvalid: what is given does not hold.
    """
    run = find_run(store, given)
    before = read_remarks(run)
    if tags is not None or notes is not None:
        store.remark(run.id, before.tags if tags is None else read_list(tags), before.notes if notes is None else notes)
    if name is not None:
        store.rename(run.id, name)
    remarks = read_remarks(run)
    if terminal.as_json:
        terminal.document({"run": run.id, "name": run.name, "tags": remarks.tags, "notes": remarks.notes})
    else:
        terminal.show(Text(run.name, style="bold"), ", ".join(remarks.tags), remarks.notes)
    return 0


def compare_runs(terminal: Terminal, store: RunStore, given: Sequence[str]) -> int:
    """Runs beside each other: their metrics, and the settings in which they differ.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        ComparisonInvalid: they are fewer than two or more than eight.
    """
    found = compare([find_run(store, each) for each in given])
    words = terminal.words
    if terminal.as_json:
        terminal.document(asdict(found))
        return 0
    names = [run.name for run in found.runs]
    metrics = build_table(words("cli.column.metric"), *names, numbers_from=1)
    for metric in metrics_of(found):
        metrics.add_row(words(f"metric.{metric}"), *(_figure(run.metrics.get(metric)) for run in found.runs))
    spent = [duration(run.seconds) if run.seconds else "–" for run in found.runs]
    metrics.add_row(words("cli.column.duration"), *spent)
    terminal.show(metrics, "")
    if not found.differences:
        terminal.show(words("compare.same"))
        return 0
    settings = build_table(words("cli.column.setting"), *names)
    for _path, name, texts in differences_text(words, found):
        settings.add_row(name, *texts)
    terminal.show(settings)
    return 0


def delete(terminal: Terminal, store: RunStore, given: Sequence[str]) -> int:
    """Put runs into the trash: all of those that are named, or none.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        RunActive: one of them has not ended.
    """
    runs = {run.id: run for run in (find_run(store, each) for each in given)}
    for run in runs.values():
        store.check_ended(run)
    names = [run.name for run in runs.values()]
    for run_id in runs:
        store.delete(run_id)
    if terminal.as_json:
        terminal.document({"deleted": list(runs)})
    else:
        for name in names:
            terminal.say("runs.deleted", name=name)
    return 0


def trash(terminal: Terminal, store: RunStore, restore: str | None, *, empty: bool) -> int:
    """What is in the trash; before, one run is put back, or all are removed for good.

    Raises:
        RunMissing: the run to put back is not in the trash.
    """
    if restore is not None:
        run = store.restore(restore)
        terminal.say("cli.trash.restored", name=run.name)
    freed = store.empty_trash() if empty else None
    summaries = store.trashed()
    if terminal.as_json:
        lines = [{**summary_document(each), "bytes": each.disk_bytes} for each in summaries]
        terminal.document({"runs": lines, "freed_bytes": freed})
        return 0
    if freed is not None:
        terminal.say("cli.trash.emptied", freed=size(freed))
    if not summaries:
        terminal.say("cli.trash.nothing")
        return 0
    table = build_table(
        *(terminal.words(f"cli.column.{name}") for name in ("run", "name", "state", "disk")), numbers_from=3
    )
    for each in summaries:
        state = terminal.words(f"state.{each.state}")
        table.add_row(Text(each.id, no_wrap=True), each.name, state, size(each.disk_bytes))
    terminal.show(table)
    return 0


def _figure(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}"
