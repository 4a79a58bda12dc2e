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
from backend.models.warm_start import BagStep
from backend.training.arguments import evaluations_an_epoch
from backend.training.callbacks import Evaluating, LossPoints, Stopping, Telling
from backend.training.checkpoints import Best, BestCheckpoint
from backend.training.layers import depths
from backend.training.rows import LengthGroupedOrder, RandomOrder, Rows, TokenBudgetBatches

Loss = Callable[..., torch.Tensor]
Order = RandomOrder | TokenBudgetBatches
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


@dataclass(frozen=True)
class Schedule:
    """How training goes on, besides what Trainer's own arguments say."""

    patience: int
    """Evaluations without a better one after which training ends; 0 never ends it."""
    metric: str
    """What the best evaluation is best in."""
    evaluations: int = 0
    """In each epoch; 0: as many as are worth their time."""
    batching: str = "length_grouped"
    layer_decay: float = 1.0


class ClassificationTrainer(Trainer):
    """A Trainer that draws batches of like length and evaluates logits batched by length, hearing stops within."""

    def __init__(
        self,
        *,
        task: str,
        args: TrainingArguments,
        model: Any,
        train: Rows,
        validation: Rows,
        loss: Loss,
        check_stop: Callable[[], None],
        callbacks: list[Any],
        batching: str = "length_grouped",
        layer_decay: float = 1.0,
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
        self._batching, self._layer_decay = batching, layer_decay
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return build_order(self._train.texts.lengths, self._batching, self.args)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimizer; with layer decay each layer has a learning rate of its own."""
        if self.optimizer is None and self._layer_decay < 1:
            trained: Any = self.model
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, trained)
            self.optimizer = kind(self._groups_by_layer(trained, float(options["lr"])), **options)
        return super().create_optimizer(model)

    def _groups_by_layer(self, model: Any, rate: float) -> list[dict[str, Any]]:
        decaying, depth_of = set(self.get_decay_parameter_names(model)), depths(model)
        groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                groups.setdefault((depth_of[name], name in decaying), []).append(parameter)
        return [
            {
                "params": parameters,
                "lr": rate * self._layer_decay**depth,
                "weight_decay": self.args.weight_decay if decays else 0.0,
            }
            for (depth, decays), parameters in sorted(groups.items(), key=lambda group: group[0])
        ]

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


def build_order(lengths: npt.NDArray[Any], batching: str, arguments: TrainingArguments) -> Order:
    """The order in which rows of these lengths are drawn: ``random``, ``length_grouped`` or ``token_budget``."""
    if batching == "token_budget":
        return TokenBudgetBatches(
            lengths,
            token_budget(lengths, arguments.train_batch_size),
            arguments.seed,
            processes=arguments.world_size,
            process=arguments.process_index,
            accumulation=arguments.gradient_accumulation_steps,
        )
    kind = RandomOrder if batching == "random" else LengthGroupedOrder
    return kind(lengths, arguments.train_batch_size, arguments.seed)


def steps_an_epoch(order: Order, arguments: TrainingArguments) -> int:
    """Optimizer steps in each epoch, of all processes together."""
    whole = isinstance(order, TokenBudgetBatches)
    batches = len(order) if whole else math.ceil(len(order) / (arguments.train_batch_size * arguments.world_size))
    return max(1, math.ceil(batches / arguments.gradient_accumulation_steps))


def token_budget(lengths: npt.NDArray[Any], batch_size: int) -> int:
    """The padded tokens of a batch of ``batch_size`` texts of mean length, but room for the longest text."""
    return max(round(float(lengths.mean()) * batch_size), int(lengths.max()))


def measure(task: str, logits: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> dict[str, float]:
    """All metrics; for logits that are not finite only ``loss``, as NaN, since nothing else has a meaning."""
    if not np.isfinite(logits).all():
        return {"loss": math.nan}
    return compute(task, logits, truth)


def fine_tune(
    context: JobContext,
    model: Any,
    *,
    task: str,
    train: Rows,
    validation: Rows,
    arguments: TrainingArguments,
    schedule: Schedule,
    loss: Loss,
    checkpoints: Path,
    warm_up: WarmUp | None = None,
) -> Outcome:
    """Train the model and leave it with the best weights so far, also when the user stops the run.

    Args:
        schedule: when to evaluate, what is best, and when it is enough.
        checkpoints: folder for the best weights so far.
        warm_up: a first part of the training, before the Trainer's.

    Raises:
        LossNotFinite: the loss became NaN or infinite.
        DiskFull: no room for a checkpoint.
    """
    steps_before = _warm_up(context, warm_up) if warm_up else 0
    if context.stop_requested:
        return Outcome(None, steps_before, 0.0, stopped=True, examples_per_second=0.0)
    steps = steps_an_epoch(build_order(train.texts.lengths, schedule.batching, arguments), arguments)
    epochs = max(1, math.ceil(arguments.num_train_epochs))
    times = schedule.evaluations or evaluations_an_epoch(epochs, steps, len(train), len(validation))
    telling = Telling(context, len(train), steps_before)
    keeping = BestCheckpoint(context, checkpoints, schedule.metric, schedule.patience, steps_before)
    trainer = ClassificationTrainer(
        task=task,
        args=arguments,
        model=model,
        train=train,
        validation=validation,
        loss=loss,
        check_stop=context.check_stop,
        callbacks=[Evaluating(min(times, steps), steps), Stopping(context), telling, keeping],
        batching=schedule.batching,
        layer_decay=schedule.layer_decay,
    )
    with suppress(StopRequested):  # heard in the middle of an evaluation; what follows is as after a step
        if steps_before:  # what it has reached is a result: seen at once, and kept if the rest makes nothing better
            trainer.evaluate()
        trainer.train()
    # Takes off the wrapper that computes in short precision: from here on the model is asked as users will.
    plain = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False, keep_torch_compile=False)
    keeping.restore(plain)
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
