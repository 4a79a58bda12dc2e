"""Memory that is too small: telling such an error from others, and giving back what is held for nothing."""

from __future__ import annotations

import gc
from typing import Any

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


def release_memory() -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
