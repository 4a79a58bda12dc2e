"""What control groups (Linux, versions 1 and 2), of which containers are made, allow this process of memory and
processors.

Where there are none, or none of them has a limit, everything is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

NO_LIMIT = 1 << 62
_FILES = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
"""By version: the files that hold limit and use."""
_KEPT = {2: ("inactive_file", "active_file"), 1: ("total_inactive_file", "total_active_file")}
"""What ``memory.stat`` calls the part of the use that is kept of files."""


def allowed_memory(root: Path = Path("/")) -> int:
    """Bytes that this process's groups let it have at most.

    Args:
        root: of the file system.
    """
    return min((limit for limit, _used in _groups(root)), default=NO_LIMIT)


def left_memory(root: Path = Path("/")) -> int:
    """Bytes that are left of that. What is kept of files is let go when memory is short, so it does not count.

    Args:
        root: of the file system.
    """
    return max(0, min((limit - used for limit, used in _groups(root)), default=NO_LIMIT))


def allowed_processors(root: Path = Path("/")) -> float:
    """Of how many processors this process's groups let it have the time at most; infinite where nothing limits it.

    Args:
        root: of the file system.
    """
    shares = (_processors_of(folder, version) for folder, version in _folders(root, "cpu"))
    return min((share for share in shares if share is not None), default=math.inf)


def _groups(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of the memory of each group that has a limit."""
    for folder, version in _folders(root, "memory"):
        if known := _memory_of(folder, version):
            yield known


def _folders(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """The groups that this process is in, its own and those above it, with their version."""
    try:
        lines = (root / "proc/self/cgroup").read_text("ascii").splitlines()
    except (OSError, ValueError):  # no Linux
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            version, top = 2, root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            version, top = 1, root / "sys/fs/cgroup" / controller
        else:
            continue
        # Within a container the path may be that of the system outside: then only the top is there.
        own = top / path.lstrip("/")
        for folder in (own, *own.parents):
            if folder != top and top not in folder.parents:
                break
            yield folder, version


def _memory_of(folder: Path, version: int) -> tuple[int, int] | None:
    """Limit and use of a group, as far as it tells; None where it has no limit, or is not there."""
    limited, used = (_number(folder / name) for name in _FILES[version])
    if limited is None:
        return None
    try:
        told = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    except (OSError, ValueError):  # not every sandbox has it
        told = {}
    return limited, (used or 0) - sum(int(told.get(name, 0)) for name in _KEPT[version])


def _processors_of(folder: Path, version: int) -> float | None:
    """The processors of which a group may have the time; None where it has no limit, or is not there."""
    if version == 1:
        quota, period = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    else:
        try:
            told = (folder / "cpu.max").read_text("ascii").split()
            quota, period = int(told[0]), int(told[1])
        except (OSError, ValueError, IndexError):  # "max" is no number
            return None
    return quota / period if quota and period and quota > 0 else None


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text("ascii"))
    except (OSError, ValueError):  # "max" is no number
        return None
