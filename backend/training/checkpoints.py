"""The best weights so far, on disk, and ending a run that no longer gets better."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend.errors import DiskFull
from backend.jobs.events import CheckpointSaved
from backend.jobs.process import JobContext

SPARE_BYTES = 64 << 20
"""Room that must remain on the disk for events, logs and the report."""


@dataclass(frozen=True)
class Best:
    """The evaluation of the validation split that came out best."""

    step: int
    epoch: float
    metrics: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """``{"step", "epoch", "metrics"}``."""
        return asdict(self)


LOWER_IS_BETTER = ("loss",)


def metric_for_best(task: str) -> str:
    """What "best" means: macro F1, so that every label counts; for multi-label F1, as rare labels begin at nothing."""
    return "f1" if task == "multilabel" else "f1_macro"


def weights_bytes(model: Any, *, trained: bool = False) -> int:
    """Bytes that the model's weights take on disk, or only those that are ``trained``."""
    return sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad or not trained)


def check_disk(folder: Path, needed_bytes: int) -> None:
    """Raise `DiskFull` if the disk of ``folder`` has less room than needed, and a little spare."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_BYTES:
        raise DiskFull(folder=str(folder), free_bytes=free, needed_bytes=needed_bytes + SPARE_BYTES)


class BestCheckpoint(TrainerCallback):
    """Keeps the weights of the best evaluation, and ends training after ``patience`` evaluations without a better one.

    Equal in the chosen metric, the lower loss is better. ``patience`` 0 never ends training. ``steps_before`` were
    taken before the Trainer's first step and count in all that is told.
    """

    def __init__(self, context: JobContext, folder: Path, metric: str, patience: int, steps_before: int = 0) -> None:
        self.best: Best | None = None
        self._context, self._folder, self._metric, self._patience = context, folder, metric, patience
        self._steps_before = steps_before
        self._rank = (float("-inf"), float("-inf"))
        self._without_better = 0

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **told: Any,
    ) -> None:
        """Keep the weights if they are the best so far."""
        metrics, model = told["metrics"], told["model"]
        measured = {name.removeprefix("eval_"): value for name, value in metrics.items()}
        # A metric can be undefined in one evaluation: an area under a curve where a label is missing.
        value = measured.get(self._metric, float("-inf"))
        rank = (-value if self._metric in LOWER_IS_BETTER else value, -measured["loss"])
        if rank > self._rank:
            step = self._steps_before + state.global_step
            self._rank, self._without_better = rank, 0
            if self._context.rank.leads:
                self._save(model, step)
            self.best = Best(step, round(state.epoch or 0.0, 4), measured)
            self._context.emit(CheckpointSaved(step=step, best=True))
            return
        self._without_better += 1
        if self._patience and self._without_better >= self._patience:
            control.should_training_stop = True

    def restore(self, model: Any) -> None:
        """Put the best weights back into the model; without an evaluation so far it keeps those it has."""
        if self.best is None:
            return
        kept = load_file(self._path(self.best.step))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    parameter.copy_(kept[name])

    def _save(self, model: Any, step: int) -> None:
        check_disk(self._folder, weights_bytes(model, trained=True))
        written = self._folder / "writing.safetensors"
        # What is not trained is in the base model, and shared weights go by one name.
        trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(trained, str(written))
        os.replace(written, self._path(step))
        if self.best is not None:
            self._path(self.best.step).unlink(missing_ok=True)

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}.safetensors"
