"""Memory that is too small: telling such an error from others, and giving back what is held for nothing."""

from __future__ import annotations

import gc

import torch

_NO_MEMORY = ("defaultcpuallocator", "can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")
_NO_KERNEL = "could not create a primitive"
"""All that oneDNN says where it finds no memory for its kernel; of an operation it cannot do it says more."""


def is_memory_error(error: BaseException) -> bool:
    """Whether the error says that memory is too small, of a card or of the machine."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = str(error).lower()
    no_room = said == _NO_KERNEL or any(words in said for words in _NO_MEMORY)
    return isinstance(error, (RuntimeError, OSError)) and no_room


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
