"""Durable writing: after a crash at any moment a file holds its old content or its new, never a mix.

And a lock among all processes, for what more than one of them may change.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.jobs.platform import POSIX, TO_LOOK_AT, lock_file


def write_bytes(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content``: a temporary file beside it, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Replace ``path`` by the document as indented UTF-8 JSON."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """The document in ``path``; raises ``FileNotFoundError`` or ``ValueError`` as the standard library does."""
    return json.loads(path.read_bytes())


def place(finished: Path, path: Path) -> None:
    """Have a finished file or folder under this name: its content is on the disk before its name is."""
    if finished.is_dir():
        for folder, _folders, names in os.walk(finished):
            for name in names:
                sync(Path(folder) / name)
            sync(Path(folder))
    else:
        sync(finished)
    move(finished, path)


def move(source: Path, path: Path) -> None:
    """Give what lies at ``source`` another name; a file that has this name is replaced."""
    os.replace(source, path)
    sync(path.parent)
    if source.parent != path.parent:
        sync(source.parent)


def touch(path: Path) -> None:
    """Have an empty file there: what it says is that it is there."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file on the disk, or a folder's own entries: what was made, renamed and removed in it."""
    if not POSIX and path.is_dir():
        return  # Windows opens no folder
    descriptor = os.open(path, TO_LOOK_AT)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Nobody else is in such a block with this ``lock`` meanwhile, in whatever process; a crash gives it back."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        lock_file(descriptor, wait=True)
        yield
    finally:
        os.close(descriptor)
