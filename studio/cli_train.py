"""``python -m studio train``: from a table and flags to an ended run, followed in the foreground."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer

from backend.asked import check_machine
from backend.data.choices import check_labels, refusal_of
from backend.data.datasets import load_report
from backend.data.hub_datasets import is_hub_source
from backend.errors import FileMissing, SpecUnreadable
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState, JobStatus
from backend.jobs.store import RunStore, names_ahead
from backend.jobs.summaries import read_report
from backend.models.folder import check_base
from backend.spec_files import spec_from_yaml
from backend.specs import STARTER, RunSpec, build_spec
from backend.steps import step_document
from studio.cli_data import StoppedBefore, hub_token, prepare_data
from studio.cli_flags import apply_flags
from studio.cli_folds import check_folds, folds_document, show_folds, train_folds, without_all
from studio.cli_follow import Interrupts, Left, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of, find_run, kept_text
from studio.remedies import again, remedies_of, remedy_of, remedy_text, resuming_helps
from studio.terminal import LEFT, STOPPED, Terminal, error_document, metrics_table, status_of_end

PROGRAM = "python -m studio"
YAML_ENDINGS = (".yaml", ".yml")


def train(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    data: str | None,
    given: Mapping[str, str | None],
    home_flag: Path | None,
) -> int:
    """Import the table, start a run (of each fold, with ``--fold all``) and follow it to its end; the exit status.

    Raises:
        StudioError: the settings or the table do not hold; nothing was started.
    """
    given, all_folds = without_all(given)
    spec = read_spec(terminal, data, given)
    if all_folds:
        check_folds(terminal, spec)
    with Interrupts() as interrupts:
        try:
            token = hub_token(store.home, environ)
            spec = prepare_data(terminal, store.home, spec, interrupts, token)
        except (StoppedBefore, Left):
            terminal.say("cli.stopped")
            if terminal.as_json:
                terminal.document({"run": None, "state": JobState.STOPPED})
            return STOPPED
        secrets = {"HF_TOKEN": token} if token else None
        if all_folds:
            return _train_folds(terminal, store, spec, interrupts, secrets, home_flag)
        return _start_and_follow(terminal, store, spec, interrupts, secrets, home_flag)


def retry(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    given: str,
    code: str | None,
    home_flag: Path | None,
) -> int:
    """Start a failed run again, with the first of its remedies or the one named, and follow it; the exit status.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        NoRemedy, RemedyMissing: nothing is known to help, or not what is asked for.
    """
    failed = find_run(store, given)
    remedy = remedy_of(failed, code)
    terminal.say("cli.retry.with", remedy=remedy_text(terminal.words, remedy))
    token = hub_token(store.home, environ)
    spec = again(store, failed, remedy.code)
    with Interrupts() as interrupts:
        return _start_and_follow(terminal, store, spec, interrupts, {"HF_TOKEN": token} if token else None, home_flag)


def clone(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    given_run: str,
    given: Mapping[str, str | None],
    home_flag: Path | None,
) -> int:
    """Start a run with the settings of another one on the same table, but for the flags, and follow it; exit status.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        SpecError: the settings do not hold.
        StudioError: the model's folder, this machine or the labels do not have what they ask for.
    """
    original = RunSpec(**find_run(store, given_run).spec)
    flags = apply_flags({}, given)
    _resolve_paths(flags, Path.cwd())
    spec = build_spec(_merged({**original.model_dump(mode="json"), "name": ""}, flags))
    if (spec.data.source, spec.reading) != (original.data.source, original.reading):
        raise typer.BadParameter(terminal.words("cli.clone.other_table"))
    check_base(spec.model.base)
    check_machine(spec)
    report = load_report(store.home, spec.choices)
    if report and refusal_of(report, spec.data.label_names) is None:
        check_labels(spec, report)
    token = hub_token(store.home, environ)
    with Interrupts() as interrupts:
        return _start_and_follow(terminal, store, spec, interrupts, {"HF_TOKEN": token} if token else None, home_flag)


def resume(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    given: str,
    step: int | None,
    home_flag: Path | None,
) -> int:
    """Go on with a run from its newest checkpoint, or that of a step, and follow it; the exit status.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        RunActive, RunNotResumable, CheckpointMissing: as `RunStore.resume`.
    """
    token = hub_token(store.home, environ)
    run = find_run(store, given)
    with Interrupts() as interrupts:
        seen = run.next_seq
        store.resume(run.id, step, environ={"HF_TOKEN": token} if token else None)
        terminal.say("cli.resumed", run=run.name, attempt=run.attempt)
        return _follow(terminal, store, run, interrupts, home_flag, seen)


def _start_and_follow(
    terminal: Terminal,
    store: RunStore,
    spec: RunSpec,
    interrupts: Interrupts,
    secrets: Mapping[str, str] | None,
    home_flag: Path | None,
) -> int:
    run = store.start_new(spec, environ=secrets)
    terminal.say("cli.started", run=run.id, name=run.name, text=spec.data.text_column, label=spec.data.label_column)
    return _follow(terminal, store, run, interrupts, home_flag)


def _follow(
    terminal: Terminal,
    store: RunStore,
    run: JobDirectory,
    interrupts: Interrupts,
    home_flag: Path | None,
    seen: int = 0,
) -> int:
    terminal.say("cli.goes_on")
    if ahead := names_ahead(store, run):
        terminal.say("cli.waits", ahead=", ".join(ahead))
    try:
        stopping = partial(terminal.say, "cli.stopping")
        status = follow(run, build_watcher(terminal), interrupts, stopping, seen=seen, revive=store.revive)
    except Left:
        terminal.say("cli.left", command=_Commands(run, home_flag, "").show)
        if terminal.as_json:
            terminal.document(train_document(terminal, run, run.status()))
        return LEFT
    if terminal.as_json:
        terminal.document(train_document(terminal, run, status))
    else:
        show_end(terminal, run, status, home_flag)
    return status_of_end(status.state, error_of(run, status))


def _train_folds(
    terminal: Terminal,
    store: RunStore,
    spec: RunSpec,
    interrupts: Interrupts,
    secrets: Mapping[str, str] | None,
    home_flag: Path | None,
) -> int:
    ended, status = train_folds(terminal, store, spec, interrupts, secrets)
    if status == LEFT:
        terminal.say("cli.left", command=_Commands(ended[-1][0], home_flag, "").show)
    if terminal.as_json:
        documents = [train_document(terminal, run, found) for run, found in ended]
        terminal.document(folds_document(ended, spec.split.folds, documents))
    else:
        show_folds(terminal, ended)
    return status


# ------------------------------------------------------------------------------------------------ what is asked


def read_spec(terminal: Terminal, data: str | None, given: Mapping[str, str | None]) -> RunSpec:
    """What the YAML file and the flags ask for; flags win. Relative paths count from where they were written.

    Raises:
        FileMissing, SpecUnreadable: the YAML file cannot be read.
        SpecError: settings that do not hold.
        NotAModelFolder, FolderIsAdapter: the base names a folder, and no model is in it.
        TooManyProcesses, TrackerUnknown, TrackerMissing: this machine does not have what it asks for.
    """
    flags = apply_flags({}, given)
    _resolve_paths(flags, Path.cwd())
    if data is not None and data.lower().endswith(YAML_ENDINGS):
        document = read_yaml(Path(data).expanduser())
    elif data is None or "source" not in flags.get("data", {}):
        document = {"data": {"source": data}} if data is not None else {}
        _resolve_paths(document, Path.cwd())
    else:
        raise typer.BadParameter(terminal.words("cli.train.two_sources"))
    spec = build_spec(_merged(document, flags))
    if not spec.data.source:
        raise typer.BadParameter(terminal.words("cli.train.needs_data"))
    check_base(spec.model.base)
    check_machine(spec)
    return spec


def read_yaml(path: Path) -> dict[str, Any]:
    """The settings of a YAML file as plain values, its relative paths made absolute.

    Raises:
        FileMissing, SpecUnreadable, SpecError: as they say.
    """
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileMissing(path=str(path)) from error
    except UnicodeDecodeError as error:
        raise SpecUnreadable(file=str(path), detail="not_utf8") from error
    except OSError as error:
        raise SpecUnreadable(file=str(path), detail=str(error)[:500]) from error
    # Without what stands at its default, so that the flags are laid over what the file says and nothing else.
    spec = spec_from_yaml(text, str(path))
    document = spec.model_dump(exclude_defaults=True)
    if spec.prepare.steps:  # the kind of a step is the default of its class
        document["prepare"] = {"steps": [step.model_dump(mode="json") for step in spec.prepare.steps]}
    _resolve_paths(document, path.resolve().parent)
    return document


def _resolve_paths(document: dict[str, Any], folder: Path) -> None:
    # The worker runs in a folder of its own: every path it is told must be absolute.
    data, model = document.get("data", {}), document.get("model", {})
    for name in ("source", "validation_source", "test_source"):
        if data.get(name) and not is_hub_source(data[name]):
            data[name] = str((folder / Path(data[name]).expanduser()).resolve())
    steps = [step_document(step) for step in document.get("prepare", {}).get("steps", [])]
    for step in steps:
        encoder = step.get("encoder") if isinstance(step, dict) else None
        if isinstance(encoder, str) and encoder and (folder / Path(encoder).expanduser()).is_dir():
            step["encoder"] = str((folder / Path(encoder).expanduser()).resolve())
    if steps:
        document["prepare"]["steps"] = steps
    base = model.get("base", "")
    looks_like_path = base.startswith((".", "~", "/"))
    if looks_like_path or (base and base != STARTER and (folder / base).is_dir()):
        model["base"] = str((folder / Path(base).expanduser()).resolve())


def _merged(document: dict[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    return {**document, **{k: {**document.get(k, {}), **v} if isinstance(v, dict) else v for k, v in flags.items()}}


# ------------------------------------------------------------------------------------------------ the end


def train_document(terminal: Terminal, run: JobDirectory, status: JobStatus) -> dict[str, Any]:
    """A run as ``train --json`` prints it; ``error`` where it failed or was ended, ``kept`` where it was stopped."""
    report = read_report(run) or {}
    folder = run.path / "model"
    document: dict[str, Any] = {
        "run": run.id,
        "state": status.state,
        "task": report.get("task", run.spec["data"]["task"]),
        "labels": report.get("labels", []),
        "metrics": report.get("metrics"),
        "baselines": report.get("baselines") or {},
        "model": str(folder) if (folder / "config.json").exists() else None,
        "examples_per_second": report.get("examples_per_second"),
        "seconds": report.get("seconds") or {},
    }
    if status.state is JobState.STOPPED:
        document["kept"] = status.kept
    if error := error_of(run, status):
        document["error"] = error_document(error, terminal.words)
    return document


class _Commands:
    """What to type next for a run."""

    def __init__(self, run: JobDirectory, home_flag: Path | None, example: str) -> None:
        home = f" --home {shlex.quote(str(home_flag))}" if home_flag else ""
        self.show = f"{PROGRAM} show {run.id}{home}"
        self.predict = f"{PROGRAM} predict {run.id}{home} {shlex.quote(example)}"
        self.retry = f"{PROGRAM} retry {run.id}{home}"
        self.resume = f"{PROGRAM} resume {run.id}{home}"
        self.serve = f"{PROGRAM}{home}"


def show_end(terminal: Terminal, run: JobDirectory, status: JobStatus, home_flag: Path | None) -> None:
    """How an ended run came out, for people, and what to type next."""
    words, report = terminal.words, read_report(run) or {}
    commands = _Commands(run, home_flag, words("cli.example_text"))
    if error := error_of(run, status):
        terminal.complain(error)
        for remedy in remedies_of(run):
            command = f"{commands.retry} --remedy {remedy.code}"
            terminal.say("cli.next.retry", remedy=remedy_text(terminal.words, remedy), command=command)
        if resuming_helps(run):
            terminal.say("cli.next.resume", command=commands.resume)
        terminal.say("cli.next.show", command=commands.show)
        return
    if status.state is JobState.CANCELLED:
        terminal.say("cli.cancelled", run=run.name)
        return
    if status.state is JobState.STOPPED:
        terminal.show(words("cli.stopped"), kept_text(status.kept, words) if status.kept else words("cli.kept_nothing"))
        terminal.show(words("cli.next.resume", command=commands.resume))
    if report.get("metrics"):
        terminal.show("", metrics_table(report, words), "")
    if (run.path / "model" / "config.json").exists():
        terminal.show(words("cli.model", folder=str(run.path / "model")))
        terminal.show(words("cli.next.try", command=commands.predict))
    terminal.show(words("cli.next.show", command=commands.show))
    terminal.show(words("cli.next.browser", command=commands.serve))
