"""A trainer of a few rows on the processor, for tests of what it does with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext
from backend.jobs.ranks import Rank
from backend.training.arguments import build_arguments
from backend.training.fine_tuning import Outcome, fine_tune
from backend.training.losses import ClassificationLoss
from backend.training.rows import Rows
from backend.training.trainer import ClassificationTrainer


def arguments_in(folder: Path, **settings: Any) -> TrainingArguments:
    """Arguments for one epoch of batches of 8, in full precision without warmup and decay; ``settings`` instead."""
    usual = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "warmup_share": 0.0, "weight_decay": 0.0, "seed": 1}
    return build_arguments(folder, **{**usual, "precision": "fp32", "device": torch.device("cpu"), **settings})


def tuned_in(folder: Path, rank: Rank, model: Any, rows: Rows, few: Rows, **given: Any) -> tuple[JobContext, Outcome]:
    """A fine-tuning as a run's process of this rank does it, evaluated on a ``few`` rows; ``given`` besides."""
    context = JobContext(JobDirectory.create(folder, kind="test", module="none", spec={}))
    context.rank = rank
    usual = {"task": "binary", "loss": ClassificationLoss(), "data": {}}
    return context, fine_tune(context, model, train=rows, validation=few, **usual, **given)


def trainer_of(model: Any, rows: Rows, arguments: TrainingArguments, **given: Any) -> ClassificationTrainer:
    """A trainer of two labels that learns from the rows and is evaluated on them; ``given`` besides."""
    usual = {"task": "binary", "loss": ClassificationLoss(), "check_stop": lambda: None, "callbacks": []}
    return ClassificationTrainer(args=arguments, model=model, train=rows, validation=rows, **{**usual, **given})
