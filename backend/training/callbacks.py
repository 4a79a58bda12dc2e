"""What a run tells while it trains, and when it hears that it should stop. Speaks in the job's events."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import distributed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend.errors import LossNotFinite
from backend.jobs.events import Evaluated, LossLogged
from backend.jobs.process import JobContext
from backend.remedies import cause_of_nan
from backend.training.arguments import ClassificationArguments

MOST_LOSS_POINTS = 1400
STEPS_TOLD_EACH = 20
"""The first steps are told one by one, so that a curve is seen at once."""
STEPS_TO_TELL_BY = 5
"""So many steps tell how long the others will take: the very first one takes longer than they."""


def check_finite(value: float, step: int, rate: float, arguments: ClassificationArguments | None = None) -> None:
    """Whether a loss, or the norm of a gradient, is a number that one can go on from.

    Args:
        rate: the learning rate at ``step``.
        arguments: None where nothing but the rate can be to blame.

    Raises:
        LossNotFinite: it is NaN or infinite; with the likeliest cause.
    """
    if math.isfinite(value):
        return
    if arguments is None:
        raise LossNotFinite(step=step, learning_rate=rate)
    cause = cause_of_nan(
        precision="fp16" if arguments.fp16 else "bf16" if arguments.bf16 else "fp32",
        clipped=arguments.max_grad_norm > 0,
        learning_rate=arguments.learning_rate,
        usual_rate=arguments.usual_rate,
    )
    raise LossNotFinite(step=step, learning_rate=rate, cause=cause, highest_rate=arguments.learning_rate)


class LossPoints:
    """The training losses as the points of a curve: every step at first, later the mean since the last point."""

    def __init__(self, context: JobContext, steps_before: int = 0) -> None:
        self._context, self._steps_before = context, steps_before
        self._losses: list[float] = []
        self._told_at_step = 0

    def add(self, *, step: int, steps: int, epoch: float, loss: float, rate: float, norm: float | None) -> None:
        """The loss of ``step`` (from 1) of ``steps``, at this learning rate and gradient norm."""
        self._losses.append(loss)
        interval = max(1, math.ceil(steps / MOST_LOSS_POINTS))
        if step > STEPS_TOLD_EACH and step - self._told_at_step < interval and step < steps:
            return
        self._context.emit(
            LossLogged(
                step=self._steps_before + step,
                epoch=round(epoch, 4),
                loss=sum(self._losses) / len(self._losses),
                learning_rate=rate,
                gradient_norm=norm if norm is not None and math.isfinite(norm) else None,
            )
        )
        self._losses.clear()
        self._told_at_step = step


class Telling(TrainerCallback):
    """Emits losses, evaluations and progress; fails the run at the first loss that is not finite.

    Args:
        rows: training texts an epoch.
        steps_before: steps that were taken before the Trainer's first one; they count in every step that is told.
    """

    def __init__(self, context: JobContext, rows: int, steps_before: int = 0) -> None:
        self._context, self._rows, self._steps_before = context, rows, steps_before
        self._points = LossPoints(context, steps_before)
        self._seconds = 0.0
        self._clock = self._began = 0.0
        self._first_step = 0
        self._epochs_before = self._epochs_done = 0.0

    @property
    def examples_per_second(self) -> float:
        """Texts learned from a second of training proper: evaluations and saving are left out."""
        return (self._epochs_done - self._epochs_before) * self._rows / self._seconds if self._seconds else 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self._clock = self._began = time.monotonic()
        self._first_step = state.global_step
        self._epochs_before = self._epochs_done = state.epoch or 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Tell how far the run is."""
        now = time.monotonic()
        self._seconds += now - self._clock
        self._clock = now
        self._epochs_done = state.epoch or 0.0
        done = state.global_step - self._first_step
        left_s = (now - self._began) / done * (state.max_steps - state.global_step)
        self._context.progress(
            self._steps_before + state.global_step,
            self._steps_before + state.max_steps,
            unit="steps",
            rate=round(self.examples_per_second, 2),
            epoch=round(self._epochs_done, 4),
            epochs=float(state.num_train_epochs),  # where steps are limited, as many as they come to
            left_s=round(left_s, 1) if done >= STEPS_TO_TELL_BY else None,
        )

    def on_log(self, args: Any, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Tell the loss, every step at first and later the mean since the last time."""
        logs: dict[str, Any] = told["logs"]
        state.log_history.clear()  # the events are the history; this list would only grow
        if "loss" not in logs:
            return
        norm = logs.get("grad_norm")
        check_finite(logs["loss"], self._steps_before + state.global_step, float(logs["learning_rate"]), args)
        self._points.add(
            step=state.global_step,
            steps=state.max_steps,
            epoch=state.epoch or 0.0,
            loss=float(logs["loss"]),
            rate=float(logs["learning_rate"]),
            norm=None if norm is None else float(norm),
        )

    def on_evaluate(self, args: Any, state: TrainerState, control: TrainerControl, **told: Any) -> None:
        """Tell how well the model does on the validation split."""
        measured = {name.removeprefix("eval_"): value for name, value in told["metrics"].items()}
        loss = measured.pop("loss")
        step = self._steps_before + state.global_step
        check_finite(loss, step, args.learning_rate, args)
        self._context.emit(Evaluated("validation", step, round(state.epoch or 0.0, 4), loss, measured))
        self._clock = time.monotonic()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock again: the time of writing is not training's."""
        self._clock = time.monotonic()


class Stopping(TrainerCallback):
    """Ends training at the step in which the stop that the user asked for is seen: by all processes at the same."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._seen = False

    @property
    def stopped(self) -> bool:
        """Whether a stop was asked for; of several processes, whether they ended by it."""
        return self._seen or (self._context.rank.alone and self._context.stop_requested)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Look for the request."""
        self._seen = self._context.stop_requested
        if not self._context.rank.alone:
            asked = torch.tensor(int(self._seen), device=args.device)
            distributed.all_reduce(asked, distributed.ReduceOp.MAX)
            self._seen = bool(asked.item())
        if self._seen:
            control.should_training_stop = True
            control.should_evaluate = False
            control.should_save = True


class Evaluating(TrainerCallback):
    """Has the model evaluated, and so saved, a number of times in each epoch, evenly, the last time at the epoch's end,
    and after the ``last`` step of all; and saved some times more, if that is wanted.

    Args:
        within: the first steps of an epoch that the evaluations are spread over, where no more are done; 0: all.
    """

    def __init__(
        self, times_an_epoch: int, steps_an_epoch: int, saves_an_epoch: int = 0, *, within: int = 0, last: int = 0
    ) -> None:
        self._at = _evenly(times_an_epoch, within or steps_an_epoch)
        self._saved_at = _evenly(saves_an_epoch, steps_an_epoch)
        self._steps_an_epoch, self._last = steps_an_epoch, last

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for an evaluation where one is due, or for a checkpoint."""
        if self.due_at(state.global_step):
            control.should_evaluate = True
        elif self._in_epoch(state.global_step) in self._saved_at:
            control.should_save = True

    def due_at(self, step: int) -> bool:
        """Whether the model is to be evaluated after this step of the Trainer."""
        return step > 0 and (step == self._last or self._in_epoch(step) in self._at)

    def _in_epoch(self, step: int) -> int:
        return (step - 1) % self._steps_an_epoch + 1


def _evenly(times: int, steps: int) -> set[int]:
    return {max(1, round(part * steps / times)) for part in range(1, times + 1)}
