"""torch.compile for training: the layers of a model, which share one compiled code.

A whole model is compiled in minutes, one of its layers in seconds, and what lies outside them is little ("regional
compilation" in PyTorch's documentation). The code is made for any number of texts and tokens at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from backend.training.layers import body_of, layer_stacks


def compile_layers(model: Any, *, passing_over: bool = False) -> None:
    """Have the layers compiled when they are first called; the whole model where there are none to be found.

    Args:
        passing_over: what cannot be compiled is called as it is written, which the log says; `codes_made` has not
            grown then. Each layer is tried, and each function in it, which takes minutes where nothing can be.
            Otherwise the call fails (`is_compile_error`).
    """
    from torch import _dynamo  # a second of imports, which a run that compiles nothing is spared

    _dynamo.config.suppress_errors = passing_over
    layers = [layer for stack in layer_stacks(body_of(model)) for layer in stack]
    for module in layers or [model]:
        module.compile(dynamic=True)


def codes_made() -> int:
    """How many pieces of code have been made in this process."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


def is_compile_error(error: Exception) -> bool:
    """Whether it is the compiler that failed, and not what was compiled."""
    from torch._dynamo.exc import TorchDynamoException

    return isinstance(error, TorchDynamoException)


def is_compiled(model: Any) -> bool:
    """Whether `compile_layers` was there."""
    return any(module._compiled_call_impl is not None for module in model.modules())


def leave_layers(model: Any) -> None:
    """Have the layers called as they are written again."""
    for module in model.modules():
        module._compiled_call_impl = None


@contextmanager
def as_written(model: Any) -> Iterator[None]:
    """Meanwhile the layers are called as they are written: for passes that are not worth a code of their own."""
    if not is_compiled(model):
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
