"""Loading what takes seconds to import, and leaving out what is not needed."""

from __future__ import annotations

import gc
import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def without_collecting() -> Iterator[None]:
    """Import, or build what lasts, within the block: Python's cycle collector waits until it is over.

    Each of its passes goes over all that is loaded so far and finds it in use, which is a quarter of the time that
    torch and Transformers take to import. On leaving, what is there counts as permanent (`gc.freeze`) and is not gone
    over later either: of what other threads hold then, only what refers to itself in a circle is never let go.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def leave_out(package: str) -> None:
    """Have a package that is not loaded yet count as not installed in this process, which has no use for it.

    Libraries load what others they find, needed or not: Transformers' Trainer peft, and peft bitsandbytes and torch's
    compiler, which is a sixth of the time that a run's process takes to import and 50 MB of its memory. None among the
    loaded modules means so by Python's own rule ("The module cache" in its reference of the import system).
    """
    sys.modules.setdefault(package, cast(ModuleType, None))


def load_in_background(modules: tuple[str, ...]) -> threading.Thread:
    """Begin to import ``modules``; whoever needs them joins the thread and imports them again, at no cost."""

    def load() -> None:
        with without_collecting():
            for module in modules:
                importlib.import_module(module)

    thread = threading.Thread(target=load, name="imports", daemon=True)
    thread.start()
    return thread
