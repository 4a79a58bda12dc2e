"""What other programs take of the processors while something is measured."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psutil

from backend.machine import usable_threads

WORTH_A_WORD = 0.1
"""Of the processors' time: with less a measurement is as good as alone."""


class Others:
    """All programs but this one and what it has started, from now on."""

    def __init__(self) -> None:
        self._busy, self._whole = _machine()
        self._own = _own()

    @property
    def share(self) -> float:
        """Of the time of all processors, from 0 to 1; 0 where only some of them are for this process: what goes on on
        the others is nothing to it."""
        if usable_threads() < (psutil.cpu_count() or 1):
            return 0.0
        busy, whole = _machine()
        theirs = (busy - self._busy) - (_own() - self._own)
        return min(1.0, max(0.0, theirs / (whole - self._whole))) if whole > self._whole else 0.0


def telling_share(figures: Mapping[str, Any]) -> float:
    """What others took while these figures were measured, where it is worth a word; else 0."""
    share = float(figures.get("others_share", 0.0))  # not measured by earlier versions
    return share if share >= WORTH_A_WORD else 0.0


def _machine() -> tuple[float, float]:
    """Seconds in which the processors computed, and all of them."""
    times = psutil.cpu_times()
    busy = sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq"))
    waited = sum(getattr(times, name, 0.0) for name in ("idle", "iowait"))
    return busy, busy + waited


def _own() -> float:
    process = psutil.Process()
    seconds = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has ended: its parent has its time
            seconds += sum(each.cpu_times()[:4])  # user and system, and of its own that have ended
    return seconds
