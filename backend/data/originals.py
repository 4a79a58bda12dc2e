"""The files a table was read from, kept beside it, so that it can be read again in another way.

A kept file is a hard link where the disk allows it, which takes no room, else a copy. It may be changed through its
other name or not be kept at all (a full disk): a new reading compares its content and says when it is not the same.
Knows no format.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from backend.data.datasets import dataset_folder, start_import
from backend.data.files import SourceFile
from backend.errors import OriginalGone
from backend.jobs.directory import JobDirectory
from backend.settings import Home
from backend.specs import ReadingSpec

FOLDER = "source"
LARGEST_COPY_BYTES = 4 << 30


def sources_document(files: Sequence[SourceFile]) -> list[dict[str, Any]]:
    """The files as they stand in a profile."""
    return [{"file": f.name, "part": f.part, "bytes": f.path.stat().st_size, "sha256": f.sha256} for f in files]


def keep_originals(dataset_folder: Path, files: Sequence[SourceFile]) -> None:
    """Keep the files in the dataset's folder, each under its number; one that cannot be kept is left out."""
    folder = dataset_folder / FOLDER
    folder.mkdir(exist_ok=True)
    for number, file in enumerate(files):
        kept = folder / str(number)
        if kept.exists() and kept.samefile(file.path):
            continue
        with suppress(OSError):
            kept.unlink(missing_ok=True)
            _keep(file.path, kept)


def _keep(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:
        size = path.stat().st_size
        if size <= min(LARGEST_COPY_BYTES, shutil.disk_usage(kept.parent).free // 2):
            shutil.copyfile(path, kept)


def originals_of(home: Home, profile: dict[str, Any]) -> list[SourceFile]:
    """The kept files of a table.

    Raises:
        OriginalGone: one of them is not there, or the table was imported before files were kept.
    """
    folder = dataset_folder(home, profile["dataset"]) / FOLDER
    sources = profile.get("sources") or []
    if not sources:
        raise OriginalGone(file=profile["file"])
    files = []
    for number, source in enumerate(sources):
        path = folder / str(number)
        if not path.is_file():
            raise OriginalGone(file=source["file"])
        files.append(SourceFile(path, source["file"], source["part"], sha256=source["sha256"]))
    return files


def start_rereading(
    home: Home, profile: dict[str, Any], reading: ReadingSpec, more: Sequence[SourceFile] = ()
) -> JobDirectory:
    """Start reading a table's files again in another way, or together with ``more`` files.

    Raises:
        OriginalGone: a file is not there any more. (The job raises it for one that was changed.)
        PartsUnclear: which part of the data a file is cannot be told.
    """
    files = [*originals_of(home, profile), *more]
    name = profile["file"] if not more else None
    return start_import(home, files, name, reading)
