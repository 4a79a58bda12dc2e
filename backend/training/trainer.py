"""A `transformers.Trainer` for classification: its batches, checkpoints and evaluations."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn
from torch.distributed.tensor import DTensor
from transformers import PrinterCallback, SchedulerType, Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from backend.evaluation.metrics import compute
from backend.jobs.events import Noted
from backend.models.dropout import quicken
from backend.models.encoding import EncodedTexts
from backend.models.forward import Given, predict_logits, tokens_a_batch
from backend.models.memory import is_memory_error, release_memory
from backend.training import sharding, together
from backend.training.arguments import ClassificationArguments
from backend.training.callbacks import check_finite
from backend.training.checkpoints import TRAINER_STATE, Checkpoints, are_finite, load_weights
from backend.training.compiling import (
    as_written,
    codes_made,
    compile_layers,
    is_compile_error,
    is_compiled,
    leave_layers,
)
from backend.training.division import Division
from backend.training.layers import depths
from backend.training.rows import Order, Rows, build_order

logger = logging.getLogger(__name__)

Loss = Callable[..., torch.Tensor]


class ClassificationTrainer(Trainer):
    """A Trainer that draws batches of like length and evaluates logits batched by length, hearing stops within."""

    args: ClassificationArguments

    def __init__(
        self,
        *,
        task: str,
        args: ClassificationArguments,
        model: Any,
        train: Rows,
        validation: Rows,
        loss: Loss,
        check_stop: Callable[[], None],
        callbacks: list[Any],
        keeping: Checkpoints | None = None,
        batching: str = "length_grouped",
        layer_decay: float = 1.0,
        compiled: bool = False,
        most_tokens: int | None = None,
        tell: Callable[[Noted], None] = lambda _note: None,
        steps_before: int = 0,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            train_dataset=train,
            eval_dataset=validation,
            data_collator=train.collate,
            compute_loss_func=loss,
            callbacks=[*callbacks, keeping] if keeping else callbacks,
        )
        # The models take any keyword, so Trainer believes that they divide their loss by the items in the whole
        # accumulated batch. They do not, and the loss would be multiplied by the accumulation.
        self.model_accepts_loss_kwargs = False
        self._task, self._train, self._validation, self._check_stop = task, train, validation, check_stop
        self._layer_decay = layer_decay
        self._tell, self._steps_before = tell, steps_before
        self._keeping, self._order = keeping, build_order(train.texts.lengths, batching, args)
        self._sharded = sharding.is_sharded(model)
        self._codes_before: int | None = None
        if compiled:
            self._codes_before = codes_made()
            # One of several processes that exchange gradients meanwhile cannot begin a step again on its own.
            compile_layers(model, passing_over=args.world_size > 1)
        elif args.device.type == "cpu":
            quicken(model)
        self.division = Division.of(model, train, args, splits=batching == "length_split", most_tokens=most_tokens)
        self._done_in_step: list[dict[str, torch.Tensor]] = []
        self._step_begun = -1
        self._first_step: int | None = None
        self._may_begin_again = True
        self._divided: list[Noted] = []
        self.remove_callback(PrinterCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> Order:
        return self._order

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the learning rate; polynomial decay must have a step to decay in."""
        warmup, kind = self.args.get_warmup_steps(num_training_steps), self.args.lr_scheduler_type
        if kind == SchedulerType.POLYNOMIAL and warmup >= num_training_steps:
            self.args.warmup_steps = num_training_steps - 1
        return super().create_scheduler(num_training_steps, optimizer)

    # -- checkpoints

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        self.save_point()

    def save_point(self, *, last: bool = False) -> None:
        """Write a checkpoint of this step; the ``last`` one in any case.

        Raises:
            LossNotFinite: there are weights that are no numbers.
            DiskFull: there is no room even for the weights.
        """
        if self._keeping is None:
            return
        if not are_finite(self.model):
            step = self._steps_before + self.state.global_step
            check_finite(math.nan, step, self._get_learning_rate(), self.args)
        self._keeping.save(self, last=last)

    def write_position(self, folder: Path) -> None:
        """Write what is needed besides the weights to go on from this step; each process its part."""
        self._save_optimizer_and_scheduler(str(folder))
        self._save_scaler(str(folder))
        self._save_rng_state(str(folder))
        if self.args.should_save:
            self.state.save_to_json(str(folder / TRAINER_STATE))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if not self._sharded:
            super()._save_optimizer_and_scheduler(output_dir)
            return
        optimizer, scheduler = self._own_optimizer_and_scheduler()
        folder, leads = Path(output_dir), self.args.should_save
        sharding.save_optimizer(self.model, optimizer, folder / OPTIMIZER_NAME, leads=leads)
        if leads:
            torch.save(scheduler.state_dict(), folder / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None or not self._sharded:
            super()._load_optimizer_and_scheduler(checkpoint)
            return
        optimizer, scheduler = self._own_optimizer_and_scheduler()
        sharding.load_optimizer(self.model, optimizer, Path(checkpoint) / OPTIMIZER_NAME)
        scheduler.load_state_dict(torch.load(Path(checkpoint) / SCHEDULER_NAME, weights_only=True))

    def _own_optimizer_and_scheduler(self) -> tuple[torch.optim.Optimizer, Any]:
        wrapper: Any = self.optimizer  # Accelerate's
        return wrapper.optimizer, self.lr_scheduler

    @contextmanager
    def _defer_fsdp_gradient_reduction(self) -> Iterator[None]:
        # Gradients that waited for the last of the accumulated batches would lie whole in every process.
        yield

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))

    def _run_epoch(self, **told: Any) -> None:  # type: ignore[override]
        if told["epoch"] == 0 and self._sharded:
            facts = {"percent": round(100 * sharding.held_share(self.model)), "processes": self.args.world_size}
            self._tell(Noted("weights_sharded", facts))
        # Where the first batches of an epoch are skipped, what skips them does not hand the epoch on.
        self._order.set_epoch(told["epoch"])
        super()._run_epoch(**told)  # type: ignore[no-untyped-call]

    # -- a batch in its parts

    def training_step(
        self, model: Any, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """The loss of one batch, with its gradients; computed part by part where that is quicker, or where memory is
        too small for the whole. What cannot be compiled is computed as it is written from then on.

        Raises:
            MemoryFull: there is no room for a single text.
        """
        if self._step_begun != self.state.global_step:
            self._step_begun, self._done_in_step = self.state.global_step, []
        self._done_in_step.append(inputs)
        with self._gradients_of_all(model, inputs) as computed:
            batches = [inputs]
            while True:
                try:
                    loss = self._loss_in_parts(computed, batches, num_items_in_batch)
                    break
                except (RuntimeError, MemoryError) as error:
                    remedy = self._remedy_for(error)
                remedy(inputs)  # here, where the error no longer holds what was computed
                model.zero_grad()
                # Half of a batch may have left its gradients: the step's batches so far are all done again.
                batches = self._done_in_step
        if self._codes_before is not None and codes_made() == self._codes_before:
            self._leave_code(inputs)
        self._codes_before = None  # by the first batch it shows whether the layers could be compiled
        return loss

    @contextmanager
    def _gradients_of_all(self, model: Any, batch: dict[str, Any]) -> Iterator[Any]:
        """Within, the gradients of a batch are computed with what is given; on leaving, they are those of all
        processes' batches.

        Processes exchange them while they are computed, and then none of them can begin again. So as long as there is
        one whose memory has not yet had room for as much, each computes its own first, in as many attempts as it takes.
        """
        alone = self.args.world_size == 1
        if alone or self._sharded:
            self._may_begin_again = alone
            yield model
            return
        exchanged, apart = self.accelerator.sync_gradients, False
        if exchanged:
            ready = self.division.is_proven(batch) and not self._divided
            apart = not together.all_agree(ready, self.args.device)
        self._may_begin_again = apart or not exchanged
        yield self.model if self._may_begin_again else model
        if apart:
            told, self._divided = together.gathered(self._divided), []
            for code, facts in dict.fromkeys((note.code, tuple(note.facts.items())) for note in told):
                self._tell(Noted(code, dict(facts)))
            together.average_gradients(model.parameters())
            # Gradients and what the optimizer keeps since its first step have had their memory, too.
            if self._optimizer_has_stepped():
                self.division.prove(batch)

    def _optimizer_has_stepped(self) -> bool:
        # Where gradients are scaled it is usual that the first steps are left out.
        if self._first_step is None or self.accelerator.optimizer_step_was_skipped:
            self._first_step = self.state.global_step
        return self.state.global_step > self._first_step

    def _remedy_for(self, error: RuntimeError | MemoryError) -> Callable[[dict[str, Any]], None]:
        if self._may_begin_again and is_memory_error(error):
            return self._halve
        if self.args.world_size == 1 and is_compiled(self.model) and is_compile_error(error):
            logger.warning("torch.compile failed", exc_info=error)
            return self._leave_code
        raise error

    def _halve(self, batch: dict[str, Any]) -> None:
        release_memory()
        note = self.division.halve(batch)
        if self.args.world_size == 1:
            self._tell(note)
        else:  # the first process tells it, when all have come so far
            self._divided.append(note)

    def _leave_code(self, _batch: dict[str, Any]) -> None:
        self._codes_before = None
        self._tell(Noted("compile_failed", {}))
        leave_layers(self.model)

    def _loss_in_parts(
        self, model: Any, batches: list[dict[str, Any]], count: torch.Tensor | int | None
    ) -> torch.Tensor:
        """The loss of the last of the batches."""
        step = self._part_of_a_step
        for batch in batches:
            *parts, last = self.division.parts_of(batch)
            # Processes have different numbers of parts: they exchange gradients once, when the batch is complete.
            with self.accelerator.no_sync(model) if parts else nullcontext():
                losses = [step(model, part, count) for part in parts]
            loss = torch.stack([*losses, step(model, last, count)]).sum()
        return loss

    def _part_of_a_step(self, model: Any, part: dict[str, Any], count: torch.Tensor | int | None) -> torch.Tensor:
        with self.division.given(part) as given:
            return super().training_step(model, given, count)

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        """The norm of the step's gradient, before the weights are changed by it.

        Raises:
            LossNotFinite: it is NaN or infinite. Where gradients are scaled (fp16) that is usual at first, and the
                optimizer leaves the step out.
        """
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        if not self.args.fp16:
            step = self._steps_before + self.state.global_step + 1
            check_finite(float(norm), step, self._get_learning_rate(), self.args)
        return norm

    def _clip_grad_norm(self, model: Any) -> Any:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        if self._sharded or any(g.device.type != "cpu" or g.dtype is not torch.float32 for g in gradients):
            return super()._clip_grad_norm(model)  # type: ignore[no-untyped-call]
        # A processor computes products of vectors in 2/5 of the time of their norms.
        norm = torch.stack([torch.dot(flat := g.reshape(-1), flat) for g in gradients]).sum().sqrt()
        nn.utils.clip_grads_with_norm_(model.parameters(), self.args.max_grad_norm, norm)
        return norm

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

    @property
    def _short(self) -> torch.dtype | None:
        """What weights are shortened to for as long as the model is asked. Trainer's own autocast ends with each batch,
        and would do it again for the next; of weights in shards it would keep every layer's."""
        if self._sharded:
            return None
        return torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Metrics of the validation rows (or those given), by their names with the prefix.

        Raises:
            StopRequested: between two batches.
        """
        rows: Rows = eval_dataset if eval_dataset is not None else self._validation
        with as_written(self.model):
            logits = ask_together(
                self.model, rows.texts, self._check_stop, autocast=self._short, given=self.division.given
            )
        measured = measure(self._task, logits, rows.targets)
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in measured.items()}
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


def ask_together(
    model: Any,
    texts: EncodedTexts,
    check_stop: Callable[[], None],
    *,
    autocast: torch.dtype | None = None,
    given: Given = nullcontext,
) -> npt.NDArray[np.float32]:
    """Logits (n, k) of all texts, of which each process asks its part. One that is alone may be stopped meanwhile.

    Args:
        autocast: as `predict_logits` has it.
        given: likewise.
    """
    processes = distributed.get_world_size() if distributed.is_initialized() else 1
    if processes == 1:
        return predict_logits(model, texts, autocast=autocast, given=given, step=lambda _done: check_stop())
    number, at_once = distributed.get_rank(), tokens_a_batch(next(model.parameters()).device)
    # Each asks as many batches as the others: a pass through weights in shards needs every process.
    mine = [rows[number::processes] if number < len(rows) else rows[:1] for rows in texts.batches(processes * at_once)]
    rows = np.concatenate(mine)
    found = predict_logits(model, texts, autocast=autocast, batches=mine, given=given)[rows]
    sharding.bring_apart(model)
    parts: list[Any] = [None] * processes
    distributed.all_gather_object(parts, (rows, found))
    logits = np.empty((len(texts), found.shape[1]), dtype=np.float32)
    for asked, part in parts:
        logits[asked] = part
    return logits


def measure(task: str, logits: npt.NDArray[np.float32], truth: npt.NDArray[Any]) -> dict[str, float]:
    """All metrics; for logits that are not finite only ``loss``, as NaN, since nothing else has a meaning."""
    if not np.isfinite(logits).all():
        return {"loss": math.nan}
    return compute(task, logits, truth)
