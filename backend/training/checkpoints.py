"""Checkpoints of a run while it trains: which weights are the best, what is written, and going on from it.

What Transformers writes of optimizer, schedule, random numbers and trainer is used as it is; the weights are those
that are trained, by safetensors. Where and how durably they lie is `backend.jobs.checkpoints`'s.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend.errors import DiskFull
from backend.jobs import checkpoints
from backend.jobs.checkpoints import Checkpoint
from backend.jobs.events import CheckpointSaved, Noted
from backend.jobs.process import JobContext
from backend.training import sharding, together

SPARE_BYTES = 64 << 20
"""Room that must remain on the disk for events, logs and the report."""
SMALL_BYTES = 128 << 20
"""A checkpoint of less is written after every evaluation: it takes no time to speak of."""
TIMES_ITS_TIME = 20.0
"""Of a larger one, what writing it took, times this, passes before the next whole one: a twentieth of the time at most.
An evaluation between them that is the best has its weights written."""
WEIGHTS, TRAINER_STATE = "model.safetensors", "trainer_state.json"


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


class Checkpoints(TrainerCallback):
    """Tells which evaluation is the best, ends training where nothing gets better, and writes checkpoints.

    Equal in the chosen metric, the lower loss is better. Training ends after ``patience`` evaluations without a better
    one, with 0 never. ``steps_before`` were taken before the Trainer's first step and count in all that is told.

    Args:
        data: what is learned from (`Checkpoint.data`).
        resumed: the checkpoint that training goes on from.
    """

    def __init__(
        self,
        context: JobContext,
        metric: str,
        patience: int,
        *,
        data: dict[str, Any],
        steps_before: int = 0,
        resumed: Checkpoint | None = None,
    ) -> None:
        self._context, self._metric, self._patience, self._data = context, metric, patience, data
        self._steps_before = steps_before
        self._best: Best | None = None
        self._without_better = 0
        self._evaluated: Best | None = None
        self._saved_step = -1
        self._told_small = False
        self._written_at, self._seconds = 0.0, 0.0
        if resumed:
            self._take_up(resumed)

    def _take_up(self, resumed: Checkpoint) -> None:
        known = resumed.position
        self._saved_step, self._without_better = resumed.step, known["without_better"]
        if resumed.metrics:
            self._evaluated = Best(resumed.step, resumed.epoch, resumed.metrics)
        kept = {checkpoint.step for checkpoint in checkpoints.list_checkpoints(self._context.path)}
        if known["best"] and known["best"]["step"] in kept:
            self._best = Best(**known["best"])
        else:  # what was the best then had to make room for a better one, which is superseded now
            self._best = self._evaluated

    @property
    def best(self) -> Best | None:
        """The best evaluation so far."""
        return self._best

    @property
    def exhausted(self) -> bool:
        """Whether so many evaluations have brought nothing better that training is over."""
        return self._patience > 0 and self._without_better >= self._patience

    def evaluated_at(self, step: int) -> bool:
        """Whether the model was evaluated after this step."""
        return self._evaluated is not None and self._evaluated.step == step

    def saved_at(self, step: int) -> bool:
        """Whether the newest checkpoint is of this step."""
        return self._saved_step == step

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **told: Any,
    ) -> None:
        """Judge an evaluation; what it was of is worth a checkpoint."""
        measured = {name.removeprefix("eval_"): value for name, value in told["metrics"].items()}
        found = Best(self._steps_before + state.global_step, round(state.epoch or 0.0, 4), measured)
        self._evaluated = found
        control.should_save = True
        if self._best is None or self._rank(found) > self._rank(self._best):
            self._best, self._without_better = found, 0
            return
        self._without_better += 1
        if self.exhausted:
            control.should_training_stop = True

    def _rank(self, found: Best) -> tuple[float, float]:
        # A metric can be undefined in one evaluation: an area under a curve where a label is missing.
        value = found.metrics.get(self._metric, float("-inf"))
        return (-value if self._metric in LOWER_IS_BETTER else value, -found.metrics["loss"])

    def restore(self, model: Any) -> None:
        """Put the best weights back into the model; without an evaluation so far it keeps those it has."""
        if self._best is None:
            return
        found = {checkpoint.step: checkpoint for checkpoint in checkpoints.list_checkpoints(self._context.path)}
        if self._best.step in found:  # not where the disk was full: then the best is what the model has
            load_weights(model, found[self._best.step].path)

    def save(self, trainer: Any, *, last: bool = False) -> None:
        """Write a checkpoint of a `ClassificationTrainer` as it stands after a step; all of its processes must come.

        Where the disk has no room for what is needed to go on from it, or it is an evaluation's and the one before was
        dear and not long ago, the best weights alone are written.

        Args:
            last: training does not go on: what was reached is to be kept in any case.

        Raises:
            DiskFull: not even for the weights.
        """
        step, started = self._steps_before + trainer.state.global_step, time.monotonic()
        if self.saved_at(step):
            return
        leads, run = self._context.rank.leads, self._context.path
        due = last or not self.evaluated_at(step) or self._is_due(trainer)
        complete = together.all_agree(not leads or (due and self._has_room(trainer)), trainer.args.device)
        if leads and (complete or self._is_best(step)):
            check_disk(run, weights_bytes(trainer.model, trained=True))
            folder = checkpoints.staging(run)
        else:
            folder = run / checkpoints.FOLDER / checkpoints.STAGING
        if complete:
            together.meet()  # the folder is there for all
            trainer.write_position(folder)
            together.meet()  # all have written
        if complete or self._is_best(step):
            weights = trained_weights(trainer.model, kept=leads)
            if leads:
                save_file(weights, str(folder / WEIGHTS))
                self._seal(folder, trainer, step, complete=complete)
        if complete:
            self._saved_step, self._written_at = step, time.monotonic()
            self._seconds = self._written_at - started

    def save_weights_of(self, model: Any, epoch: float) -> None:
        """Write the weights that the model has before the Trainer's first step."""
        if self._context.rank.leads:
            check_disk(self._context.path, weights_bytes(model, trained=True))
            folder = checkpoints.staging(self._context.path)
            save_file(trained_weights(model), str(folder / WEIGHTS))
            self._write(folder, self._steps_before, epoch, complete=False, position={})
        self._saved_step = self._steps_before

    def _seal(self, folder: Path, trainer: Any, step: int, *, complete: bool) -> None:
        position = {
            "best": self._best.to_dict() if self._best else None,
            "without_better": self._without_better,
            "steps_before": self._steps_before,
            "most_tokens": trainer.division.most_tokens,
        }
        self._write(folder, step, round(trainer.state.epoch or 0.0, 4), complete=complete, position=position)

    def _write(self, folder: Path, step: int, epoch: float, *, complete: bool, position: dict[str, Any]) -> None:
        metrics = self._evaluated.metrics if self._evaluated and self._evaluated.step == step else {}
        told = {"step": step, "epoch": epoch, "metrics": metrics, "complete": complete, "position": position}
        checkpoints.seal(folder, data=self._data, **told)
        checkpoints.prune(self._context.path, self._best.step if self._best else None)
        self._context.emit(CheckpointSaved(step=step, best=self._is_best(step)))

    def _is_best(self, step: int) -> bool:
        return self._best is not None and self._best.step == step

    def _is_due(self, trainer: Any) -> bool:
        """Whether a whole checkpoint is worth its time."""
        waited = time.monotonic() - self._written_at
        return whole_bytes(trainer) < SMALL_BYTES or waited >= TIMES_ITS_TIME * self._seconds

    def _has_room(self, trainer: Any) -> bool:
        # The finished model is still to be written, too.
        needed = whole_bytes(trainer) + weights_bytes(trainer.model)
        free = shutil.disk_usage(self._context.path).free
        if free >= needed + SPARE_BYTES:
            return True
        if not self._told_small:
            self._told_small = True
            self._context.emit(Noted("checkpoints_small", {"needed": needed + SPARE_BYTES, "free": free}))
        return False


def whole_bytes(trainer: Any) -> int:
    """What a checkpoint takes that training can go on from: the trained weights and the optimizer's states."""
    moments = sum(
        value.numel() * value.element_size()
        for known in trainer.optimizer.state.values()
        for value in known.values()
        if torch.is_tensor(value)
    )
    return weights_bytes(trainer.model, trained=True) + moments


def trained_weights(model: Any, *, kept: bool = True) -> dict[str, torch.Tensor]:
    """The trained weights by name: what is not trained is in the base model.

    Of a model in shards they are whole copies, for which all processes must come, in those that have them ``kept``.
    """
    trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad)
    if sharding.is_sharded(model):
        return sharding.gathered(trained, kept=kept)
    return {name: p.detach().contiguous() for name, p in trained}


def are_finite(model: Any) -> bool:
    """Whether all trained weights are numbers; of a model in shards all processes must come."""
    trained = [sharding.own_part(p) for p in model.parameters() if p.requires_grad]
    finite = all(bool(torch.isfinite(p).all()) for p in trained)
    return together.all_agree(finite, trained[0].device) if sharding.is_sharded(model) else finite


def is_of(model: Any, folder: Path) -> bool:
    """Whether a checkpoint's weights have the shapes of the model's as they are now."""
    with safe_open(folder / WEIGHTS, framework="pt") as kept:
        return all(
            name in kept.keys() and tuple(kept.get_slice(name).get_shape()) == tuple(parameter.shape)  # noqa: SIM118
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        )


def load_weights(model: Any, folder: Path) -> None:
    """Put a checkpoint's weights into the model; of one in shards each process does."""
    kept = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                sharding.put(parameter, kept[name])
