"""What a step and an evaluation do besides the model's own passes: clipping, shortened weights, memory that is kept."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backend.errors import LossNotFinite
from backend.models.encoding import encode
from backend.models.forward import tokens_a_batch
from backend.models.loading import load_base
from backend.training.rows import Rows
from backend.training.trainer import ClassificationTrainer
from tests.tiny_models import make_tiny
from tests.training.little_trainer import arguments_in, trainer_of

TEXTS = [f"text {number} {'long ' * (number * number % 61)}" for number in range(48)]
LONGEST = 64


def a_trainer(tmp_path: Path, **told: Any) -> ClassificationTrainer:
    """One for a tiny BERT."""
    folder = make_tiny(tmp_path / "model", "bert", TEXTS)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=LONGEST, seed=1)
    rows = Rows(encode(loaded.tokenizer, TEXTS, LONGEST), np.arange(48) % 2)
    return trainer_of(loaded.model, rows, arguments_in(tmp_path / "out", batch_size=16, **told))


@pytest.mark.parametrize("most", [1.0, 0.01])
def test_gradients_are_clipped_to_their_norm(tmp_path: Path, most: float) -> None:
    trainer = a_trainer(tmp_path, max_gradient_norm=most)
    trainer.create_optimizer_and_scheduler(3)
    parameters = list(trainer.model.parameters())
    torch.manual_seed(0)
    gradients = [torch.randn_like(p) * 1e-4 for p in parameters]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    parameters[0].grad = None
    wanted = math.sqrt(sum(float(g.double().square().sum()) for g in gradients[1:]))
    assert 0.01 < wanted < 1.0, "more than one of the two allows"
    norm = trainer._get_grad_norm(trainer.model, trainer._clip_grad_norm(trainer.model))
    assert float(norm) == pytest.approx(wanted, rel=1e-5)
    assert parameters[0].grad is None
    for parameter, gradient in zip(parameters[1:], gradients[1:], strict=True):
        torch.testing.assert_close(parameter.grad, gradient * min(1.0, most / wanted), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_is_found_while_it_is_clipped(tmp_path: Path, wrong: float) -> None:
    trainer = a_trainer(tmp_path)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    next(trainer.model.parameters()).grad[0] = wrong
    trainer.create_optimizer_and_scheduler(3)
    with pytest.raises(LossNotFinite):
        trainer._get_grad_norm(trainer.model, trainer._clip_grad_norm(trainer.model))


class Shortened(TorchDispatchMode):
    """Counts how often each tensor is made bfloat16 while it is open, by where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def __torch_dispatch__(self, function: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default and found.dtype is torch.bfloat16:
            self.counts[args[0].data_ptr()] += 1
        return found


def test_an_evaluation_shortens_each_weight_once(tmp_path: Path) -> None:
    trainer = a_trainer(tmp_path, precision="bf16")
    rows = np.arange(len(TEXTS)).repeat(20)
    texts = trainer.train_dataset.texts.chosen(rows)
    linear = [module.weight for module in trainer.model.modules() if isinstance(module, torch.nn.Linear)]
    assert len(list(texts.batches(tokens_a_batch(torch.device("cpu"))))) > 3
    with Shortened() as shortened:
        trainer.evaluate(Rows(texts, trainer.train_dataset.targets[rows]))
    assert [shortened.counts[weight.data_ptr()] for weight in linear] == [1] * len(linear)


KEEPING = """
import psutil, torch
from backend.models.memory import keep_memory, release_memory
held = lambda: psutil.Process().memory_info().rss >> 20
def use():
    pieces = [torch.ones(10_000_000) for _ in range(8)]
if {kept}:
    keep_memory()
before = held()
use()
after = held()
release_memory()
print(after - before, held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is told what to keep where it is glibc's")
@pytest.mark.parametrize("kept", [True, False])
def test_freed_memory_is_kept_until_it_is_released(kept: bool) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", KEEPING.format(kept=kept)], capture_output=True, text=True, check=True
    )
    after, released = map(int, asked.stdout.split())
    assert (after > 250) == kept, "of 305 MB"
    assert released < 60


@pytest.mark.parametrize(("wish", "kernels"), [(None, "16384"), ("77", "77")])
def test_kernels_are_kept_unless_the_environment_says_how_many(
    wish: str | None, kernels: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    if wish:
        monkeypatch.setenv(name, wish)
    told = f"import os; from backend.models.forward import prepare_processor as p; p(); print(os.environ[{name!r}])"
    asked = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == kernels
