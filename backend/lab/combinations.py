"""The ways to train that are set beside each other: what each changes in a spec, and whether it can be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backend.architectures import NO_CHECKPOINTING
from backend.decisions import Known, decide
from backend.machine import Machine
from backend.specs import RunSpec, conflicts, settings, value_at

PLAIN: dict[str, Any] = {
    "training.precision": "fp32",
    "training.optimizer": "adamw",
    "training.layer_decay": 1.0,
    "speed.batching": "random",
    "speed.padding": "longest",
    "speed.attention": "auto",
    "speed.activation_checkpointing": False,
    "speed.compile": "off",
    "adapting.freeze": "none",
    "adapting.adapter": "none",
    "adapting.quantisation": "none",
}
"""A script without any optimization."""
_DYNAMIC = {"speed.padding": "dynamic"}
_GROUPED = _DYNAMIC | {"speed.batching": "length_grouped"}
PARTS_OF_A_BATCH = 4


@dataclass(frozen=True)
class Combination:
    """One way to train."""

    code: str
    """Worded in the locales under ``lab.<code>``."""
    changes: dict[str, Any] = field(default_factory=dict)
    """Its values of settings, by path."""
    hindrance: str = ""
    """Why it cannot be tried here: a key of the locales; empty if it can."""
    asked_for: bool = True
    """Whether it is tried when nothing is said: what takes minutes and gains nothing here is not."""

    def applied(self, spec: RunSpec) -> RunSpec:
        """The spec with these values in it."""
        return spec.replaced(**{path.replace(".", "__"): value for path, value in self.changes.items()})


def combinations(spec: RunSpec, machine: Machine, architecture: str = "") -> list[Combination]:
    """All ways, in the order of a textbook; ``spec`` must have its recipe's values (`backend.recipes.with_recipe`).

    Args:
        architecture: the model's ``model_type``; empty: not known.
    """
    short = "fp16" if machine.device == "cuda" and not machine.bf16 else "bf16"
    better = PLAIN | _GROUPED | {"training.optimizer": "adamw_fused"}
    plain = PLAIN | ({"speed.tf32": False} if machine.tf32 else {})  # as torch has it
    mixed = better | {"training.precision": short}
    if hindrance_of(mixed, spec, machine, architecture) == "":
        better = mixed  # else what follows is tried in full precision
    size = spec.training.batch_size or 1
    parts = min(PARTS_OF_A_BATCH, size)
    divided = {"training.batch_size": size // parts, "training.accumulation": spec.training.accumulation * parts}
    ways: dict[str, dict[str, Any]] = {
        "chosen": {},
        "auto": PLAIN
        | {"training.precision": "auto", "training.optimizer": "auto"}
        | {"speed.batching": "auto", "speed.padding": "dynamic", "speed.compile": "auto"},
        "plain": plain,
        "dynamic_padding": plain | _DYNAMIC,
        "length_grouped": plain | _GROUPED,
        "length_split": plain | _GROUPED | {"speed.batching": "length_split"},
        "mixed_precision": mixed,
        "accumulation": better | divided,
        "checkpointing": better | {"speed.activation_checkpointing": True},
        "compile": better | {"speed.compile": "on"},
        "frozen": better | {"adapting.freeze": "lower"},
        "lora": better | {"adapting.adapter": "lora"},
        "optimizer_8bit": better | {"training.optimizer": "adamw_8bit"},
        "lora_4bit": better | {"adapting.adapter": "lora", "adapting.quantisation": "4bit"},
    }
    found = []
    for code, changes in ways.items():
        slow = code in (("compile", "optimizer_8bit") if machine.device == "cpu" else ("length_split",))
        found.append(Combination(code, changes, hindrance_of(changes, spec, machine, architecture), asked_for=not slow))
    return found


def hindrance_of(changes: dict[str, Any], spec: RunSpec, machine: Machine, architecture: str = "") -> str:
    """Why a spec with these changes cannot be trained here: a key of the locales; empty if it can."""
    tried = Combination("", changes).applied(spec)
    if problems := conflicts(tried):
        return problems[0]["rule"]
    if tried.adapting.quantisation != "none" and "bitsandbytes" not in machine.packages:
        return "decision.training.optimizer.no_bitsandbytes"
    if tried.speed.activation_checkpointing and architecture in NO_CHECKPOINTING:
        return "decision.speed.activation_checkpointing.architecture"
    decisions = decide(tried, machine, Known(architecture=architecture))
    refused = next((each for each in decisions if each.refused and each.setting in changes), None)
    if refused is None:
        return ""
    reason = f"no_{refused.asked}" if refused.reason == "impossible" else refused.reason
    return f"decision.{refused.setting}.{reason}"


def differences(spec: RunSpec, other: RunSpec) -> dict[str, Any]:
    """The settings of training in which the other spec differs: its values by path."""
    paths = [s.path for s in settings() if s.section in ("training", "speed", "adapting")]
    return {path: value_at(other, path) for path in paths if value_at(other, path) != value_at(spec, path)}
