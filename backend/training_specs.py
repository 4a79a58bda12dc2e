"""How a model is fine-tuned: the sections of a run's spec that training, speed and adapting are set by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from backend.schema import Section, setting

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Optimizer = Literal[
    "auto", "adamw", "adamw_fused", "adamw_8bit", "paged_adamw_8bit", "paged_adamw", "adafactor", "lion_8bit", "sgd"
]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt"]
LossName = Literal["cross_entropy", "focal"]
ClassWeights = Literal["none", "balanced"]
BestMetric = Literal["auto", "loss", "accuracy", "f1", "f1_macro", "mcc", "precision", "recall", "jaccard", "roc_auc"]
Batching = Literal["auto", "random", "length_split", "length_grouped", "token_budget"]
Padding = Literal["dynamic", "longest"]
Attention = Literal["auto", "eager", "sdpa", "flash_attention_2"]
Compiling = Literal["auto", "on", "off"]
Freeze = Literal["none", "lower", "body"]
Adapter = Literal["none", "lora"]
Quantisation = Literal["none", "8bit", "4bit"]
Weight = Annotated[float, Field(ge=0, le=1000)]


class TrainingSpec(Section):
    """How it is fine-tuned. None means: what the recipe of the chosen model says (`backend.recipes`)."""

    epochs: int | None = setting(None, flag="--epochs", ge=1, le=1000)
    batch_size: int | None = setting(None, flag="--batch-size", ge=1, le=4096)
    learning_rate: float | None = setting(None, flag="--learning-rate", gt=0, le=1)
    max_length: int | None = setting(None, flag="--max-length", ge=8, le=131072)
    max_steps: int = setting(0, flag="--max-steps", advanced=True, ge=0, le=10_000_000)
    """Optimizer steps after which training ends; 0: after the epochs."""
    accumulation: int = setting(1, flag="--accumulation", advanced=True, ge=1, le=4096)
    optimizer: Optimizer = setting("auto", flag="--optimizer", advanced=True)
    scheduler: Scheduler = setting("linear", flag="--scheduler", advanced=True)
    warmup_share: float | None = setting(None, flag="--warmup-share", advanced=True, ge=0, lt=1)
    warmup_steps: int = setting(0, flag="--warmup-steps", advanced=True, ge=0, le=10_000_000)
    """With 1 or more it takes the place of the share."""
    weight_decay: float | None = setting(None, flag="--weight-decay", advanced=True, ge=0, le=1)
    layer_decay: float = setting(1.0, flag="--layer-decay", advanced=True, gt=0, le=1)
    """Each layer's learning rate as a multiple of that of the layer above it."""
    max_gradient_norm: float = setting(1.0, flag="--max-gradient-norm", advanced=True, ge=0, le=1000)
    """0: gradients are not clipped."""
    loss: LossName = setting("cross_entropy", flag="--loss", advanced=True)
    focal_gamma: float = setting(2.0, flag="--focal-gamma", advanced=True, ge=0, le=10)
    class_weights: ClassWeights = setting("none", flag="--class-weights", advanced=True)
    label_weights: dict[str, Weight] = setting({}, flag="--label-weights", advanced=True)
    """By label as it is called in the run; others weigh 1. With balanced weights: factors on them."""
    label_smoothing: float = setting(0.0, flag="--label-smoothing", advanced=True, ge=0, lt=1)
    metric: BestMetric = setting("auto", flag="--metric", advanced=True)
    evaluations: int = setting(0, flag="--evaluations", advanced=True, ge=0, le=1000)
    """In each epoch; 0: about a dozen a run."""
    saves: int = setting(0, flag="--saves", advanced=True, ge=0, le=1000)
    """Checkpoints in each epoch, besides the one after each evaluation."""
    patience: int | None = setting(None, flag="--patience", advanced=True, ge=0, le=1000)
    precision: Precision = setting("auto", flag="--precision", advanced=True)
    deterministic: bool = setting(False, flag="--deterministic", advanced=True)
    trackers: tuple[str, ...] = setting((), flag="--tracker", advanced=True)

    @field_validator("label_weights", mode="before")
    @classmethod
    def _names_are_texts(cls, weights: Any) -> Any:
        return {str(name): value for name, value in weights.items()} if isinstance(weights, Mapping) else weights


class SpeedSpec(Section):
    """What makes a run faster or smaller without changing what it learns from."""

    batching: Batching = setting("auto", flag="--batching", advanced=True)
    padding: Padding = setting("dynamic", flag="--padding", advanced=True)
    attention: Attention = setting("auto", flag="--attention", advanced=True)
    activation_checkpointing: bool = setting(False, flag="--activation-checkpointing", advanced=True)
    compile: Compiling = setting("auto", flag="--compile", advanced=True)
    tf32: bool = setting(True, flag="--tf32", advanced=True)
    """On cards that have it."""
    workers: int = setting(0, flag="--workers", advanced=True, ge=0, le=64)

    @field_validator("compile", mode="before")
    @classmethod
    def _was_a_switch(cls, given: Any) -> Any:
        return ("on" if given else "off") if isinstance(given, bool) else given


class AdaptingSpec(Section):
    """Which of the model's weights are trained, and whether small ones are trained in their place."""

    freeze: Freeze = setting("none", flag="--freeze", advanced=True)
    trained_layers: int = setting(2, flag="--trained-layers", advanced=True, ge=1, le=1000)
    """The last layers that stay trainable where the lower ones are frozen."""
    adapter: Adapter = setting("none", flag="--adapter", advanced=True)
    lora_rank: int = setting(16, flag="--lora-rank", advanced=True, ge=1, le=1024)
    lora_alpha: int = setting(32, flag="--lora-alpha", advanced=True, ge=1, le=4096)
    lora_dropout: float = setting(0.05, flag="--lora-dropout", advanced=True, ge=0, lt=1)
    lora_targets: tuple[str, ...] = setting((), flag="--lora-target", advanced=True)
    """Names of modules; empty: those that suit the architecture."""
    quantisation: Quantisation = setting("none", flag="--quantisation", advanced=True)
