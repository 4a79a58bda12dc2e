"""The commands about runs that are there: list them, show one, stop one, rebuild the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from backend.errors import RunAmbiguous, RunLost, RunMissing, StudioError
from backend.jobs.catalogue import RunSummary
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState, JobStatus
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report, summarise
from backend.jobs.supervisor import last_lines
from backend.lab.starting import expected_of
from backend.settings import Home
from backend.specs import settings
from studio.comparing import setting_text
from studio.i18n import Words, duration, size
from studio.terminal import Terminal, build_table, error_document, metric_text, metrics_table, per_label_table

LAST = "last"
"""Stands for the newest run wherever a run is named."""
SORTS: dict[str, Callable[[RunSummary], Any]] = {
    "created": lambda summary: summary.created,
    "name": lambda summary: summary.name.lower(),
    "state": lambda summary: summary.state,
    "data": lambda summary: summary.data,
    "model": lambda summary: summary.model,
    "f1": lambda summary: summary.metrics.get("f1", -1.0),
    "duration": lambda summary: summary.worked_s,
    "disk": lambda summary: summary.disk_bytes,
}
NEWEST = "-created"


def find_run(store: RunStore, given: str) -> JobDirectory:
    """The run meant by ``last``, an id, a name, or the beginning of an id, in this order.

    Raises:
        RunMissing: there is none.
        RunAmbiguous: several have this name or begin like this.
    """
    summaries = store.summaries()
    if given == LAST:
        found = summaries[:1]
    else:
        found = (
            [s for s in summaries if s.id == given]
            or [s for s in summaries if s.name == given]
            or [s for s in summaries if given and s.id.startswith(given)]
        )
    if not found:
        raise RunMissing(run=given[:80])
    if len(found) > 1:
        raise RunAmbiguous(run=given[:80], found=[s.id for s in found[:10]])
    return store.get(found[0].id)


def list_runs(terminal: Terminal, store: RunStore, find: str = "", state: str = "", sort: str = NEWEST) -> int:
    """Every run, newest first; or those whose name, tags, data, model or notes hold all words of ``find``, in a state.

    ``sort`` is one of `SORTS`, with a minus before it the other way round.
    """
    everything, words = store.summaries(), terminal.words
    summaries = [summary for summary in everything if is_found(summary, find, state)]
    key = SORTS[sort.removeprefix("-")]
    summaries.sort(key=key, reverse=sort.startswith("-"))
    if terminal.as_json:
        terminal.document([summary_document(s) for s in summaries])
        return 0
    if not everything:
        terminal.say("cli.no_runs", home=str(store.home.path))
        return 0
    if not summaries:
        terminal.say("runs.none_found")
        return 0
    columns = ("run", "name", "state", "data", "model")
    headers = [words(f"cli.column.{name}") for name in columns]
    headers += [words("metric.accuracy"), words("metric.f1"), words("cli.column.duration"), words("cli.column.disk")]
    table = build_table(*headers, numbers_from=len(columns))
    for s in summaries:
        spent = duration(s.worked_s) if s.worked_s else "–"
        figures = (metric_text(s.metrics, "accuracy"), metric_text(s.metrics, "f1"), spent, size(s.disk_bytes))
        name = f"{s.name} [{', '.join(s.tags)}]" if s.tags else s.name
        table.add_row(Text(s.id, no_wrap=True), name, _state_text(s, words), s.data, s.model, *figures)
    terminal.show(table)
    return 0


def is_found(summary: RunSummary, find: str, state: str) -> bool:
    """Whether a run is in this state (any, if it is empty) and all words of ``find`` stand in what is told of it."""
    told = "\n".join([summary.name, summary.data, summary.model, summary.notes, *summary.tags]).lower()
    return state in ("", summary.state) and all(word in told for word in find.lower().split())


def summary_document(summary: RunSummary) -> dict[str, Any]:
    """A run as ``runs --json`` lists it."""
    return {
        "run": summary.id,
        "name": summary.name,
        "state": summary.state,
        "created": iso_time(summary.created),
        "metrics": summary.metrics,
        "tags": summary.tags,
        "notes": summary.notes,
        "disk_bytes": summary.disk_bytes,
    }


def show_run(terminal: Terminal, store: RunStore, given: str) -> int:
    """All about one run: state, settings, figures, and the end of its log where it failed."""
    run = find_run(store, given)
    summary, status, report = summarise(run), run.status(), read_report(run)
    words, error = terminal.words, error_of(run, status)
    if terminal.as_json:
        terminal.document(
            {
                **summary_document(summary),
                "ended": None if status.ended is None else iso_time(status.ended),
                "phase": status.phase,
                "share_done": summary.share_done,
                "error": error_document(error, words) if error else None,
                "kept": status.kept,
                "folder": str(run.path),
                "spec": run.spec,
                "report": report,
            }
        )
        return 0
    terminal.show(Text(summary.name, style="bold"), _state_text(summary, words), str(run.path))
    if status.silent_s:
        terminal.show(words("train.silent", time=duration(status.silent_s)), run.stacks)
    terminal.show(*filter(None, [", ".join(summary.tags), summary.notes]), "")
    terminal.show(_settings_text(run, report, words), "")
    if report and report.get("metrics"):
        terminal.show(metrics_table(report, words), "", per_label_table(report, words), "")
        terminal.show(_cost_text(store.home, run, report, words), "")
    if status.kept:
        terminal.show(kept_text(status.kept, words), "")
    if error:
        _show_end(terminal, run, error)
    if (run.path / "model" / "config.json").exists():
        terminal.show(words("cli.model", folder=str(run.path / "model")))
    return 0


def _cost_text(home: Home, run: JobDirectory, report: Mapping[str, Any], words: Words) -> str:
    """What training took in time and memory, beside what was estimated ahead."""
    ahead = expected_of(home, run, report)
    measured = (
        [words("results.ahead", value=told) for told in (duration(ahead.seconds), size(ahead.peak_bytes))]
        if ahead
        else []
    )
    seconds, peak = report["seconds"]["training"], report.get("peak_memory_bytes")
    training, memory = f"{words('phase.training')} {duration(seconds)}", f"{words('results.memory')} {size(peak or 0)}"
    parts = [" ".join([training, *measured[:1]])]
    if run.attempt > 1:
        parts.append(f"{words('results.all_attempts')} {duration(run.worked_s)}")
    if peak:
        parts.append(" ".join([memory, *measured[1:]]))
    return " · ".join(parts)


def stop_run(terminal: Terminal, store: RunStore, given: str) -> int:
    """Ask a run to stop at its next step; it keeps its best checkpoint."""
    run = find_run(store, given)
    waited = run.place is not None
    store.stop(run.id)
    state = run.status().state
    if terminal.as_json:
        terminal.document({"run": run.id, "state": state})
    elif waited:
        terminal.say("cli.cancelled", run=run.name)
    elif state.is_final:
        terminal.say("cli.already_ended", run=run.name, state=terminal.words(f"state.{state}"))
    else:
        terminal.say("cli.stop_asked", run=run.name)
    return 0


def show_queue(terminal: Terminal, store: RunStore, given: str | None, to: int) -> int:
    """The runs that wait, in their order; before, one of them is put at position ``to``, from 1.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        RunNotQueued: the run does not wait.
    """
    store.revive()
    if given is not None:
        store.move(find_run(store, given).id, to - 1)
    waiting = store.queued()
    if terminal.as_json:
        terminal.document([{"run": run.id, "name": run.name} for run in waiting])
        return 0
    if not waiting:
        terminal.say("cli.queue.empty")
        return 0
    table = build_table(*(terminal.words(f"cli.column.{name}") for name in ("place", "run", "name")))
    for place, run in enumerate(waiting, 1):
        table.add_row(str(place), Text(run.id, no_wrap=True), run.name)
    terminal.show(table)
    return 0


def repair(terminal: Terminal, store: RunStore) -> int:
    """Make the catalogue of runs anew from their folders."""
    count = store.rebuild()
    if terminal.as_json:
        terminal.document({"runs": count})
    else:
        terminal.say("cli.repaired", count=count)
    return 0


def iso_time(seconds: float) -> str:
    """A moment as ISO 8601 in UTC: ``2026-11-22T05:04:03Z``."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def kept_text(kept: dict[str, Any], words: Words) -> str:
    """What a stopped run keeps."""
    metrics = kept.get("metrics") or {}
    figures = [
        f"{words(f'metric.{n}')} {metric_text(metrics, n)}" for n in ("accuracy", "f1", "f1_macro") if n in metrics
    ]
    return words("cli.kept", step=kept.get("step"), figures=figures)


def _state_text(summary: RunSummary, words: Words) -> str:
    state = words(f"state.{summary.state}")
    if summary.state.is_final or not summary.phase:
        return state
    phase = words(f"phase.{summary.phase}") if words.has(f"phase.{summary.phase}") else summary.phase
    return f"{state} · {phase} {summary.share_done:.0%}"


def _settings_text(run: JobDirectory, report: Mapping[str, Any] | None, words: Words) -> Any:
    table = build_table(words("cli.column.setting"), words("cli.column.value"))
    became = {decision["setting"]: decision["value"] for decision in (report or {}).get("decisions") or []}
    for setting in settings():
        value: Any = run.spec
        for part in setting.path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        value = became.get(setting.path, value)
        if value in (None, "", {}, []):
            continue
        table.add_row(words(f"setting.{setting.path}.name"), setting_text(words, setting.path, value))
    return table


def error_of(run: JobDirectory, status: JobStatus) -> StudioError | None:
    """Why the run did not come to its end; None for one that lives, completed, or was stopped."""
    if status.state is JobState.INTERRUPTED and status.error is None:
        return RunLost(run=run.name or run.id)
    return status.error


def _show_end(terminal: Terminal, run: JobDirectory, error: StudioError) -> None:
    terminal.complain(error)
    lines = last_lines(run.log_path)
    if lines:
        terminal.say("cli.log_end", path=str(run.log_path))
        terminal.show(Text("\n".join(lines), style="dim"))
