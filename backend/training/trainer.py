"""Fine-tuning: a `transformers.Trainer` for classification, and the function that runs it for a job."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PrinterCallback, Trainer, TrainingArguments

from backend.evaluation.metrics import compute
from backend.jobs.process import JobContext, StopRequested
from backend.models.forward import predict_logits
from backend.models.loading import LoadedModel
from backend.models.warm_start import BagStep
from backend.training.arguments import evaluations_an_epoch
from backend.training.callbacks import Evaluating, LossPoints, Stopping, Telling
from backend.training.checkpoints import Best, BestCheckpoint, metric_for_best
from backend.training.rows import LengthGroupedOrder, Rows

Loss = Callable[..., torch.Tensor]
WarmUp = Callable[[Callable[[BagStep], None]], None]


@dataclass(frozen=True)
class Outcome:
    """How training went. The model then has the best weights."""

    best: Best | None
    """None if it was stopped before the first evaluation: the model has the weights of the last step."""
    step: int
    epoch: float
    stopped: bool
    examples_per_second: float


class ClassificationTrainer(Trainer):
    """A Trainer that draws length-grouped batches and evaluates logits batched by length, hearing stops within."""

    def __init__(
        self,
        *,
        task: str,
        args: TrainingArguments,
        model: Any,
        train: Rows,
        validation: Rows,
        loss: Loss | None,
        check_stop: Callable[[], None],
        callbacks: list[Any],
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train,
            eval_dataset=validation,
            data_collator=train.collate,
            compute_loss_func=loss,
            callbacks=callbacks,
        )
        # The models take any keyword, so Trainer believes that they divide their loss by the items in the whole
        # accumulated batch. They do not, and the loss would be multiplied by the accumulation.
        self.model_accepts_loss_kwargs = False
        self._task, self._train, self._validation, self._check_stop = task, train, validation, check_stop
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedOrder:
        return LengthGroupedOrder(self._train.texts.lengths, self.args.train_batch_size, self.args.seed)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Metrics of the validation rows (or those given), by their names with the prefix.

        Raises:
            StopRequested: between two batches.
        """
        rows: Rows = eval_dataset if eval_dataset is not None else self._validation
        logits = predict_logits(self.model, rows.texts, step=lambda _done: self._check_stop())
        measured = measure(self._task, logits, rows.targets)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def measure(task: str, logits: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> dict[str, float]:
    """All metrics; for logits that are not finite only ``loss``, as NaN, since nothing else has a meaning."""
    if not np.isfinite(logits).all():
        return {"loss": math.nan}
    return compute(task, logits, truth)


def fine_tune(
    context: JobContext,
    loaded: LoadedModel,
    *,
    task: str,
    train: Rows,
    validation: Rows,
    arguments: TrainingArguments,
    patience: int,
    loss: Loss | None,
    checkpoints: Path,
    warm_up: WarmUp | None = None,
) -> Outcome:
    """Train the model and leave it with the best weights so far, also when the user stops the run.

    Args:
        patience: evaluations without a better one after which training ends; 0 never ends it.
        loss: None for the model's own.
        checkpoints: folder for the best weights so far.
        warm_up: a first part of the training, before the Trainer's.

    Raises:
        LossNotFinite: the loss became NaN or infinite.
        DiskFull: no room for a checkpoint.
    """
    batch_size, epochs = arguments.train_batch_size, int(arguments.num_train_epochs)
    steps_an_epoch = math.ceil(len(train) / batch_size)
    times = evaluations_an_epoch(epochs, steps_an_epoch, len(train), len(validation))
    steps_before = _warm_up(context, warm_up) if warm_up else 0
    if context.stop_requested:
        return Outcome(None, steps_before, 0.0, stopped=True, examples_per_second=0.0)
    telling = Telling(context, len(train), steps_before)
    keeping = BestCheckpoint(context, checkpoints, metric_for_best(task), patience, steps_before)
    trainer = ClassificationTrainer(
        task=task,
        args=arguments,
        model=loaded.model,
        train=train,
        validation=validation,
        loss=loss,
        check_stop=context.check_stop,
        callbacks=[Evaluating(times, steps_an_epoch), Stopping(context), telling, keeping],
    )
    with suppress(StopRequested):  # heard in the middle of an evaluation; what follows is as after a step
        if steps_before:  # what it has reached is a result: seen at once, and kept if the rest makes nothing better
            trainer.evaluate()
        trainer.train()
    # Takes off the wrapper that computes in short precision: from here on the model is asked as users will.
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    keeping.restore(model)
    return Outcome(
        best=keeping.best,
        step=steps_before + trainer.state.global_step,
        epoch=round(trainer.state.epoch or 0.0, 4),
        stopped=context.stop_requested,
        examples_per_second=round(telling.examples_per_second, 2),
    )


def _warm_up(context: JobContext, warm_up: WarmUp) -> int:
    """Do the first part of the training, told as all steps are; the number of steps taken, fewer if it was stopped."""
    points, taken = LossPoints(context), 0

    def tell(done: BagStep) -> None:
        nonlocal taken
        taken = done.step
        points.add(
            step=done.step,
            steps=done.steps,
            epoch=0.0,
            loss=done.loss,
            rate=done.learning_rate,
            norm=done.gradient_norm,
        )
        context.progress(done.step, done.steps, unit="steps")
        context.check_stop()

    with suppress(StopRequested):  # the bag learned so far is kept
        warm_up(tell)
    return taken
