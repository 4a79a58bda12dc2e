"""The arguments of a `transformers.Trainer` run, from the settings of a run."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainingArguments

EVALUATIONS_A_RUN = 12
EVALUATION_COST = 0.15
"""Most of the training time that evaluations may take, estimated from rows: a forward pass is a third of a step."""


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
) -> TrainingArguments:
    """Arguments in which logging, evaluating and saving are left to this studio's callbacks."""
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=warmup_share,  # below 1 it is a share of all steps
        weight_decay=weight_decay,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device.type == "cpu",
        seed=seed,
        data_seed=seed,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,  # the callbacks thin it out; a loss that is not finite must be seen at once
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
    )


def evaluations_an_epoch(epochs: int, steps_an_epoch: int, train_rows: int, validation_rows: int) -> int:
    """How often to evaluate in each epoch: about a dozen times a run, at least once an epoch, and never dearly."""
    wanted = round(EVALUATIONS_A_RUN / epochs)
    affordable = int(EVALUATION_COST * 3 * train_rows / max(1, validation_rows))
    return max(1, min(wanted, affordable, steps_an_epoch))
