"""What the system says, as typed errors: the one seam for full disks and memory at its end."""

from __future__ import annotations

import errno
import shutil
import sqlite3
from pathlib import Path

from backend.errors.base import StudioError
from backend.errors.runs import DiskFull, MemoryFull


def typed_error(error: Exception, folder: Path) -> StudioError | None:
    """The typed error for what the system says about ``folder``: a full disk, memory at its end; None for the rest."""
    if isinstance(error, StudioError):
        return error
    if _says_disk_full(error):
        return DiskFull(folder=str(folder), free_bytes=shutil.disk_usage(folder).free).with_traceback_of(error)
    if isinstance(error, MemoryError):
        return MemoryFull(device="cpu").with_traceback_of(error)
    return None


def _says_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode == sqlite3.SQLITE_FULL
