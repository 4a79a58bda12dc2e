"""A finished run as files to hand on: the standard Transformers folder with its model card, or a zip of it."""

from __future__ import annotations

import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import RunNotFinished
from backend.jobs.directory import JobDirectory

CARD = "README.md"
NAME_LENGTH = 60
CHUNK_BYTES = 1 << 20
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest moment a zip can note: the same run always gives the same bytes."""


@dataclass(frozen=True)
class SharedFile:
    """One file to hand on: its path with ``/`` inside the package, and its content or where that lies."""

    name: str
    content: Path | bytes

    @property
    def bytes(self) -> int:
        """Its size."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def model_folder(run: JobDirectory) -> Path:
    """The run's finished model. Raises `RunNotFinished` if it has none (yet)."""
    folder = run.path / "model"
    if not (folder / "config.json").exists():
        raise RunNotFinished(run=run.name or run.id, state=run.status().state)
    return folder


def package_name(run: JobDirectory) -> str:
    """The run's name as a folder, a file and a repository on the Hub may be called: plain ASCII, never empty.

    A name in another script leaves nothing that the Hub would take; then it is ``text-classifier`` with a piece of
    the run's id.
    """
    plain = unicodedata.normalize("NFKD", run.name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9_.]+", "-", plain)
    words = re.sub(r"\.{2,}|-{2,}", "-", words).strip("-._").removesuffix(".git")[:NAME_LENGTH].strip("-._")
    if not re.search(r"[A-Za-z]", words):
        return f"text-classifier-{run.id[-6:]}"
    return words


def model_files(run: JobDirectory) -> list[SharedFile]:
    """The files of the run's model, by name. Nothing that runs code when it is opened is among them.

    Raises:
        RunNotFinished: the run has no model (yet).
    """
    folder = model_folder(run)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _PICKLES)
    files = [SharedFile(path.relative_to(folder).as_posix(), path) for path in paths]
    return [file for file in files if file.name != CARD and not file.name.startswith(".")]


def package_files(run: JobDirectory, *, repository: str | None = None, licence: str | None = None) -> list[SharedFile]:
    """The model's files and its card, as they are zipped and pushed.

    Raises:
        RunNotFinished: the run has no model (yet).
    """
    from backend.sharing.card import model_card  # the card needs the file's own vocabulary

    files = model_files(run)
    card = model_card(run, repository=repository, licence=licence)
    return sorted([*files, SharedFile(CARD, card.encode())], key=lambda file: file.name)


def write_files(files: Sequence[SharedFile], folder: Path) -> None:
    """Write the files into a folder, which is made if it is missing."""
    for file in files:
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as stream:
            for chunk in _chunks(file):
                stream.write(chunk)


def stream_zip(run: JobDirectory) -> Iterator[bytes]:
    """The package as a zip in pieces, made while it is read: nothing is written to disk, little is held in memory.

    Raises (at once, not at the first piece):
        RunNotFinished: the run has no model (yet).
    """
    return _zipped(package_name(run), package_files(run))


def _zipped(top: str, files: Sequence[SharedFile]) -> Iterator[bytes]:
    outlet = _Outlet()
    # Compressed lightly: weights hardly shrink, but a streamed entry that is only stored cannot be read by all.
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in files:
            entry = zipfile.ZipInfo(f"{top}/{file.name}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with archive.open(entry, "w", force_zip64=file.bytes >= 1 << 31) as target:
                for chunk in _chunks(file):
                    target.write(chunk)
                    yield outlet.drained()
    yield outlet.drained()


def _chunks(file: SharedFile) -> Iterator[bytes]:
    if isinstance(file.content, bytes):
        yield file.content
        return
    with open(file.content, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            yield chunk


class _Outlet(io.RawIOBase):
    """Where a zip is written that cannot go back: what was written waits until it is drained."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._waiting += data
        return len(data)

    def drained(self) -> bytes:
        content = bytes(self._waiting)
        self._waiting.clear()
        return content
