"""``python -m studio prepare``: the steps done to a table, and its parts written as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.data.datasets import result_of
from backend.data.exporting import fold_folder, start_export
from backend.errors import FolderTaken, RunLost
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.spec_files import spec_to_yaml
from studio.cli_data import StoppedBefore, hub_token, prepare_data
from studio.cli_follow import Interrupts, Left, follow
from studio.cli_progress import build_watcher
from studio.cli_runs import error_of
from studio.cli_train import read_spec
from studio.terminal import STOPPED, Terminal


def prepare(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    data: str | None,
    given: Mapping[str, str | None],
    out: Path,
    kind: str,
) -> int:
    """Write the parts of the prepared table into the folder ``out``; returns the exit status.

    Raises:
        StudioError: the settings or the table do not hold; nothing was written.
        FolderTaken: ``out`` is a file, or holds files of another origin by these names.
    """
    spec = read_spec(terminal, data, given)
    # Who asks for folds and for none of them gets each; which one a run tests on is a setting of that run.
    all_folds = spec.split.folds > 1 and given.get("split__fold") is None and spec.split.fold == 1
    _refuse_taken(out, kind, spec.split.folds if all_folds else 0)
    with Interrupts() as interrupts:
        try:
            spec = prepare_data(terminal, store.home, spec, interrupts, hub_token(store.home, environ))
            job = start_export(store.home, spec.choices, kind, out, all_folds=all_folds)
            status = follow(job, build_watcher(terminal, phases=False), interrupts, lambda: None)
        except (StoppedBefore, Left):
            return _stopped(terminal)
    if status.state is JobState.STOPPED:
        return _stopped(terminal)
    if status.state is not JobState.COMPLETED:
        raise error_of(job, status) or RunLost(run=job.id)
    result = result_of(job)
    (out / "run.yaml").write_text(spec_to_yaml(spec), "utf-8")
    if terminal.as_json:
        terminal.document(_document(out, result))
    else:
        for fold in result.get("folds") or [result]:
            for name in fold["files"]:
                terminal.say("cli.prepare.written", file=str(out / name), count=fold["rows"][Path(name).stem])
    return 0


def _document(out: Path, result: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: value for name, value in result.items() if name not in ("files", "archive", "folds")}
    if "folds" in result:
        told["folds"] = [{**fold, "files": _paths(out, fold["files"])} for fold in result["folds"]]
    return {"folder": str(out.resolve()), "files": _paths(out, result["files"]), **told}


def _paths(out: Path, names: Sequence[str]) -> list[str]:
    return [str(out.resolve() / name) for name in names]


def _refuse_taken(out: Path, kind: str, folds: int) -> None:
    if out.exists() and not out.is_dir():
        raise FolderTaken(folder=str(out))
    # What an earlier call has written may be written again; nobody else's files are.
    mine = (out / "prepared.json").exists()
    places = [out / fold_folder(fold) for fold in range(1, folds + 1)] or [out]
    taken = (place / f"{part}.{kind}" for place in places for part in ("train", "validation", "test"))
    if not mine and any(path.exists() for path in taken):
        raise FolderTaken(folder=str(out))


def _stopped(terminal: Terminal) -> int:
    terminal.say("cli.stopped")
    if terminal.as_json:
        terminal.document({"state": JobState.STOPPED})
    return STOPPED
