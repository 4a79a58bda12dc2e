"""One way to train, tried for a few optimizer steps by the trainer of a run, without evaluations and checkpoints.

What is measured: ``{"examples_per_second", "step_seconds", "warm_up_seconds", "peak_bytes", "steps", "rows",
"tokens", "padded_tokens", "max_length", "device", "precision", "trained_share", "others_share"}``, and of a starter
besides ``"bag_step_seconds"`` and ``"multilabel"``, on which the length of its first part hangs. The first steps, in
which memory is taken and code is made or loaded, count for themselves; ``peak_bytes`` is the most memory of the whole
process, or on a card what torch took of it; ``padded_tokens`` are those that were computed; ``others_share`` is what
other programs took of the processors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from backend.decisions import Decision, decided
from backend.jobs.process import JobContext, StopRequested
from backend.lab.others import Others
from backend.models.forward import choose_device, describe_device, prepare_processor
from backend.models.loading import LoadedModel, elements, name_labels
from backend.models.memory import keep_memory
from backend.models.starter import build_model, learn_tokenizer, warm_up
from backend.models.warm_start import BagStep
from backend.recipes import LEAST_BAG_STEPS, learned_rows, longest_of
from backend.specs import STARTER, RunSpec
from backend.training.arguments import arguments_of
from backend.training.losses import ClassificationLoss
from backend.training.memory import peak_bytes, room_for_tokens
from backend.training.rows import Rows, build_order, steps_an_epoch
from backend.training.setup import fit_length, folder_of, load_as_kept, place
from backend.training.trainer import ClassificationTrainer
from backend.training.vocabulary import VocabularyInUse

ENOUGH_S = 60.0
"""Time after which no further step is begun, once there are two to measure by."""
LEAST_S = 3.0
"""Time that is measured at least, in more steps than were asked for where they are quick: in less, what else the
machine does would tell as much as the way to train."""
BAG_STEPS = 20
"""Of a starter's first part, which are measured."""
MANY_EPOCHS = 1000
"""Over the rows of a trial; the clock ends it."""
WARM_UP = 1
"""Steps that do not count, as memory is taken in them. Where layers are compiled, and on a card, all texts are learned
once before it counts: code is made, kernels are loaded and attention is planned for new lengths, which in a run is over
after its first minute."""


@dataclass(frozen=True)
class Tried:
    """What one way to train begins from."""

    loaded: LoadedModel
    rows: Rows
    reload: Callable[[], Any] | None
    """Gives the model again in full precision; None where it was loaded so."""
    length: Decision | None


@dataclass
class Learned:
    """What the batches of one optimizer step held."""

    rows: int = 0
    tokens: int = 0
    padded: int = 0


@dataclass
class Clock(TrainerCallback):
    """Notes when each optimizer step ends, and ends training when it is enough."""

    context: JobContext
    device: torch.device
    steps: int
    """The fewest, with the first that do not count."""
    warm_up: int = WARM_UP
    ends: list[float] = field(default_factory=list)
    begun: float = 0.0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock."""
        self.begun = time.perf_counter()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Note the time."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.ends.append(time.perf_counter())
        self.context.progress(min(len(self.ends), self.steps), self.steps, unit="steps")
        measured = len(self.ends) >= self.steps and self.later_seconds >= LEAST_S
        enough = len(self.ends) > self.warm_up + 1 and self.later_seconds > ENOUGH_S
        control.should_training_stop = measured or enough or self.context.stop_requested

    @property
    def warm_up_seconds(self) -> float:
        """Those of the steps that do not count."""
        return self.ends[: self.warm_up][-1] - self.begun

    @property
    def later_seconds(self) -> float:
        """Those of all other steps; of the first where there are no others."""
        warm = self.warm_up
        return self.ends[-1] - self.ends[warm - 1] if len(self.ends) > warm else self.warm_up_seconds


class CountingTrainer(ClassificationTrainer):
    """The trainer of a run, which also counts what each optimizer step learns from."""

    def __init__(self, clock: Clock, **given: Any) -> None:
        super().__init__(**given, callbacks=[clock])
        self._clock = clock
        self.learned: list[Learned] = []

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """As it is, counted."""
        if len(self.learned) == len(self._clock.ends):
            self.learned.append(Learned())
        step = self.learned[-1]
        step.rows += len(inputs["input_ids"])
        tokens = int(inputs["attention_mask"].sum())
        step.tokens += tokens
        packed = self.division.packing is not None
        step.padded += tokens if packed else sum(part["input_ids"].numel() for part in self.division.parts_of(inputs))
        return super().training_step(model, inputs, num_items_in_batch)


def try_out(context: JobContext) -> dict[str, Any]:
    """Train for the steps that the job's spec asks for, and measure.

    Raises:
        StudioError: the model or a setting will not do, or memory is too small.
        StopRequested: a stop was asked for.
    """
    prepare_processor()
    keep_memory()
    asked = context.spec
    drawn = json.loads(Path(asked["rows"]).read_text("utf-8"))
    whole, device = RunSpec(**asked["run"]), choose_device()
    spec = whole.replaced(training__trackers=(), training__epochs=MANY_EPOCHS, training__max_steps=0)
    given = load(context, spec, drawn)
    tokens = int(learned_rows(asked["train_rows"], whole.training) * given.rows.texts.lengths.mean())
    placed = place(context, spec, given.loaded, given.reload, given.length, tokens)
    model = placed.adapted.model if placed.adapted else given.loaded.model
    arguments = arguments_of(spec, placed.decisions, placed.device, context.path / "out")
    share = trained_share(model.parameters())
    of_the_bag = time_bag(given, drawn["task"] == "multilabel") if spec.model.base == STARTER else {}
    VocabularyInUse.of(model, given.rows.texts, arguments, rows=asked["train_rows"])
    compiled = decided(placed.decisions, "speed.compile") == "on"
    batching = decided(placed.decisions, "speed.batching")
    a_pass = steps_an_epoch(build_order(given.rows.texts.lengths, batching, arguments), arguments)
    warm_up = a_pass if compiled or device.type == "cuda" else WARM_UP
    clock = Clock(context, device, asked["steps"] + warm_up, warm_up)
    trainer = CountingTrainer(
        clock,
        task=drawn["task"],
        args=arguments,
        model=model,
        train=given.rows,
        validation=given.rows,
        loss=ClassificationLoss(multilabel=drawn["task"] == "multilabel"),
        check_stop=context.check_stop,
        batching=batching,
        layer_decay=spec.training.layer_decay,
        compiled=compiled,
        most_tokens=room_for_tokens(context, model, given.rows, arguments),
        tell=context.emit,
    )
    others = Others()
    trainer.train()
    taken = others.share if device.type == "cpu" else 0.0  # a card is not theirs
    context.check_stop()
    steps = trainer.learned
    counted = steps[warm_up:] or steps
    return {
        "examples_per_second": round(examples_per_second(steps, counted, clock.later_seconds), 3),
        "step_seconds": round(clock.later_seconds / len(counted), 4),
        "warm_up_seconds": round(clock.warm_up_seconds, 3),
        "peak_bytes": peak_bytes(device),
        "steps": len(steps),
        "rows": sum(step.rows for step in steps),
        "tokens": sum(step.tokens for step in steps),
        "padded_tokens": sum(step.padded for step in steps),
        "max_length": given.loaded.max_length,
        "device": describe_device(device),
        "precision": decided(placed.decisions, "training.precision"),
        "trained_share": share,
        "others_share": round(taken, 3),
        **of_the_bag,
    }


def time_bag(given: Tried, multilabel: bool) -> dict[str, Any]:
    """What a step of a starter's first part takes, before anything else is measured."""
    targets = given.rows.targets if multilabel else np.eye(given.loaded.model.config.num_labels)[given.rows.targets]
    began, ends = time.perf_counter(), list[float]()

    def enough(_done: BagStep) -> None:
        ends.append(time.perf_counter())
        if len(ends) > BAG_STEPS:
            raise StopRequested

    with suppress(StopRequested):
        loss = ClassificationLoss(multilabel)
        warm_up(given.loaded.model, given.rows.texts, targets, loss=loss, steps=LEAST_BAG_STEPS, seed=0, tell=enough)
    given.loaded.model.zero_grad()
    later = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else ends[0] - began
    return {"bag_step_seconds": round(later, 5), "multilabel": multilabel}


def examples_per_second(steps: Sequence[Learned], counted: Sequence[Learned], seconds: float) -> float:
    """Texts learned a second in all steps, told from the time of those that are ``counted``.

    Batches of like length begin with the longest: the step that is left out is not like the others, so that time is
    taken to go with the padded tokens.
    """
    tokens_a_row = sum(step.padded for step in steps) / sum(step.rows for step in steps)
    return sum(step.padded for step in counted) / seconds / tokens_a_row


def load(context: JobContext, spec: RunSpec, drawn: dict[str, Any]) -> Tried:
    """The model that is tried and the rows that it learns from. Raises as `backend.models.loading.load_base` does."""
    texts, labels, task = drawn["texts"], drawn["labels"], drawn["task"]
    most = longest_of(spec)
    reload, length = None, None
    if spec.model.base == STARTER:  # what is compared are the steps after its first part
        tokenizer = learn_tokenizer(texts, most)
        model = build_model(len(tokenizer), len(labels), task == "multilabel", most)
        name_labels(model.config, labels, task)
        loaded = LoadedModel(tokenizer, model, most)
    else:
        loaded, reload = load_as_kept(spec, folder_of(context, spec.model), labels, task)
        loaded, length = fit_length(loaded, texts, spec.training.max_length)
    pad_to = loaded.max_length if spec.speed.padding == "longest" else 0
    targets = np.array(drawn["targets"], dtype=np.float32 if task == "multilabel" else np.int64)
    return Tried(loaded, Rows(loaded.encoded(texts), targets, pad_to), reload, length)


def trained_share(parameters: Iterable[torch.nn.Parameter]) -> float:
    """The share of the weights that training changes."""
    sizes = [(elements(parameter), parameter.requires_grad) for parameter in parameters]
    return round(sum(size for size, trained in sizes if trained) / sum(size for size, _ in sizes), 4)
