"""Dropout (Srivastava et al. 2014) on a processor at a fifth of its time: the same rule, other random numbers.

torch draws a processor's mask one number at a time (`Tensor.bernoulli_`), on one core, which takes as long as a tenth
of the training step around it. Here numpy's quickest generator makes words of 64 bits, beginning where a number from
torch's generator says, so that torch's alone is seeded, saved and restored. A word is cut into four numbers of 15 bits
each, and what becomes of them are a few passes over short integers. A share p is rounded to 1/32768.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

BITS = 15
NUMBERS_A_WORD = 4
ONE = 0x3F80
"""1.0 as the bits of a bfloat16 number."""


def kept_of(shape: torch.Size, p: float) -> torch.Tensor:
    """A bfloat16 tensor that is 0 with probability ``p`` and else 1, on the processor; torch's generator seeds it."""
    count, threshold = shape.numel(), round(p * (1 << BITS))
    numbers = random_words(-(-count // NUMBERS_A_WORD)).view(torch.int16)[:count].bitwise_and_((1 << BITS) - 1)
    # Below 0, and so all ones when its sign is spread, where the number is at least the threshold.
    signs = numbers.neg_().add_(threshold - 1).bitwise_right_shift_(BITS)
    return signs.bitwise_and_(ONE).view(torch.bfloat16).view(shape)


def random_words(count: int) -> torch.Tensor:
    """So many random numbers, (count,) int64, of all 64 bits; torch's generator draws what they begin with.

    SFC64 (Doty-Humphrey's PractRand) takes half of the time that the generator of torch does, or less.
    """
    begin = int(torch.empty((), dtype=torch.int64).random_())
    every = np.iinfo(np.int64)
    drawn = np.random.Generator(np.random.SFC64(begin)).integers(every.min, every.max, count, np.int64, endpoint=True)
    return torch.from_numpy(drawn)


def noise_of(shape: torch.Size, p: float, dtype: torch.dtype) -> torch.Tensor:
    """What a tensor of this shape is multiplied by: 0 with probability ``p`` and else 1 / (1 - p)."""
    if p == 0.0:
        return torch.ones(shape, dtype=dtype)  # nothing is drawn for it
    kept = kept_of(shape, p).to(dtype)
    return kept.div_(1.0 - p) if p < 1.0 else kept


class _Dropped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, p: float) -> torch.Tensor:
        noise = noise_of(values.shape, p, values.dtype)
        ctx.save_for_backward(noise)
        return values * noise

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        (noise,) = ctx.saved_tensors
        return gradients[0] * noise, None


def drop(values: torch.Tensor, p: float, *, training: bool = True) -> torch.Tensor:
    """What `torch.nn.functional.dropout` does, and on other devices than a processor that itself."""
    if not training or p == 0.0:
        return values
    if values.device.type != "cpu":
        return functional.dropout(values, p)
    apply: Any = _Dropped.apply
    dropped: torch.Tensor = apply(values, p)
    return dropped


class QuickDropout(nn.Dropout):
    """`torch.nn.Dropout` with that."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """The input with a share of its elements zero and the others larger, in training."""
        return drop(input, self.p, training=self.training)


def quicken(model: nn.Module) -> None:
    """Have the model's dropout modules draw that way; outside training, and saved, it is the model that it was."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = QuickDropout
