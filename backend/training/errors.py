"""The one seam where what torch and its relatives raise becomes an error that is worded for the user."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError

from backend.errors import DiskFull, MemoryFull, StudioError, Unexpected
from backend.models.memory import is_memory_error

_NO_SPACE = ("no space left on device", "os error 28", "disk quota exceeded", "os error 122")


def translate(error: Exception, folder: Path | None = None) -> StudioError:
    """The worded error for a foreign one; `Unexpected` for one that is not known. ``folder`` is where it wrote."""
    said = str(error).lower()
    if is_memory_error(error):
        on_card = isinstance(error, torch.OutOfMemoryError) or "cuda" in said
        return MemoryFull(device="cuda" if on_card else "cpu").with_traceback_of(error)
    if isinstance(error, (SafetensorError, RuntimeError, OSError)) and any(words in said for words in _NO_SPACE):
        place = folder or Path(tempfile.gettempdir())
        return DiskFull(folder=str(place), free_bytes=shutil.disk_usage(place).free).with_traceback_of(error)
    return Unexpected(detail=f"{type(error).__name__}: {error}"[:1000]).with_traceback_of(error)
