"""What can be done about a run that failed: changes of its settings, each of which is one click away from a new run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backend.architectures import NO_CHECKPOINTING
from backend.errors import LossNotFinite, MemoryFull, MemoryKilled, ProcessKilled, ProcessOverdue, RunLost, StudioError
from backend.recipes import longest_of, recipe_for, with_recipe
from backend.specs import STARTER, RunSpec, conflicts, value_at

USUAL_GRADIENT_NORM = 1.0
SHORTEST_MAX_LENGTH = 64


@dataclass(frozen=True)
class Remedy:
    """One way to start the run again."""

    code: str
    """Worded under ``remedy.<code>``."""
    changes: dict[str, Any]
    """Settings by path; empty: the same run again."""


def cause_of_nan(*, precision: str, clipped: bool, learning_rate: float, usual_rate: float) -> str:
    """The likeliest reason for a loss that is not finite: ``fp16``, ``no_clipping``, ``learning_rate`` or ``bf16``.

    What is trained is always kept in full precision, so what is left is the range of fp16, steps that are too long,
    and, where the steps are no longer than usual, the rounding of bf16.
    """
    if precision == "fp16":
        return "fp16"
    if not clipped:
        return "no_clipping"
    return "bf16" if precision == "bf16" and learning_rate <= usual_rate else "learning_rate"


def remedies(error: StudioError, spec: RunSpec, *, length: int | None = None, architecture: str = "") -> list[Remedy]:
    """What to try against the error, the likeliest first; empty where the settings are not to blame.

    Args:
        length: what the maximum length became in the run; None: it had not come so far.
        architecture: the base model's ``model_type``; empty where nothing tells it.
    """
    if isinstance(error, LossNotFinite):
        found = _against_nan(error, spec)
    elif isinstance(error, MemoryFull | MemoryKilled):
        found = _against_full_memory(spec, length or longest_of(spec), architecture)
    elif isinstance(error, ProcessKilled | ProcessOverdue | RunLost):
        found = [Remedy("again", {})]
    else:
        found = []
    return [remedy for remedy in found if not conflicts(changed(spec, remedy))]


def changed(spec: RunSpec, remedy: Remedy) -> RunSpec:
    """The spec with the remedy in it."""
    return spec.replaced(**{path.replace(".", "__"): value for path, value in remedy.changes.items()})


def _against_nan(error: LossNotFinite, spec: RunSpec) -> list[Remedy]:
    slower = _slower(error, spec)
    clipping = Remedy("clipping", {"training.max_gradient_norm": USUAL_GRADIENT_NORM})
    exact = Remedy("precision", {"training.precision": "fp32"})
    return {
        "fp16": [exact, *slower],
        "no_clipping": [clipping, *slower],
        "bf16": [exact, *slower],
    }.get(error.cause, slower)


def _slower(error: LossNotFinite, spec: RunSpec) -> list[Remedy]:
    """A tenth of the learning rate; nothing where that is not known."""
    # The rate of the schedule at that step is smaller than what it rises to: in a warmup by far, at its first step 0.
    asked = spec.training.learning_rate or recipe_for(spec.model.base, spec.training.optimizer).learning_rate or 0.0
    rate = max(error.learning_rate, error.highest_rate, asked)
    return [Remedy("learning_rate", {"training.learning_rate": float(f"{rate / 10:.3g}")})] if rate else []


def _against_full_memory(spec: RunSpec, length: int, architecture: str) -> list[Remedy]:
    ways, shorter = [], max(SHORTEST_MAX_LENGTH, length // 2)
    if spec.compute.fsdp:  # without shards a process divides its batches by itself
        batch = with_recipe(spec).training.batch_size or 1
        smaller = {"training.batch_size": batch // 2, "training.accumulation": 2 * spec.training.accumulation}
        ways += [Remedy("accumulation", smaller)] if batch >= 2 * spec.compute.together else []
    ways += [
        Remedy("shards", {"compute.fsdp": True}),
        Remedy("checkpointing", {"speed.activation_checkpointing": True}),
        Remedy("lora", {"adapting.adapter": "lora", "adapting.freeze": "none", "training.layer_decay": 1.0}),
        Remedy("four_bits", {"adapting.adapter": "lora", "adapting.quantisation": "4bit", "adapting.freeze": "none"}),
        Remedy("shorter", {"training.max_length": shorter}),
    ]
    impossible = {
        "lora": spec.model.base == STARTER,
        "four_bits": spec.model.base == STARTER,
        "checkpointing": architecture in NO_CHECKPOINTING,
        "shorter": shorter >= length,
    }
    possible = [way for way in ways if not impossible.get(way.code)]
    return [way for way in possible if any(value_at(spec, path) != value for path, value in way.changes.items())]
