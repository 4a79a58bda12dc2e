"""The arguments of a `transformers.Trainer` run, from the settings of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from transformers import TrainingArguments

from backend.decisions import Decision, decided
from backend.recipes import USUAL_RATE
from backend.specs import RunSpec
from backend.training.together import begin_talking

Value = TypeVar("Value")

EVALUATIONS_A_RUN = 12
EVALUATION_COST = 0.1
"""Most of the training time that evaluations may take, estimated from rows: a forward pass is a third of a step."""
LONGEST_WAIT_S = 24 * 3600
"""How long processes wait for each other: the first one measures baselines, writes checkpoints and downloads alone."""
OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw_fused": "adamw_torch_fused",
    "adamw_8bit": "adamw_bnb_8bit",
    "paged_adamw": "paged_adamw_32bit",
    "paged_adamw_8bit": "paged_adamw_8bit",
    "lion_8bit": "lion_8bit",
    "adafactor": "adafactor",
    "sgd": "sgd",
}
"""What Transformers calls the optimizers."""


@dataclass
class ClassificationArguments(TrainingArguments):
    """Those of Trainer, and what is usual for such a run."""

    usual_rate: float = USUAL_RATE
    """The learning rate that Auto would take."""


def build_arguments(
    folder: Path,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_share: float,
    weight_decay: float,
    precision: str,
    device: torch.device,
    seed: int,
    max_steps: int = 0,
    accumulation: int = 1,
    optimizer: str = "adamw_fused",
    scheduler: str = "linear",
    warmup_steps: int = 0,
    max_gradient_norm: float = 1.0,
    deterministic: bool = False,
    activation_checkpointing: bool = False,
    tf32: bool = False,
    workers: int = 0,
    on_each_node: bool = False,
    usual_rate: float = USUAL_RATE,
) -> ClassificationArguments:
    """Arguments in which logging, evaluating and saving are left to this studio's callbacks.

    From then on the processes, if there are several, can talk, and wait for each other for a day.
    """
    begin_talking(device, LONGEST_WAIT_S)
    return ClassificationArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        max_steps=max_steps or -1,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        learning_rate=learning_rate,
        optim=OPTIMIZERS[optimizer],
        lr_scheduler_type=scheduler,
        warmup_steps=warmup_steps or warmup_share,  # below 1 it is a share of all steps
        weight_decay=weight_decay,
        max_grad_norm=max_gradient_norm,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        tf32=True if tf32 else None,
        activation_checkpointing=activation_checkpointing or None,
        activation_checkpointing_kwargs={"use_reentrant": False} if activation_checkpointing else None,
        use_cpu=device.type == "cpu",
        seed=seed,
        data_seed=seed,
        full_determinism=deterministic,
        eval_strategy="no",
        save_strategy="no",  # a checkpoint is written where `callbacks` ask for one
        save_on_each_node=on_each_node,
        logging_strategy="steps",
        logging_steps=1,  # the callbacks thin it out; a loss that is not finite must be seen at once
        logging_nan_inf_filter=False,
        report_to="none",  # `tracking` tells trackers
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_num_workers=workers,
        dataloader_pin_memory=device.type == "cuda",
        ddp_find_unused_parameters=False,
        ddp_timeout=LONGEST_WAIT_S,
        usual_rate=usual_rate,
    )


def arguments_of(
    spec: RunSpec,
    decisions: Sequence[Decision],
    device: torch.device,
    folder: Path,
    *,
    usual_rate: float = USUAL_RATE,
) -> ClassificationArguments:
    """The arguments that a spec with its recipe's values (`backend.recipes.with_recipe`) and the decisions ask for."""
    settings, speed = spec.training, spec.speed
    return build_arguments(
        folder,
        epochs=required(settings.epochs),
        batch_size=required(settings.batch_size) // spec.compute.together,
        learning_rate=decided(decisions, "training.learning_rate"),
        warmup_share=required(settings.warmup_share),
        weight_decay=required(settings.weight_decay),
        precision=decided(decisions, "training.precision"),
        device=device,
        seed=spec.split.seed,
        max_steps=settings.max_steps,
        accumulation=settings.accumulation,
        optimizer=decided(decisions, "training.optimizer"),
        scheduler=settings.scheduler,
        warmup_steps=settings.warmup_steps,
        max_gradient_norm=settings.max_gradient_norm,
        deterministic=settings.deterministic,
        activation_checkpointing=speed.activation_checkpointing,
        tf32=decided(decisions, "speed.tf32"),
        workers=speed.workers,
        on_each_node=spec.compute.machines > 1,  # each has a folder of its own
        usual_rate=usual_rate,
    )


def required(value: Value | None) -> Value:
    """A setting that the recipe has filled in."""
    assert value is not None
    return value


def evaluations_an_epoch(epochs: int, steps_an_epoch: int, train_rows: int, validation_rows: int) -> int:
    """How often to evaluate in each epoch: about a dozen times a run, at least once an epoch, and never dearly."""
    wanted = round(EVALUATIONS_A_RUN / epochs)
    affordable = int(EVALUATION_COST * 3 * train_rows / max(1, validation_rows))
    return max(1, min(wanted, affordable, steps_an_epoch))
