"""Which number format a run computes in. Weights are always kept in full precision; only products are shortened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

SMALLEST_WIDTH_FOR_BF16 = 256
"""Below this model width a processor stays in fp32. Measured with avx512_bf16, one thread, time of a training step in
fp32 and bf16: 128 wide 56 and 45 ms, 256 wide 447 and 271, 384 wide 655 and 417, 768 wide 1710 and 934. Models below
are small enough to be quick anyway, and full precision is one difference less between training and use."""


@dataclass(frozen=True)
class ChosenPrecision:
    """The format to use and, where that is not what was asked, what was."""

    name: Literal["fp32", "bf16", "fp16"]
    refused: str | None = None


def choose_precision(asked: str, device: torch.device, width: int) -> ChosenPrecision:
    """The format for a model ``width`` units wide: what was asked if the device can do it, for ``auto`` the fastest."""
    possible = _possible(device)
    if asked == "auto":
        worth_it = device.type == "cuda" or width >= SMALLEST_WIDTH_FOR_BF16
        return ChosenPrecision("bf16" if "bf16" in possible and worth_it else "fp32")
    if asked == "bf16" and "bf16" in possible:
        return ChosenPrecision("bf16")
    if asked == "fp16" and "fp16" in possible:
        return ChosenPrecision("fp16")
    return ChosenPrecision("fp32", refused=None if asked == "fp32" else asked)


def _possible(device: torch.device) -> set[str]:
    if device.type == "cuda":
        return {"fp16", "bf16"} if torch.cuda.is_bf16_supported(including_emulation=False) else {"fp16"}
    return {"bf16"} if device.type == "cpu" and _processor_has_bf16() else set()


def _processor_has_bf16() -> bool:
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", "replace").split("flags", 2)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):  # no Linux, or a processor that is described otherwise
        return False
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))
