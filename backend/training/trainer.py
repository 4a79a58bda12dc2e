"""A `transformers.Trainer` for classification: its batches, checkpoints and evaluations."""

from __future__ import annotations

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
from transformers import PrinterCallback, SchedulerType, Trainer, TrainingArguments
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from backend.evaluation.metrics import compute
from backend.jobs.events import Noted
from backend.models.dropout import quicken
from backend.models.encoding import EncodedTexts
from backend.models.forward import Given, predict_logits, tokens_a_batch
from backend.models.memory import is_memory_error, release_memory
from backend.training import sharding
from backend.training.callbacks import check_finite
from backend.training.checkpoints import TRAINER_STATE, Checkpoints, are_finite, load_weights
from backend.training.compiling import as_written, codes_made, compile_layers, leave_layers
from backend.training.division import Division
from backend.training.layers import depths
from backend.training.rows import Order, Rows, build_order

Loss = Callable[..., torch.Tensor]


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
            compile_layers(model)
        elif args.device.type == "cpu":
            quicken(model)
        self.division = Division.of(model, train, args, splits=batching == "length_split", most_tokens=most_tokens)
        self._done_in_step: list[dict[str, torch.Tensor]] = []
        self._step_begun = -1
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
        too small for the whole.

        Raises:
            MemoryFull: there is no room for a single text.
        """
        if self._step_begun != self.state.global_step:
            self._step_begun, self._done_in_step = self.state.global_step, []
        self._done_in_step.append(inputs)
        loss = self._loss_in_parts(model, [inputs], num_items_in_batch)
        while loss is None:
            self._tell(self.division.halve(inputs))
            model.zero_grad()
            # Half of a batch may have left its gradients: the step's batches so far are all done again.
            loss = self._loss_in_parts(model, self._done_in_step, num_items_in_batch)
        if self._codes_before is not None:
            self._look_at_code(self._codes_before)
        return loss

    def _look_at_code(self, before: int) -> None:
        """After the first batch: whether the layers could be compiled."""
        self._codes_before = None
        if codes_made() == before:
            self._tell(Noted("compile_failed", {}))
            leave_layers(self.model)

    def _loss_in_parts(
        self, model: Any, batches: list[dict[str, Any]], count: torch.Tensor | int | None
    ) -> torch.Tensor | None:
        """The loss of the last of the batches; None if there was not memory enough."""
        loss: torch.Tensor | None = None
        step = self._part_of_a_step
        try:
            for batch in batches:
                *parts, last = self.division.parts_of(batch)
                # Processes have different numbers of parts: they exchange gradients once, when the batch is complete.
                with self.accelerator.no_sync(model) if parts else nullcontext():
                    losses = [step(model, part, count) for part in parts]
                loss = torch.stack([*losses, step(model, last, count)]).sum()
            return loss
        except (RuntimeError, MemoryError) as error:
            # Other processes wait for this one's gradients: it cannot begin a step again on its own.
            if self.args.world_size > 1 or not is_memory_error(error):
                raise
        release_memory()  # here, where the error no longer holds what was computed
        return None

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
