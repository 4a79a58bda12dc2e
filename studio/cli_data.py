"""From a table on disk to the data part of a run: import, columns, and what stands in the way of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.data.choices import check_labels, first_choices, refusal_of
from backend.data.datasets import load_profile, load_report, result_of, start_import, start_report
from backend.data.files import sources_of, title_of
from backend.data.hub_datasets import hub_source_of, is_hub_source, pinned, start_hub_import
from backend.data.template import check_template
from backend.errors import (
    ColumnMissing,
    ColumnsUncertain,
    RunLost,
    SameColumn,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.settings import Home
from backend.specs import Choices, RunSpec, SplitSpec
from studio.cli_follow import Interrupts, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of
from studio.findings import finding_words
from studio.terminal import Terminal

PARTS = ("train", "validation", "test")


class StoppedBefore(Exception):
    """Ctrl-C before the run was started: there is no run."""


def hub_token(home: Home, environ: Mapping[str, str]) -> str | None:
    """The user's token for the Hub: handed to processes in their environment, never written."""
    from backend.sharing.tokens import find_token

    found = find_token(environ, folders=(home.path,))
    return found.token if found else None


def prepare_data(
    terminal: Terminal, home: Home, spec: RunSpec, interrupts: Interrupts, token: str | None = None
) -> RunSpec:
    """The spec with its table imported, its columns chosen and checked. Warnings are said on the way.

    ``token`` is for data sets of the Hub that want one.

    Raises:
        StudioError: the file, the columns or the labels do not hold.
        StoppedBefore: on Ctrl-C.
    """
    spec, profile = import_data(terminal, home, spec, interrupts, token)
    spec = choose_columns(spec, profile)
    report = report_of(terminal, home, spec.choices, interrupts)
    tell_preparation(terminal, report)
    for finding in report["findings"]:
        if finding["severity"] == "warning":
            _warn(terminal, finding)
    if refusal := refusal_of(report, spec.data.label_names):
        raise refusal
    check_labels(spec, report)
    return spec


def import_data(
    terminal: Terminal, home: Home, spec: RunSpec, interrupts: Interrupts, token: str | None = None
) -> tuple[RunSpec, dict[str, Any]]:
    """The spec with its table imported, and the table's profile; what came from the Hub is pinned to its commit.

    Raises:
        StudioError: the files, or the data set of the Hub, cannot be read.
        StoppedBefore: on Ctrl-C.
    """
    if is_hub_source(spec.data.source):
        terminal.say("cli.importing", file=spec.data.source)
        job = start_hub_import(home, hub_source_of(spec.data), token)
    else:
        files = sources_of(spec.data)
        terminal.say("cli.importing", file=title_of(files))
        job = start_import(home, files, reading=spec.reading)
    profile = load_profile(home, str(followed_result(terminal, job, interrupts)["dataset"]))
    return spec.replaced(data__dataset=profile["dataset"], **pinned(profile)), profile


def followed_result(terminal: Terminal, job: JobDirectory, interrupts: Interrupts) -> dict[str, Any]:
    """The result of a short job, followed to its end."""
    status = follow(job, build_watcher(terminal, phases=False), interrupts, lambda: None)
    if status.state is JobState.STOPPED or interrupts.count:
        raise StoppedBefore
    if status.state is not JobState.COMPLETED:
        raise error_of(job, status) or RunLost(run=job.id)
    return result_of(job)


def report_of(terminal: Terminal, home: Home, choices: Choices, interrupts: Interrupts) -> dict[str, Any]:
    """The report on the choices, made first if need be. Raises as `prepare_data` does."""
    report = load_report(home, choices)
    if report is None:
        followed_result(terminal, start_report(home, choices), interrupts)
        report = load_report(home, choices)
    assert report is not None, "a completed report job has left no report"
    return report


def choose_columns(spec: RunSpec, profile: Mapping[str, Any]) -> RunSpec:
    """The spec with its columns named: as asked, else as guessed where the guess is certain.

    What else was read off the whole table stands as well, as on the page, unless the user says otherwise: the task,
    names of labels that came with it, a column that names the parts.

    Raises:
        ColumnMissing: a named column is not in the table.
        SameColumn: one column is named for both.
        ColumnsUncertain: a column is left open and the guess is not certain.
        TemplateUnreadable, TemplateUsesLabel: the template will not do.
    """
    available = [column["name"] for column in profile["columns"]]
    spec = _with_only_text(spec, available)
    first, guess, data = first_choices(dict(profile)), profile["guess"], spec.data
    text = data.text_column or ("" if data.template else first.data.text_column)
    asked_labels = bool(data.label_column or data.label_columns)
    label = data.label_column if asked_labels else first.data.label_column
    labels = data.label_columns if asked_labels else first.data.label_columns
    for column in filter(None, (data.text_column, data.label_column, *data.label_columns)):
        if column not in available:
            raise ColumnMissing(column=column, available=available)
    guessed = not ((data.text_column or data.template) and asked_labels)
    whole = bool((text or data.template) and (label or labels))
    if not whole or (guessed and not (guess["certain"] and (data.template or text != label))):
        raise ColumnsUncertain(available=available)
    spec = spec.replaced(data__text_column=text, data__label_column=label, data__label_columns=labels)
    if data.template:
        check_template(data.template, spec.data, available)
    elif text in (labels or (label,)):
        raise SameColumn(column=text)
    if label == first.data.label_column and data.task == "auto" and not data.label_separator:
        spec = spec.replaced(data__task=first.data.task, data__label_separator=first.data.label_separator)
        if not data.label_names:
            spec = spec.replaced(data__label_names=first.data.label_names)
    return spec.model_copy(update={"split": first.split}) if spec.split == SplitSpec() else spec


def _with_only_text(spec: RunSpec, available: Sequence[str]) -> RunSpec:
    """The spec with the one column that is left as the text's, where labels are named and texts are not."""
    data = spec.data
    named = (data.label_column, *data.label_columns)
    left = [column for column in available if column not in named]
    if not any(named) or data.text_column or data.template or len(left) != 1:
        return spec
    return spec.replaced(data__text_column=left[0])


def tell_preparation(terminal: Terminal, report: Mapping[str, Any]) -> None:
    """What each step did, and how many rows each part has."""
    for done in report.get("steps") or []:
        facts = {"count": done["touched"], "rows_before": done["rows_before"], "rows_after": done["rows_after"]}
        if done["touched"]:
            terminal.say(f"note.step_{done['step']['kind']}", **facts)
        for note in done["notes"]:
            terminal.say(f"note.{note['code']}", **note["facts"])
    parts = report.get("parts") or {}
    for note in parts.get("notes") or []:
        terminal.say(f"note.{note['code']}", **note["facts"])
    if "train" in parts:
        terminal.say("data.parts_counts", **{name: parts[name]["rows"] for name in PARTS})


def _warn(terminal: Terminal, finding: Mapping[str, Any]) -> None:
    terminal.say("cli.warning", warning=finding_words(terminal.words, finding))
