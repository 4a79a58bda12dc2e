"""A trainer of a few rows on the processor, for tests of what it does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from backend.training.arguments import build_arguments
from backend.training.losses import ClassificationLoss
from backend.training.rows import Rows
from backend.training.trainer import ClassificationTrainer


def arguments_in(folder: Path, **settings: Any) -> TrainingArguments:
    """Arguments for one epoch of batches of 8, in full precision without warmup and decay; ``settings`` instead."""
    usual = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "warmup_share": 0.0, "weight_decay": 0.0, "seed": 1}
    return build_arguments(folder, **{**usual, "precision": "fp32", "device": torch.device("cpu"), **settings})


def trainer_of(model: Any, rows: Rows, arguments: TrainingArguments, **given: Any) -> ClassificationTrainer:
    """A trainer of two labels that learns from the rows and is evaluated on them; ``given`` besides."""
    usual = {"task": "binary", "loss": ClassificationLoss(), "check_stop": lambda: None, "callbacks": []}
    return ClassificationTrainer(args=arguments, model=model, train=rows, validation=rows, **{**usual, **given})
