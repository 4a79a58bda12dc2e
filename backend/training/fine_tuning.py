"""Fine-tuning a prepared model for a job, from its first step, or a checkpoint, to its best weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import TrainerState

from backend.errors import LossNotFinite, MemoryFull
from backend.jobs.checkpoints import Checkpoint
from backend.jobs.events import Noted
from backend.jobs.process import JobContext, StopRequested
from backend.models.forward import predict_logits
from backend.models.memory import release_memory
from backend.models.warm_start import BagStep
from backend.training import sharding, together
from backend.training.arguments import ClassificationArguments, evaluations_an_epoch
from backend.training.callbacks import Evaluating, LossPoints, Stopping, Telling, check_finite
from backend.training.checkpoints import TRAINER_STATE, Best, Checkpoints, is_of, load_weights
from backend.training.compiling import leave_layers
from backend.training.errors import translate
from backend.training.memory import room_for_tokens
from backend.training.rows import Rows, build_order, steps_an_epoch
from backend.training.trainer import ClassificationTrainer, Loss
from backend.training.vocabulary import VocabularyInUse

ROWS_ASKED = 32
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
    failure: LossNotFinite | MemoryFull | None = None
    """Why it could not go on; the model is then what is said in its ``kept``."""


@dataclass(frozen=True)
class Schedule:
    """How training goes on, besides what Trainer's own arguments say."""

    patience: int
    """Evaluations without a better one after which training ends; 0 never ends it."""
    metric: str
    """What the best evaluation is best in."""
    evaluations: int = 0
    """In each epoch; 0: as many as are worth their time."""
    saves: int = 0
    """Checkpoints in each epoch, besides those of the evaluations."""
    batching: str = "length_grouped"
    layer_decay: float = 1.0
    compiled: bool = False


def fine_tune(
    context: JobContext,
    model: Any,
    *,
    task: str,
    train: Rows,
    validation: Rows,
    arguments: ClassificationArguments,
    schedule: Schedule,
    loss: Loss,
    data: dict[str, Any],
    resumed: Checkpoint | None = None,
    warm_up: WarmUp | None = None,
) -> Outcome:
    """Train the model and leave it with the best weights so far, also when the user stops the run.

    Args:
        schedule: when to evaluate, what is best, and when it is enough.
        data: what is learned from, for the checkpoints (`Checkpoint.data`).
        resumed: the checkpoint to go on from; None begins anew.
        warm_up: a first part of the training, before the Trainer's.

    Where the loss becomes NaN or infinite, or memory too small for a single text, the outcome says so, and the model
    has the best weights until then.

    Raises:
        LossNotFinite: in the first part of the training.
        DiskFull: no room for a checkpoint.
    """
    sharded = sharding.is_sharded(model)
    steps = steps_an_epoch(build_order(train.texts.lengths, schedule.batching, arguments), arguments)
    most = max(arguments.max_steps, 0)
    following = math.ceil(arguments.num_train_epochs * steps)
    steps_before = int(resumed.position["steps_before"]) if resumed else _warm_up(context, warm_up, following, most)
    if resumed and most:  # as it was then: runs of earlier versions did not count a first part
        following = TrainerState.load_from_json(str(resumed.path / TRAINER_STATE)).max_steps
    elif most:
        following = most - steps_before
    if most:
        arguments.max_steps = following
    # The first of several hears it: without a word the others would begin, and wait for it.
    if not resumed and not together.all_agree(not context.stop_requested, arguments.device):
        return Outcome(None, steps_before, 0.0, stopped=True, examples_per_second=0.0)
    # A run that was begun before there was such a thing goes on with the whole vocabulary.
    whole = sharded or (resumed is not None and is_of(model, resumed.path))
    vocabulary = None if whole else VocabularyInUse.of(model, train.texts, arguments)
    if vocabulary:
        context.emit(Noted("vocabulary_in_use", {"size": vocabulary.size, "used": vocabulary.used}))
    stretch = min(steps, following)  # the first epoch, or what is done of it
    epochs, rows = math.ceil(following / steps), len(train) * stretch // steps
    times = schedule.evaluations or evaluations_an_epoch(epochs, stretch, rows, len(validation))
    telling = Telling(context, len(train), steps_before)
    stopping = Stopping(context)
    keeping = Checkpoints(
        context, schedule.metric, schedule.patience, data=data, steps_before=steps_before, resumed=resumed
    )
    within = steps if schedule.evaluations else stretch
    evaluating = Evaluating(min(times, within), steps, min(schedule.saves, steps), within=within, last=following)
    trainer = ClassificationTrainer(
        task=task,
        args=arguments,
        model=model,
        train=train,
        validation=validation,
        loss=loss,
        check_stop=context.check_stop,
        callbacks=[evaluating, stopping, telling],
        keeping=keeping,
        batching=schedule.batching,
        layer_decay=schedule.layer_decay,
        compiled=schedule.compiled,
        # Of a model in shards each pass needs every process: all divide a batch alike, and so not at all.
        most_tokens=None if sharded else _fewest(room_for_tokens(context, model, train, arguments), resumed),
        tell=context.emit,
        steps_before=steps_before,
    )
    failure: LossNotFinite | MemoryFull | None = None
    try:
        with suppress(StopRequested):  # heard in the middle of an evaluation; what follows is as after a step
            if resumed:
                _go_on(trainer, resumed, keeping, evaluating, following)
            else:
                if steps_before:  # what it has reached is a result: seen at once, and kept if nothing better follows
                    trainer.evaluate()
                    keeping.save_weights_of(trainer.model, 0.0)
                trainer.train()
    except LossNotFinite as error:
        failure = error
    except (RuntimeError, MemoryError, MemoryFull) as error:
        worded = error if isinstance(error, MemoryFull) else translate(error)
        # What follows would wait for the other processes; and one that keeps nothing has only this to say.
        if not isinstance(worded, MemoryFull) or sharded or not context.rank.leads:
            raise
        failure = worded
        release_memory()
    if stopping.stopped and failure is None and trainer.optimizer is not None:
        trainer.save_point(last=True)  # where the stop was heard in an evaluation, of its step nothing was written
    if keeping.exhausted and not stopping.stopped and trainer.state.global_step < following:
        ended = {"step": steps_before + trainer.state.global_step, "steps": steps_before + following}
        context.emit(Noted("ended_early", {**ended, "count": schedule.patience}))
    # Takes off the wrapper that computes in short precision: from here on the model is asked as users will.
    leave_layers(model)
    plain = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    if context.rank.leads or sharded:
        keeping.restore(plain)
    if vocabulary:
        vocabulary.given_back()
    if failure is not None and (context.rank.leads or sharded):
        sound = isinstance(failure, MemoryFull) or answers_are_finite(plain, validation)
        failure.kept = "best" if keeping.best else "last" if sound else "none"
    return Outcome(
        best=keeping.best,
        step=steps_before + trainer.state.global_step,
        epoch=round(trainer.state.epoch or 0.0, 4),
        stopped=stopping.stopped,
        examples_per_second=round(telling.examples_per_second, 2),
        failure=failure,
    )


def _go_on(
    trainer: ClassificationTrainer, resumed: Checkpoint, keeping: Checkpoints, evaluating: Evaluating, steps: int
) -> None:
    """Train on from a checkpoint, as if training had not been left after its step, to the last of all ``steps``."""
    state = TrainerState.load_from_json(str(resumed.path / TRAINER_STATE))
    if keeping.exhausted or state.global_step >= steps:  # Trainer would take one more before it looks
        trainer.state = state
        load_weights(trainer.model, resumed.path)
        if not keeping.evaluated_at(resumed.step):
            trainer.evaluate()
        return
    # Where a stop was heard before the step's evaluation, that is made up for.
    trainer.args.eval_on_start = evaluating.due_at(state.global_step) and not keeping.evaluated_at(resumed.step)
    trainer.train(resume_from_checkpoint=str(resumed.path))


def _fewest(tokens: int | None, resumed: Checkpoint | None) -> int | None:
    """Of what memory has room for now and what it had when the checkpoint was written, the less."""
    known = [each for each in (tokens, resumed.position["most_tokens"] if resumed else None) if each is not None]
    return min(known, default=None)


def answers_are_finite(model: Any, rows: Rows) -> bool:
    """Whether the model can still be asked: a few of the rows have logits that are numbers."""
    return bool(np.isfinite(predict_logits(model, rows.texts.first(ROWS_ASKED))).all())


def _warm_up(context: JobContext, warm_up: WarmUp | None, following: int, most: int) -> int:
    """Do the first part of the training, told as all steps are; the number of steps taken, fewer if it was stopped.

    Args:
        following: steps that come after it, if there is no limit.
        most: steps of the whole training; 0: no limit.
    """
    points, taken = LossPoints(context), 0
    if warm_up is None:
        return taken

    def tell(done: BagStep) -> None:
        nonlocal taken
        if not taken:
            context.emit(Noted("starter_steps", {"steps": done.steps}))
        check_finite(done.loss, done.step, done.learning_rate)
        taken = done.step
        points.add(
            step=done.step,
            steps=done.steps,
            epoch=0.0,
            loss=done.loss,
            rate=done.learning_rate,
            norm=done.gradient_norm,
        )
        context.progress(done.step, most or done.steps + following, unit="steps")
        context.check_stop()

    with suppress(StopRequested):  # the bag learned so far is kept
        warm_up(tell)
    return taken
