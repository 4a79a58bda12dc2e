"""Durable writing: after a crash at any moment a file holds its old content or its new, never a mix."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


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
    sync_folder(path.parent)


def write_json(path: Path, document: Any) -> None:
    """Replace ``path`` by the document as indented UTF-8 JSON."""
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False)
    write_bytes(path, text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """The document in ``path``; raises ``FileNotFoundError`` or ``ValueError`` as the standard library does."""
    return json.loads(path.read_bytes())


def sync_folder(folder: Path) -> None:
    """Have the folder's own entries on the disk: what was made, renamed and removed in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
