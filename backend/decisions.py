"""Auto: what every option that was left open becomes, with the reason. One table for the form, ``doctor`` and the run.

Reasons are codes, worded in the locales under ``decision.<setting>.<reason>``; an option that was asked for and that
this machine cannot do becomes what comes nearest, and that is a decision too. Figures in comments were measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from backend.architectures import NEEDS_FP32, OWN_ATTENTION
from backend.machine import Machine
from backend.recipes import (
    SGD_RATE,
    SGD_RATE_UNCLIPPED,
    USUAL_RATE,
    USUAL_WIDTH,
    fitting_rate,
    longest_of,
    recipe_for,
)
from backend.specs import STARTER, RunSpec, value_at

MOMENT_BYTES = {"adamw_8bit": 2, "paged_adamw_8bit": 2, "lion_8bit": 1, "adafactor": 0, "sgd": 0}
"""That an optimizer keeps for each trained weight; AdamW's two in full precision: 8."""
ADAMW_BYTES = 16
"""A trained weight with its gradient and AdamW's two moments, all in full precision."""
LONG_WORK = 5e16
"""Floating-point operations from which layers are compiled: minutes of training even on the fastest card. On an H100
compiling bert-base's took 20 s, the first three steps with it, after which a step took 0.148 s instead of 0.330."""
MOST_FOR_STATES = 0.6
"""Of a card's memory: with more the activations, for which it is not counted, would find little room."""
SMALLEST_WIDTH_FOR_BF16 = 128
"""Below this model width a processor stays in fp32. Measured with avx512_bf16, one thread, time of a training step in
fp32 and bf16: 128 wide 56 and 45 ms, 256 wide 447 and 271, 384 wide 655 and 417, 768 wide 1710 and 934. The starter,
128 wide, learns waimai_10k at 405 and 601 texts a second. Narrower models are quick anyway."""
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


@dataclass(frozen=True)
class Known:
    """What is known of the model and the texts when options are decided; None: nothing yet."""

    width: int | None = None
    """Of the model's hidden states; without it a pretrained model is taken to be wide."""
    parameters: int | None = None
    architecture: str = ""
    """Its ``model_type``; empty: not known."""
    tokens: int | None = None
    """That are learned from in all epochs together."""

    @property
    def work(self) -> float | None:
        """Floating-point operations of the training: six for each token and parameter (Kaplan et al. 2020)."""
        return None if self.parameters is None or self.tokens is None else 6.0 * self.parameters * self.tokens


NOTHING_KNOWN = Known()
_NOTHING_ASKED = RunSpec()


def decide(spec: RunSpec, machine: Machine, known: Known = NOTHING_KNOWN) -> list[Decision]:
    """Every option that depends on the machine, in the order of the form."""
    width = known.width
    wide = width if width is not None else STARTER_WIDTH if spec.model.base == STARTER else SMALLEST_WIDTH_FOR_BF16
    precision = _precision(spec, machine, wide, known.architecture)
    optimizer = _optimizer(spec, machine, known.parameters or 0)
    return [
        precision,
        _tf32(spec, machine),
        _batching(spec, machine),
        _attention(spec, machine, precision.value, known.architecture),
        optimizer,
        _compile(spec, machine, known),
        _max_length(spec),
        _learning_rate(spec, width, optimizer.value),
        *_usual(spec),
    ]


def keeps_bf16(spec: RunSpec, machine: Machine, architecture: str) -> bool:
    """Whether a model is loaded in bf16: where its own weights stay as they are and a card computes in bf16.

    There the products would copy them to bf16 in every pass; what is trained is kept in full precision in any case.
    """
    precision = _precision(spec, machine, USUAL_WIDTH, architecture)
    return _keeps_its_weights(spec) and machine.device == "cuda" and precision.value == "bf16"


def _keeps_its_weights(spec: RunSpec) -> bool:
    """Whether a model's own weights stay as they are, in as many bits as they have."""
    return spec.adapting.adapter == "lora" and spec.adapting.quantisation == "none"


def decided(decisions: Sequence[Decision], path: str) -> Any:
    """What the setting with this path becomes."""
    return next(decision.value for decision in decisions if decision.setting == path)


def _precision(spec: RunSpec, machine: Machine, width: int, architecture: str) -> Decision:
    path, asked = "training.precision", spec.training.precision
    if architecture in NEEDS_FP32 and asked != "fp32":
        facts = {"architecture": architecture}
        return Decision(path, asked, "fp32", "architecture", facts, refused=asked != "auto")
    possible = {"fp32"} | ({"bf16"} if machine.bf16 else set()) | ({"fp16"} if machine.device == "cuda" else set())
    if asked != "auto" and asked in possible:
        return Decision(path, asked, asked, "asked")
    if asked != "auto":
        return Decision(path, asked, "fp32", "impossible", {"asked": asked}, refused=True)
    if not machine.bf16:
        return Decision(path, asked, "fp32", "no_bf16")
    if machine.device == "cpu" and width < SMALLEST_WIDTH_FOR_BF16:
        return Decision(path, asked, "fp32", "small_model")
    frozen = machine.device == "cuda" and _keeps_its_weights(spec)
    return Decision(path, asked, "bf16", "has_bf16_base" if frozen else "has_bf16")


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
    if machine.device == "cpu" and speed.compile != "on" and speed.padding == "dynamic" and whole:
        return Decision("speed.batching", asked, "length_split", "random_and_short")
    return Decision("speed.batching", asked, "length_grouped", "pads_least")


def _usual(spec: RunSpec) -> list[Decision]:
    """Switches that Auto leaves as they are everywhere, because of how batches are made and computed here."""
    training, speed = spec.training, spec.speed
    asked = {
        "training.accumulation": training.accumulation,
        "speed.padding": speed.padding,
        "speed.activation_checkpointing": speed.activation_checkpointing,
        "speed.workers": speed.workers,
    }
    left = {path: value_at(_NOTHING_ASKED, path) for path in asked}
    return [Decision(path, value, value, "usual" if value == left[path] else "asked") for path, value in asked.items()]


def lacking_attention(asked: str, architecture: str, value: str = "eager") -> Decision:
    """What an architecture that cannot compute attention as it was ``asked`` for does instead."""
    refused = asked not in ("auto", value)
    return Decision("speed.attention", asked, value, "architecture", {"architecture": architecture}, refused=refused)


def _attention(spec: RunSpec, machine: Machine, precision: str, architecture: str) -> Decision:
    path, asked = "speed.attention", spec.speed.attention
    if architecture in OWN_ATTENTION:
        return lacking_attention(asked, architecture)
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
    if spec.model.base == STARTER:
        return Decision(path, asked, longest_of(spec), "short_is_enough" if asked is None else "asked")
    # What it becomes is told when the texts have been counted in the model's tokens.
    return Decision(path, asked, asked, "by_texts" if asked is None else "asked")


def usual_rate(spec: RunSpec, width: int, optimizer: str) -> float:
    """The learning rate that is taken where none is asked for.

    Args:
        optimizer: as it was decided.
    """
    if optimizer == "sgd":
        return SGD_RATE if spec.training.max_gradient_norm else SGD_RATE_UNCLIPPED
    return recipe_for(spec.model.base).learning_rate or fitting_rate(width, spec.adapting)


def _learning_rate(spec: RunSpec, width: int | None, optimizer: str) -> Decision:
    path, asked = "training.learning_rate", spec.training.learning_rate
    if asked is not None:
        return Decision(path, asked, asked, "asked")
    value = usual_rate(spec, width or USUAL_WIDTH, optimizer)
    if optimizer == "sgd":
        return Decision(path, asked, value, "sgd")
    if spec.model.base == STARTER:
        return Decision(path, asked, value, "starter")
    if spec.adapting.adapter == "lora":
        return Decision(path, asked, value, "lora")
    if spec.adapting.freeze == "body":
        return Decision(path, asked, value, "head")
    if width is None:
        return Decision(path, asked, None, "by_width", {"usual": f"{USUAL_RATE:g}", "width": USUAL_WIDTH})
    return Decision(path, asked, value, "narrow" if value > USUAL_RATE else "usual", {"width": width})


def _compile(spec: RunSpec, machine: Machine, known: Known) -> Decision:
    path, asked = "speed.compile", spec.speed.compile
    if asked == "on" and not machine.compiles:
        return Decision(path, asked, "off", "no_compiler", refused=True)
    if asked == "on":
        return Decision(path, asked, asked, "no_gain_here" if machine.device == "cpu" else "asked")
    if asked == "off":
        return Decision(path, asked, asked, "asked")
    if machine.device != "cuda":
        return Decision(path, asked, "off", "no_gain_here")
    if spec.model.base == STARTER or spec.compute.fsdp:
        return Decision(path, asked, "off", "starter" if spec.model.base == STARTER else "sharded")
    if not machine.compiles:
        return Decision(path, asked, "off", "no_compiler")
    if known.work is None:
        return Decision(path, asked, None, "by_work")
    long = known.work >= LONG_WORK
    return Decision(path, asked, "on" if long else "off", "long_run" if long else "short_run")
