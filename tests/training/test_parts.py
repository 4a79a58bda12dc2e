"""The parts of training by themselves: orders, points of a curve, disk and memory."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from transformers import TrainerControl, TrainerState, TrainingArguments

from backend.errors import DiskFull, LossNotFinite, MemoryFull, Unexpected
from backend.jobs.directory import JobDirectory
from backend.jobs.events import LossLogged
from backend.jobs.process import JobContext
from backend.models.dropout import QuickDropout
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.training.arguments import evaluations_an_epoch
from backend.training.callbacks import MOST_LOSS_POINTS, STEPS_TOLD_EACH, Telling
from backend.training.checkpoints import check_disk
from backend.training.division import Division
from backend.training.errors import translate
from backend.training.rows import LengthGroupedOrder, Rows, TokenBudgetBatches
from tests.tiny_models import make_tiny
from tests.training.little_trainer import arguments_in, trainer_of


def padded_tokens(order: list[int], lengths: np.ndarray, size: int) -> int:
    """Tokens of all batches, padding included."""
    return sum(lengths[order[i : i + size]].max() * len(order[i : i + size]) for i in range(0, len(order), size))


def test_length_grouped_order_draws_every_row_once_and_pads_little() -> None:
    lengths = np.random.default_rng(0).geometric(0.04, size=10_007)
    order = list(LengthGroupedOrder(lengths, 64, seed=1))
    assert sorted(order) == list(range(10_007))
    assert padded_tokens(order, lengths, 64) < 1.2 * lengths.sum()
    shuffled = np.random.default_rng(1).permutation(10_007).tolist()
    assert padded_tokens(shuffled, lengths, 64) > 3 * lengths.sum(), "which is what it saves"


def test_longest_batch_comes_first_so_that_full_memory_shows_at_once() -> None:
    lengths = np.random.default_rng(0).integers(5, 500, size=5000)
    assert lengths[next(iter(LengthGroupedOrder(lengths, 32, seed=3)))] == lengths.max()


def test_order_is_a_function_of_seed_and_epoch() -> None:
    lengths = np.arange(1000) % 40

    def drawn(seed: int, epoch: int) -> list[int]:
        order = LengthGroupedOrder(lengths, 16, seed)
        order.set_epoch(epoch)
        return list(order)

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)


@pytest.mark.parametrize("rows", [1, 3, 16, 17])
def test_order_of_few_rows_is_whole(rows: int) -> None:
    assert sorted(LengthGroupedOrder(np.ones(rows, dtype=int), 16, 0)) == list(range(rows))


def test_trainer_draws_another_order_in_each_epoch(tmp_path: Path) -> None:
    texts = [f"text {number} {'long ' * (number % 7)}" for number in range(48)]
    folder = make_tiny(tmp_path / "model", "bert", texts)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=32, seed=1)
    seen: list[tuple[int, ...]] = []

    class Watched(Rows):
        def collate(self, rows: list[int]) -> dict[str, torch.Tensor]:
            seen.append(tuple(rows))
            return super().collate(rows)

    rows = Watched(encode(loaded.tokenizer, texts, 32), np.arange(48) % 2)
    trainer_of(loaded.model, rows, arguments_in(tmp_path / "out", epochs=2)).train()
    assert QuickDropout in map(type, loaded.model.modules()), "on a processor"
    first, second = seen[:6], seen[6:]
    assert sorted(sum(first, ())) == sorted(sum(second, ())) == list(range(48))
    assert first != second


def told_losses(tmp_path: Path, steps: int) -> list[LossLogged]:
    """The points that are told of a run of so many steps whose loss at step n is n."""
    context = JobContext(JobDirectory.create(tmp_path, kind="test", module="none", spec={}))
    telling, state, control = Telling(context, rows=100), TrainerState(max_steps=steps, epoch=0.0), TrainerControl()
    arguments = TrainingArguments(output_dir=str(tmp_path / "out"), use_cpu=True)
    telling.on_train_begin(arguments, state, control)
    for step in range(1, steps + 1):
        state.global_step = step
        telling.on_log(arguments, state, control, logs={"loss": float(step), "learning_rate": 0.1, "grad_norm": 1.0})
    return [event for event in context.job.events() if isinstance(event, LossLogged)]


def test_long_run_tells_few_points_of_which_the_first_come_at_once(tmp_path: Path) -> None:
    told = told_losses(tmp_path, 20_000)
    assert len(told) <= MOST_LOSS_POINTS + STEPS_TOLD_EACH
    assert [event.step for event in told[:STEPS_TOLD_EACH]] == list(range(1, STEPS_TOLD_EACH + 1))
    assert told[-1].step == 20_000
    between = told[-1].step - told[-2].step
    assert told[-1].loss == pytest.approx(20_000 - (between - 1) / 2), "each point is the mean since the last"


def test_short_run_tells_every_step(tmp_path: Path) -> None:
    assert [event.step for event in told_losses(tmp_path, 300)] == list(range(1, 301))


def test_time_of_evaluating_and_writing_is_not_that_of_training(tmp_path: Path) -> None:
    context = JobContext(JobDirectory.create(tmp_path, kind="test", module="none", spec={}))
    telling, state, control = Telling(context, rows=100), TrainerState(max_steps=2, epoch=0.5), TrainerControl()
    arguments = arguments_in(tmp_path / "out")
    telling.on_train_begin(arguments, TrainerState(epoch=0.0), control)
    time.sleep(0.3)
    telling.on_save(arguments, state, control)
    state.global_step = 1
    telling.on_step_end(arguments, state, control)
    assert telling.examples_per_second > 50 / 0.2


def test_loss_that_is_not_finite_is_told_by_step_and_rate(tmp_path: Path) -> None:
    context = JobContext(JobDirectory.create(tmp_path, kind="test", module="none", spec={}))
    state = TrainerState(max_steps=10, global_step=3)
    with pytest.raises(LossNotFinite) as caught:
        Telling(context, 10).on_log(None, state, None, logs={"loss": float("inf"), "learning_rate": 0.5})
    assert (caught.value.step, caught.value.learning_rate) == (3, 0.5)


@pytest.mark.parametrize(
    ("epochs", "steps", "train", "validation", "times"),
    [
        (3, 150, 9700, 1100, 2),
        (8, 150, 9700, 1100, 2),
        (100, 150, 9700, 1100, 1),
        (1, 2, 100, 10, 2),
        (1, 150, 10_000, 250, 12),
        (1, 9, 90, 90, 1),
    ],
)
def test_runs_are_evaluated_often_but_not_dearly(
    epochs: int, steps: int, train: int, validation: int, times: int
) -> None:
    assert evaluations_an_epoch(epochs, steps, train, validation) == times


def test_full_disk_is_found_before_it_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage(1000, 900, 100 << 20))
    check_disk(tmp_path, 10 << 20)
    with pytest.raises(DiskFull) as caught:
        check_disk(tmp_path, 50 << 20)
    assert caught.value.free_bytes == 100 << 20


def test_disk_that_fills_while_weights_are_written_is_worded(tmp_path: Path) -> None:
    # What the writer of safetensors raises then: its own error, with the system's words and number in it.
    raised = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert isinstance(translate(raised, tmp_path), DiskFull)
    assert isinstance(translate(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), tmp_path), DiskFull)


def test_memory_that_cannot_be_had_is_worded() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    error = translate(caught.value)
    assert isinstance(error, MemoryFull)
    assert error.device == "cpu"
    assert translate(torch.OutOfMemoryError("CUDA out of memory")).facts["device"] == "cuda"
    assert isinstance(translate(OSError(errno.ENOMEM, "Cannot allocate memory")), MemoryFull)


def test_unknown_failures_stay_unexpected_and_keep_their_words() -> None:
    error = translate(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert isinstance(error, Unexpected)
    assert "mat1" in error.detail


def test_token_budget_batches_hold_every_row_and_no_more_tokens_than_allowed() -> None:
    lengths = np.random.default_rng(0).geometric(0.04, size=5003).clip(3, 120)
    batches = list(TokenBudgetBatches(lengths, 1700, seed=1))
    assert sorted(row for batch in batches for row in batch) == list(range(5003))
    padded = [-(-lengths[batch].max() // 8) * 8 * len(batch) for batch in batches]
    assert max(padded) <= 1700
    assert sum(padded) < 1.3 * lengths.sum()


@pytest.mark.parametrize(("processes", "accumulation"), [(1, 1), (2, 1), (2, 3), (3, 4)])
def test_token_budget_batches_are_dealt_out_in_equal_numbers_in_every_epoch(processes: int, accumulation: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 100, size=997)
    shared = [
        TokenBudgetBatches(lengths, 800, 1, processes=processes, process=process, accumulation=accumulation)
        for process in range(processes)
    ]
    for epoch in range(3):
        for batches in shared:
            batches.set_epoch(epoch)
        dealt = [list(batches) for batches in shared]
        assert len({len(batches) for batches in dealt}) == 1
        assert len(dealt[0]) == len(shared[0])
        assert len(dealt[0]) % accumulation == 0
        rows = [row for batches in dealt for batch in batches for row in batch]
        assert set(rows) == set(range(997))
    first, second = (TokenBudgetBatches(lengths, 800, 1) for _ in range(2))
    second.set_epoch(1)
    assert list(first) != list(second)


def test_few_rows_are_dealt_out_to_every_process() -> None:
    dealt = [list(TokenBudgetBatches(np.array([5]), 8, 0, processes=2, process=p)) for p in range(2)]
    assert dealt == [[[0]], [[0]]], "there is but one row, and each process needs a batch"


def test_room_for_packed_texts_is_told_by_their_own_tokens_and_pairs(tmp_path: Path) -> None:
    """Of texts without padding memory grows with tokens and, for attention, with the square of each text's length."""
    texts = ["one", "two " * 30, "three " * 15, "four " * 15]
    folder = make_tiny(tmp_path / "model", "bert", texts)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=64, seed=1)
    loaded.model.set_attn_implementation("eager")
    rows = Rows(encode(loaded.tokenizer, texts, 64), np.zeros(4, dtype=int))
    arguments = arguments_in(tmp_path / "out")
    packed = Division.of(loaded.model, rows, arguments, splits=True, most_tokens=None)
    padded = Division.of(loaded.model, rows, arguments, splits=False, most_tokens=None)
    assert packed.packing is not None
    for division in (packed, padded):
        division.prove(rows.collate([1, 0]))  # 32 tokens and 3
        assert division.is_proven(rows.collate([1]))
    assert padded.is_proven(rows.collate([1, 2])), "as large with padding"
    assert not packed.is_proven(rows.collate([1, 2])), "more tokens of its own"
    few, many = rows.collate([2, 3]), rows.collate([2, 2])
    assert padded.is_proven(few), "34 of the 64 with padding"
    assert packed.is_proven(few), "34 of 35"
    packed.prove(rows.collate([2, 2, 2]))
    assert len(packed.proven) == 2, "more tokens, but fewer pairs: neither is within the other"
    assert packed.is_proven(many)
