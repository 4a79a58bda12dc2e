"""What each option is expected to change here, by arithmetic on the model's shape. Pure; the lab measures the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from backend.decisions import MOMENT_BYTES, Known, decide, decided, keeps_bf16
from backend.lab.combinations import Combination, hindrance_of
from backend.machine import Machine
from backend.models.shape import Shape, token_bytes
from backend.recipes import longest_of, with_recipe
from backend.specs import RunSpec, value_at

WEIGHT_BYTES = {"none": 4.0, "8bit": 1.0, "4bit": 0.5}
BF16_BYTES = 2.0
LORA_WIDTHS = 18
"""Widths of a usual layer's linear modules, inputs and outputs together: each has so many numbers a rank."""
OPTIONS: dict[str, dict[str, Any]] = {
    "mixed_precision": {"training.precision": "bf16"},
    "half_precision": {"training.precision": "fp16"},
    "tf32": {"speed.tf32": True},
    "optimizer_8bit": {"training.optimizer": "adamw_8bit"},
    "optimizer_paged": {"training.optimizer": "paged_adamw"},
    "checkpointing": {"speed.activation_checkpointing": True},
    "compile": {"speed.compile": "on"},
    "flash": {"speed.attention": "flash_attention_2"},
    "frozen": {"adapting.freeze": "lower", "adapting.adapter": "none", "adapting.quantisation": "none"},
    "lora": {"adapting.adapter": "lora", "adapting.freeze": "none"},
    "lora_8bit": {"adapting.adapter": "lora", "adapting.freeze": "none", "adapting.quantisation": "8bit"},
    "lora_4bit": {"adapting.adapter": "lora", "adapting.freeze": "none", "adapting.quantisation": "4bit"},
}
"""By code, worded under ``option.<code>``: what each sets."""

REMARKS = ("decision.training.optimizer.slow_here", "decision.speed.compile.no_gain_here")


@dataclass(frozen=True)
class Footprint:
    """Bytes that training takes at most, and the arithmetic of a step."""

    weights: float
    gradients: float
    moments: float
    activations: float
    """Of a whole batch of the longest texts; where memory has no room for it, it is computed in parts."""
    work: float
    """Of a step, in forward passes."""

    @property
    def held(self) -> float:
        """Bytes that are taken whatever the batch."""
        return self.weights + self.gradients + self.moments

    @property
    def memory(self) -> float:
        """All bytes together."""
        return self.held + self.activations

    def fits(self, machine: Machine, processes: int) -> bool:
        """Whether the machine has room for what so many processes on it hold."""
        return self.held < room_for_each(machine, processes)


def room_for_each(machine: Machine, processes: int) -> float:
    """Bytes that each of so many processes of a machine has at most: a card of its own, or its part of the memory."""
    return machine.card_memory_bytes or machine.memory_bytes / processes


@dataclass(frozen=True)
class Expectation:
    """What one option changes against the settings as they are, or, where it is on, against being without it."""

    code: str
    on: bool
    hindrance: str
    """Why it cannot be had here: a key of the locales; empty if it can."""
    saved_bytes: float
    """Less than 0: it takes more."""
    work: float
    """Arithmetic of a step as a multiple of what it is without."""
    remark: str = ""
    """What this machine makes of it besides: a key of the locales, or empty."""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def footprint(spec: RunSpec, machine: Machine, shape: Shape) -> Footprint:
    """What a run of this spec is expected to take for each of its processes."""
    spec = with_recipe(spec)
    training, adapting = spec.training, spec.adapting
    decisions = decide(spec, machine, Known(shape.width, shape.parameters, shape.architecture))
    passed = shape.layers
    if adapting.freeze != "none":
        passed = min(adapting.trained_layers, shape.layers) if adapting.freeze == "lower" else 0
    inside = shape.layers * shape.layer_parameters
    trained, learns = shape.parameters if adapting.freeze == "none" else passed * shape.layer_parameters, 1.0
    if adapting.adapter == "lora":
        trained, learns = LORA_WIDTHS * shape.width * adapting.lora_rank * shape.layers, 0.0
    length = longest_of(spec)
    tokens = (training.batch_size or 1) // spec.compute.together * length
    checkpointing = spec.speed.activation_checkpointing
    short = decided(decisions, "training.precision") != "fp32"
    scores = decided(decisions, "speed.attention") == "eager"
    lora = adapting.adapter == "lora"
    each = token_bytes(shape, passed, length, short=short, checkpointing=checkpointing, scores=scores, adapted=lora)
    # What is rounded are the layers; embeddings and head are kept in full precision.
    weights = WEIGHT_BYTES[adapting.quantisation] * inside + WEIGHT_BYTES["none"] * (shape.parameters - inside)
    if keeps_bf16(spec, machine, shape.architecture):
        weights = BF16_BYTES * shape.parameters
    backward = passed / shape.layers
    shards = spec.compute.together if spec.compute.fsdp else 1
    optimizer = decided(decisions, "training.optimizer")
    moment_bytes = MOMENT_BYTES.get(optimizer, 8)
    if optimizer.startswith("paged_") and machine.card_memory_bytes:
        moment_bytes = 0  # what has no room on a card is moved to main memory
    return Footprint(
        weights=weights / shards,
        gradients=4.0 * trained / shards,
        moments=moment_bytes * trained / shards,
        activations=tokens * each,
        # Forward; backward for the inputs and for the weights; and forward again where nothing was kept.
        work=1 + backward * (1 + learns + checkpointing),
    )


def expectations(spec: RunSpec, machine: Machine, shape: Shape) -> list[Expectation]:
    """Every option, in the order of the form."""
    spec = with_recipe(spec)
    found = []
    for code, changes in OPTIONS.items():
        if hindrance := _hindrance(changes, spec, machine, shape.architecture):
            found.append(Expectation(code, on=False, hindrance=hindrance, saved_bytes=0.0, work=1.0))
            continue
        on = all(_value(spec, machine, shape, path) == value for path, value in changes.items())
        neutral = {path: _neutral(path) for path in changes} if on else {}
        without = footprint(Combination(code, neutral).applied(spec), machine, shape)
        chosen = footprint(Combination(code, changes).applied(spec), machine, shape)
        found.append(
            Expectation(
                code,
                on,
                hindrance="",
                saved_bytes=without.memory - chosen.memory,
                work=round(chosen.work / without.work, 3),
                remark=_remark(Combination(code, changes).applied(spec), machine, changes),
            )
        )
    return found


def _hindrance(changes: dict[str, Any], spec: RunSpec, machine: Machine, architecture: str) -> str:
    if "speed.tf32" in changes and not machine.tf32:
        return "decision.speed.tf32.no_card"
    return hindrance_of(changes, spec, machine, architecture)


def _remark(spec: RunSpec, machine: Machine, changes: dict[str, Any]) -> str:
    remarks = (f"decision.{each.setting}.{each.reason}" for each in decide(spec, machine) if each.setting in changes)
    return next((key for key in remarks if key in REMARKS), "")


def _value(spec: RunSpec, machine: Machine, shape: Shape, path: str) -> Any:
    """What a setting becomes: as it is decided, or as it was asked for where nothing decides it."""
    decisions = decide(spec, machine, Known(shape.width, shape.parameters, shape.architecture))
    decision = next((each for each in decisions if each.setting == path), None)
    return decision.value if decision else value_at(spec, path)


def _neutral(path: str) -> Any:
    return {
        "training.precision": "fp32",
        "training.optimizer": "adamw",
        "speed.attention": "sdpa",
        "speed.compile": "off",
    }.get(path, False if path.startswith("speed.") else "none")
