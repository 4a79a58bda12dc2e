"""The checkpoints in a run's folder, as far as they can be told without torch: which there are, and whether whole.

A checkpoint is a folder ``checkpoints/step-0000123`` with a ``manifest.json`` that names every other file in it with
size and hash. It is written elsewhere and renamed, so one with a manifest was whole once.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from backend.jobs.files import move, read_json, sync, write_json

FOLDER, STAGING, REMOVED, MANIFEST = "checkpoints", "saving", "removed", "manifest.json"
NEWEST_KEPT = 2
_PREFIX = "step-"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint, as its manifest tells."""

    path: Path
    step: int
    epoch: float
    metrics: dict[str, float]
    """Of the validation split after this step; empty where it was not evaluated."""
    complete: bool
    """Whether training can go on from it: it has the optimizer's state, too."""
    data: dict[str, Any]
    """What was learned from: ``{"labels": [...], "rows": {split: count}, "texts": hash}``."""
    files: dict[str, dict[str, Any]]
    """``{"bytes", "sha256"}`` by name."""
    position: dict[str, Any]
    """What a trainer's callbacks know at this step."""

    @property
    def bytes(self) -> int:
        """On the disk."""
        return sum(int(file["bytes"]) for file in self.files.values())

    def damage(self) -> list[str]:
        """The files that are not what was written; reads them all."""
        return [name for name, told in self.files.items() if _described(self.path / name) != told]


def list_checkpoints(run: Path) -> list[Checkpoint]:
    """The checkpoints of a run's folder whose manifests can be read, the oldest step first."""
    found = []
    for path in _folders(run).values():
        try:
            document = read_json(path / MANIFEST)
            if document["sha256"] != _digest(document["told"]):
                continue
            found.append(Checkpoint(path=path, **document["told"]))
        except (OSError, ValueError, TypeError, KeyError):  # not one, or damaged: as if it were not there
            continue
    return sorted(found, key=lambda checkpoint: checkpoint.step)


def to_resume(run: Path, step: int | None = None) -> tuple[Checkpoint | None, list[int]]:
    """The newest whole checkpoint, of this step at the latest, that training can go on from; reads its files.

    With it the steps of those that are damaged and were passed over.
    """
    damaged = [each for each in unreadable(run) if step is None or each <= step]
    for checkpoint in reversed(list_checkpoints(run)):
        if not checkpoint.complete or (step is not None and checkpoint.step > step):
            continue
        if not checkpoint.damage():
            return checkpoint, sorted(each for each in damaged if each > checkpoint.step)
        damaged.append(checkpoint.step)
    return None, sorted(damaged)


def unreadable(run: Path) -> list[int]:
    """The steps whose checkpoints cannot be told at all, because their manifests are damaged."""
    known = {checkpoint.step for checkpoint in list_checkpoints(run)}
    return sorted(step for step in _folders(run) if step not in known)


def staging(run: Path) -> Path:
    """An empty folder for the files of the next checkpoint."""
    folder = run / FOLDER / STAGING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def is_being_written(run: Path) -> bool:
    """Whether a checkpoint is written at this moment, or was when its writer was killed."""
    return (run / FOLDER / STAGING).exists()


def seal(folder: Path, **told: Any) -> Checkpoint:
    """Make what lies in the staging ``folder`` the checkpoint of its step; ``told`` are the manifest's other fields."""
    files: dict[str, dict[str, Any]] = {}
    for file in sorted(folder.iterdir()):
        sync(file)
        files[file.name] = _described(file) or {}
    path = folder.with_name(f"{_PREFIX}{told['step']:07d}")
    checkpoint = Checkpoint(path=path, files=files, **told)
    manifest = {name: value for name, value in asdict(checkpoint).items() if name != "path"}
    write_json(folder / MANIFEST, {"sha256": _digest(manifest), "told": manifest})
    if path.exists():  # an earlier attempt came here, too
        remove(path)
    move(folder, path)
    return checkpoint


def prune(run: Path, best: int | None) -> None:
    """Remove all but the checkpoint of the ``best`` step, the newest that one can go on from, and what was the best to
    the newest of these: told by their steps."""
    found = list_checkpoints(run)
    whole = [checkpoint for checkpoint in found if checkpoint.complete][-NEWEST_KEPT:]
    known = whole[-1].position.get("best") if whole else None
    kept = {best, known and known["step"], *(checkpoint.step for checkpoint in whole)}
    for checkpoint in found:
        if checkpoint.step not in kept:
            remove(checkpoint.path)


def remove_after(run: Path, step: int) -> None:
    """Remove the checkpoints of later steps, the damaged too: an attempt that goes on from ``step`` supersedes them.

    What the attempt before had only begun to write goes with them.
    """
    shutil.rmtree(run / FOLDER / STAGING, ignore_errors=True)
    for found, path in _folders(run).items():
        if found > step:
            remove(path)


def remove(path: Path) -> None:
    """Remove a checkpoint; renamed first, so that half of one is never taken for a whole or a damaged one."""
    doomed = path.with_name(REMOVED)
    shutil.rmtree(doomed, ignore_errors=True)
    move(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def clear(run: Path) -> None:
    """Remove all of them."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _folders(run: Path) -> dict[int, Path]:
    """The folders of checkpoints, whole or not, by step."""
    named = ((path.name.removeprefix(_PREFIX), path) for path in (run / FOLDER).glob(f"{_PREFIX}*"))
    return {int(digits): path for digits, path in named if digits.isdigit()}


def _digest(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _described(file: Path) -> dict[str, Any] | None:
    digest = hashlib.sha256()
    try:
        with open(file, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
            return {"bytes": stream.tell(), "sha256": digest.hexdigest()}
    except OSError:
        return None
