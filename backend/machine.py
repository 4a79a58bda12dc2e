"""What this machine can compute with, found out without torch: screens, commands and the worker all ask here."""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from backend.control_groups import allowed_memory, allowed_processors, left_memory
from backend.errors import TooManyProcesses
from backend.specs import ComputeSpec

NVIDIA_TIMEOUT_S = 5.0
AMPERE = 8.0
"""Compute capability from which NVIDIA's cards have bf16 and tf32."""


@dataclass(frozen=True)
class Machine:
    """One machine, as the choice of options sees it."""

    device: str
    """``cuda``, ``mps`` or ``cpu``: what models are put on."""
    processor: str
    cores: int
    """Physical ones that this process may use."""
    memory_bytes: int
    """Of the machine, or less where a control group allows less."""
    bf16: bool
    """Whether the device multiplies bf16 numbers in hardware."""
    amx: bool = False
    """Whether the processor has Intel's matrix unit."""
    card: str = ""
    card_memory_bytes: int = 0
    cards: int = 0
    """NVIDIA's that this process may use; the other fields speak of the first."""
    capability: float = 0.0
    """NVIDIA's compute capability."""
    packages: tuple[str, ...] = ()
    """Those of `OPTIONAL_PACKAGES` that are installed."""
    compiles: bool = False
    """Whether there is what torch.compile makes code with: a C compiler, and for a card Triton."""

    @property
    def tf32(self) -> bool:
        """Whether the card can shorten the products of fp32 numbers."""
        return self.device == "cuda" and self.capability >= AMPERE

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


COMPILERS = ("g++", "c++", "clang++", "cl")
OPTIONAL_PACKAGES = ("bitsandbytes", "flash_attn", "peft", "tensorboard", "wandb", "mlflow", "trackio")


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    cards, card, card_memory, capability = _nvidia_cards()
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    device = "cuda" if card else "mps" if apple else "cpu"
    return Machine(
        device=device,
        processor=_processor_name(),
        cores=usable_cores(),
        memory_bytes=usable_memory(),
        bf16=capability >= AMPERE if device == "cuda" else device == "cpu" and _processor_has_bf16(),
        amx="amx_bf16" in _processor_flags(),
        card=card,
        card_memory_bytes=card_memory,
        cards=cards,
        capability=capability,
        packages=tuple(name for name in OPTIONAL_PACKAGES if importlib.util.find_spec(name)),
        compiles=_has_compiler() and (device != "cuda" or importlib.util.find_spec("triton") is not None),
    )


def usable_cores() -> int:
    """Physical cores that this process may use."""
    usable = usable_threads()
    return max(1, min(usable, psutil.cpu_count(logical=False) or usable))


def threads_each(processes: int) -> int:
    """How many threads each of so many processes has on this machine: a core for each, or as few as the environment
    allows by ``OMP_NUM_THREADS``, which torch alone would read."""
    allowed = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    each = max(1, usable_cores() // processes)
    return min(each, int(allowed)) if allowed.isdecimal() and int(allowed) else each


def most_processes(machine: Machine) -> int:
    """How many processes can share a run here: one for each card; without any, one for each thread of the processor,
    and two at any rate."""
    return max(1, machine.cards) if machine.device == "cuda" else max(2, usable_threads())


def machine_for(compute: ComputeSpec) -> Machine:
    """This machine as a run uses it that may leave its card alone."""
    return without_card(this_machine()) if compute.device == "cpu" else this_machine()


def check_processes(compute: ComputeSpec) -> None:
    """Whether so many processes can share a run on this machine.

    Raises:
        TooManyProcesses: it has fewer cards, or threads where it has none.
    """
    asked, machine = compute.processes, machine_for(compute)
    if asked > 1 and asked > (most := most_processes(machine)):
        raise TooManyProcesses(asked=asked, most=most, device=machine.device)


def usable_threads() -> int:
    """Threads of the processor that this process may use, or as many as a control group gives it the time of."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = allowed_processors()
    return there if math.isinf(allowed) else max(1, min(there, math.ceil(allowed)))


def usable_memory() -> int:
    """Bytes of the machine's memory, or fewer where a control group allows fewer."""
    return min(psutil.virtual_memory().total, allowed_memory())


def available_memory() -> int:
    """Bytes that can still be had without swapping, of the machine or of what a control group allows."""
    return min(psutil.virtual_memory().available, left_memory())


def without_card(machine: Machine, device: str = "cpu") -> Machine:
    """The same machine where the graphics card is of no use: what runs on ``device`` then."""
    bf16 = device == "cpu" and _processor_has_bf16()
    return replace(machine, device=device, bf16=bf16, card="", card_memory_bytes=0, cards=0, capability=0.0)


def _has_compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), *COMPILERS) if name)


def _processor_has_bf16() -> bool:
    return bool({"avx512_bf16", "amx_bf16"} & _processor_flags())


def _nvidia_cards() -> tuple[int, str, int, float]:
    """How many cards this process may use; and of the first name, bytes and compute capability, empty without any."""
    program, visible = shutil.which("nvidia-smi"), _visible_cards()
    if not program or visible == [] or not _torch_knows_cards():
        return 0, "", 0, 0.0
    fields = ["--query-gpu=name,memory.total,compute_cap", "--format=csv,noheader,nounits"]
    try:
        told = _ask([program, f"--id={visible[0] if visible else 0}", *fields])
        name, memory, capability = (part.strip() for part in told.strip().splitlines()[0].rsplit(",", 2))
        card = name, int(memory) << 20, float(capability)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # a driver without a card, or a broken one
        return 0, "", 0, 0.0
    try:
        there = len([line for line in _ask([program, "--list-gpus"]).splitlines() if line.startswith("GPU ")])
    except (OSError, subprocess.SubprocessError):  # another card may be broken: the first is not
        there = 1
    usable = [one for one in visible or map(str, range(there)) if not one.isdigit() or int(one) < there]
    return max(1, len(usable)), *card


def _visible_cards() -> list[str] | None:
    """The cards that CUDA would see, by number or name; None where nobody has chosen among them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return None
    named = itertools.takewhile(lambda one: one not in ("", "-1"), (part.strip() for part in chosen.split(",")))
    return list(dict.fromkeys(named))


def _torch_knows_cards() -> bool:
    """Whether torch is a build that can use a card, by its version: ``2.13.0+cpu`` cannot."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False


def _ask(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=NVIDIA_TIMEOUT_S, check=True).stdout


def _processor_flags() -> set[str]:
    try:
        return set(_cpuinfo().split("flags", 2)[1].split("\n", 1)[0].split())
    except IndexError:  # described otherwise
        return set()


def _processor_name() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@cache
def _cpuinfo() -> str:
    try:
        return Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:  # no Linux
        return ""
