"""Memory that is too small: telling such an error from others, and giving back what is held for nothing."""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

import torch

_NO_MEMORY = ("defaultcpuallocator", "can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")
_NO_KERNEL = "could not create a primitive"
"""All that oneDNN says where it finds no memory for its kernel; of an operation it cannot do it says more."""

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""What mallopt(3) calls how much free memory is kept (-1: all), and how many pieces the system is asked for singly."""


def is_memory_error(error: BaseException) -> bool:
    """Whether the error says that memory is too small, of a card or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    no_room = said == _NO_KERNEL or any(words in said for words in _NO_MEMORY)
    return isinstance(error, (RuntimeError, OSError)) and no_room


def bring(model: Any, device: torch.device) -> bool:
    """Put the model on the device; where that has no room for it, it stays on the processor and the answer is no."""
    release_memory()
    try:
        model.to(device)
        return True
    except RuntimeError as error:
        if not is_memory_error(error):
            raise
    model.to("cpu")
    release_memory()
    return False


def keep_memory() -> None:
    """Have this process keep what it frees for what it computes next, until `release_memory` is called.

    glibc gives large pieces back to the system at once. Each of a step's results is then written to new pages, which
    the system has to bring first, a page at a time: 22,000 times in a step of 1,600 tokens of width 768, a seventh of
    its time. Elsewhere than with glibc nothing is changed.
    """
    _tell_allocator("mallopt", M_MMAP_MAX, 0)
    _tell_allocator("mallopt", M_TRIM_THRESHOLD, -1)


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    _tell_allocator("malloc_trim", 0)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _tell_allocator(name: str, *values: int) -> None:
    """Call the function of glibc's allocator (mallopt(3), malloc_trim(3)), where that is the allocator."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), name):
        getattr(library, name)(*values)
