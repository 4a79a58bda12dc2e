"""Auto: what every option that was left open becomes, with the reason. One table for the form, ``doctor`` and the run.

Reasons are codes, worded in the locales under ``decision.<setting>.<reason>``; an option that was asked for and that
this machine cannot do becomes what comes nearest, and that is a decision too. Figures in comments were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.machine import Machine
from backend.recipes import USUAL_RATE, USUAL_WIDTH, fitting_rate, recipe_for
from backend.specs import STARTER, RunSpec

MOMENT_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1, "adafactor": 0, "sgd": 0}
"""That an optimizer keeps for each trained weight; AdamW's two in full precision: 8."""
ADAMW_BYTES = 16
"""A trained weight with its gradient and AdamW's two moments, all in full precision."""
MOST_FOR_STATES = 0.6
"""Of a card's memory: with more the activations, for which it is not counted, would find little room."""
SMALLEST_WIDTH_FOR_BF16 = 256
"""Below this model width a processor stays in fp32. Measured with avx512_bf16, one thread, time of a training step in
fp32 and bf16: 128 wide 56 and 45 ms, 256 wide 447 and 271, 384 wide 655 and 417, 768 wide 1710 and 934. Models below
are small enough to be quick anyway, and full precision is one difference less between training and use."""
STARTER_WIDTH = 128


@dataclass(frozen=True)
class Decision:
    """What a setting becomes."""

    setting: str
    """Its path: ``training.precision``."""
    asked: Any
    value: Any
    reason: str
    facts: dict[str, Any] = field(default_factory=dict)
    refused: bool = False
    """What was asked for cannot be had here."""

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def decide(spec: RunSpec, machine: Machine, width: int | None = None, parameters: int | None = None) -> list[Decision]:
    """Every option that depends on the machine, in the order of the form.

    Args:
        width: of the model's hidden states, where it is known; a pretrained model is taken to be wide.
        parameters: how many the model has, where it is known.
    """
    wide = width if width is not None else STARTER_WIDTH if spec.model.base == STARTER else SMALLEST_WIDTH_FOR_BF16
    precision = _precision(spec, machine, wide)
    return [
        precision,
        _tf32(spec, machine),
        _batching(spec, machine),
        _attention(spec, machine, precision.value),
        _optimizer(spec, machine, parameters or 0),
        _compile(spec, machine),
        _max_length(spec),
        _learning_rate(spec, width),
    ]


def decided(decisions: Sequence[Decision], path: str) -> Any:
    """What the setting with this path becomes."""
    return next(decision.value for decision in decisions if decision.setting == path)


def _precision(spec: RunSpec, machine: Machine, width: int) -> Decision:
    path, asked = "training.precision", spec.training.precision
    possible = {"fp32"} | ({"bf16"} if machine.bf16 else set()) | ({"fp16"} if machine.device == "cuda" else set())
    if asked != "auto" and asked in possible:
        return Decision(path, asked, asked, "asked")
    if asked != "auto":
        return Decision(path, asked, "fp32", "impossible", {"asked": asked}, refused=True)
    if not machine.bf16:
        return Decision(path, asked, "fp32", "no_bf16")
    if machine.device == "cpu" and width < SMALLEST_WIDTH_FOR_BF16:
        return Decision(path, asked, "fp32", "small_model")
    return Decision(path, asked, "bf16", "has_bf16")


def _tf32(spec: RunSpec, machine: Machine) -> Decision:
    asked = spec.speed.tf32
    if not machine.tf32:
        return Decision("speed.tf32", asked, False, "no_card")
    return Decision("speed.tf32", asked, asked, "has_tf32" if asked else "asked")


def _batching(spec: RunSpec, machine: Machine) -> Decision:
    asked, speed = spec.speed.batching, spec.speed
    if asked != "auto":
        return Decision("speed.batching", asked, asked, "asked")
    # On a processor a part costs little, and the steps are the plain script's: nothing is lost for the speed. A card
    # would idle in small parts, as a processor does with the small starter; compiled code is made for each shape; and
    # of a model in shards each part needs every process.
    whole = not spec.compute.fsdp and spec.model.base != STARTER
    if machine.device == "cpu" and not speed.compile and speed.padding == "dynamic" and whole:
        return Decision("speed.batching", asked, "length_split", "random_and_short")
    return Decision("speed.batching", asked, "length_grouped", "pads_least")


def _attention(spec: RunSpec, machine: Machine, precision: str) -> Decision:
    path, asked = "speed.attention", spec.speed.attention
    if asked == "flash_attention_2":
        flash = "flash_attn" in machine.packages and machine.tf32 and precision in ("bf16", "fp16")
        if flash:
            return Decision(path, asked, asked, "asked")
        return Decision(path, asked, "sdpa", "no_flash", refused=True)
    if asked != "auto":
        return Decision(path, asked, asked, "asked")
    if machine.device == "cpu":
        # In training, with dropout, sdpa has no fast path on a processor: it is eager with more copies.
        return Decision(path, asked, "eager", "processor")
    return Decision(path, asked, "sdpa", "fused")


def _optimizer(spec: RunSpec, machine: Machine, parameters: int) -> Decision:
    path, asked = "training.optimizer", spec.training.optimizer
    needs_package = asked in ("adamw_8bit", "paged_adamw_8bit", "paged_adamw", "lion_8bit")
    if needs_package and "bitsandbytes" not in machine.packages:
        return Decision(path, asked, "adamw_fused", "no_bitsandbytes", refused=True)
    if needs_package and machine.device == "cpu":
        return Decision(path, asked, asked, "slow_here")
    if asked != "auto":
        return Decision(path, asked, asked, "asked")
    whole = spec.adapting.adapter == "none" and spec.adapting.freeze == "none" and not spec.compute.fsdp
    if machine.card_memory_bytes and whole and "bitsandbytes" in machine.packages:
        share = ADAMW_BYTES * parameters / machine.card_memory_bytes
        if share > MOST_FOR_STATES:
            return Decision(path, asked, "adamw_8bit", "saves_memory", {"percent": round(100 * share)})
    return Decision(path, asked, "adamw_fused", "one_pass")


def _max_length(spec: RunSpec) -> Decision:
    path, asked = "training.max_length", spec.training.max_length
    if asked is None and spec.model.base == STARTER:
        return Decision(path, asked, recipe_for(STARTER).max_length, "short_is_enough")
    # What it becomes is told when the texts have been counted in the model's tokens.
    return Decision(path, asked, asked, "by_texts" if asked is None else "asked")


def _learning_rate(spec: RunSpec, width: int | None) -> Decision:
    path, asked = "training.learning_rate", spec.training.learning_rate
    if asked is not None:
        return Decision(path, asked, asked, "asked")
    if spec.model.base == STARTER:
        return Decision(path, asked, recipe_for(STARTER).learning_rate, "starter")
    if spec.adapting.adapter == "lora":
        return Decision(path, asked, fitting_rate(USUAL_WIDTH, "lora"), "lora")
    if width is None:
        return Decision(path, asked, None, "by_width", {"usual": f"{USUAL_RATE:g}", "width": USUAL_WIDTH})
    value = fitting_rate(width, spec.adapting.adapter)
    return Decision(path, asked, value, "narrow" if value > USUAL_RATE else "usual", {"width": width})


def _compile(spec: RunSpec, machine: Machine) -> Decision:
    asked = spec.speed.compile
    if asked and machine.device == "cpu":
        return Decision("speed.compile", asked, asked, "no_gain_here")
    return Decision("speed.compile", asked, asked, "asked" if asked else "off")
