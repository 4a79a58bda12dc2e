"""Every training setting of the schema changes what really runs."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback

import backend.training.trainer as trainer_module
from backend.errors import LossNotFinite, ModelUnusable
from backend.jobs.events import Evaluated, LossLogged, ModelDescribed, Noted
from backend.jobs.process import JobContext
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.specs import TrainingSpec
from backend.training.arguments import build_arguments
from backend.training.precision import choose_precision
from backend.training.rows import Rows
from backend.training.trainer import ClassificationTrainer
from tests.training.conftest import Workshop, events_of


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[ClassificationTrainer]:
    """Every trainer that a run makes; each really trains."""
    made: list[ClassificationTrainer] = []

    class Seen(ClassificationTrainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

    monkeypatch.setattr(trainer_module, "ClassificationTrainer", Seen)
    return made


def test_every_training_setting_reaches_the_trainer(workshop: Workshop, trainers: list[Any]) -> None:
    given = {
        "epochs": 3,
        "batch_size": 48,
        "learning_rate": 7e-4,
        "max_length": 12,
        "warmup_share": 0.25,
        "weight_decay": 0.07,
        "patience": 1,
        "precision": "fp32",
    }
    assert set(given) == set(TrainingSpec.model_fields), "a new setting needs a line here"
    run, _ = workshop.do_here(workshop.spec("bert", **{f"training__{name}": value for name, value in given.items()}))
    (trainer,) = trainers
    arguments = trainer.args
    assert arguments.num_train_epochs == 3
    assert arguments.per_device_train_batch_size == 48
    assert trainer.lr_scheduler.base_lrs == [7e-4, 7e-4]
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.07, 0.0}
    steps = trainer.state.max_steps
    assert arguments.get_warmup_steps(steps) == round(0.25 * steps)
    assert trainer.train_dataset.texts.lengths.max() == 12
    assert (arguments.bf16, arguments.fp16) == (False, False)
    keeping = next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "BestCheckpoint")
    assert keeping._patience == 1
    losses = events_of(run, LossLogged)
    assert max(loss.learning_rate for loss in losses) == pytest.approx(7e-4)


def test_short_precision_computes_in_bf16_and_leaves_full_weights(workshop: Workshop) -> None:
    if choose_precision("bf16", torch.device("cpu"), 32).name != "bf16":
        pytest.skip("this processor has no bf16 instructions")
    run, result = workshop.do_here(workshop.spec("bert", training__precision="bf16", training__epochs=1))
    assert events_of(run, ModelDescribed)[0].precision == "bf16"
    assert np.isfinite(result["metrics"]["loss"])


def test_precision_that_the_device_lacks_is_replaced_and_said(workshop: Workshop) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine's graphics card can compute in fp16")
    run, _ = workshop.do_here(workshop.spec("bert", training__precision="fp16", training__epochs=1))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["precision_refused"] == {"asked": "fp16", "used": "fp32"}


def test_run_without_progress_ends_early_by_patience(workshop: Workshop) -> None:
    # At this rate nothing changes, so no evaluation is better than the first.
    still = {"training__learning_rate": 1e-12, "training__epochs": 40, "training__patience": 2}
    run, _ = workshop.do_here(workshop.spec("bert", **still))
    assert len([e for e in events_of(run, Evaluated) if e.split == "validation"]) < 10


def test_same_seed_gives_the_same_run_and_another_seed_another(workshop: Workshop) -> None:
    def losses(seed: int) -> list[float]:
        run, _ = workshop.do_here(workshop.spec("bert", training__epochs=1, split__seed=seed))
        return [event.loss for event in events_of(run, LossLogged)]

    first = losses(1)
    assert losses(1) == first
    assert losses(2) != first


def test_damaged_base_model_is_refused_before_training(workshop: Workshop, tmp_path: Path) -> None:
    for file in workshop.models["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"].fill_(float("nan"))
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnusable):
        workshop.do_here(workshop.spec(str(tmp_path)))


def test_loss_that_becomes_nan_ends_the_run_within_three_steps(workshop: Workshop) -> None:
    texts = ["fast delivery", "cold and late"] * 40
    loaded = load_base(workshop.models["bert"], name="bert", labels=["a", "b"], task="binary", max_length=16, seed=1)
    rows = Rows(encode(loaded.tokenizer, texts, 16), np.arange(80) % 2)
    run = workshop.store.create(workshop.spec("bert"))
    steps = itertools.count()

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        good = torch.nn.functional.cross_entropy(outputs["logits"], labels)
        return good * (math.nan if next(steps) >= 4 else 1.0)

    device = torch.device("cpu")
    settings = {"warmup_share": 0.0, "weight_decay": 0.0, "precision": "fp32", "device": device, "seed": 1}
    arguments = build_arguments(run.path, epochs=5, batch_size=8, learning_rate=1e-3, **settings)
    with pytest.raises(LossNotFinite) as caught:
        trainer_module.fine_tune(
            JobContext(run),
            loaded,
            task="binary",
            train=rows,
            validation=rows,
            arguments=arguments,
            patience=0,
            loss=loss,
            checkpoints=run.path,
        )
    assert 5 <= caught.value.step <= 7


def test_accumulated_batches_have_the_loss_and_the_weights_of_one_large_batch(workshop: Workshop) -> None:
    texts = [f"{word} {number}" for number in range(20) for word in ("fast delivery", "cold and late")]

    def trained(batch_size: int, accumulation: int) -> tuple[float, torch.Tensor]:
        loaded = load_base(
            workshop.models["bert"], name="bert", labels=["a", "b"], task="binary", max_length=16, seed=1
        )
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        rows = Rows(encode(loaded.tokenizer, texts, 16), np.arange(40) % 2)
        run = workshop.store.create(workshop.spec("bert"))
        settings = {"warmup_share": 0.0, "weight_decay": 0.0, "precision": "fp32", "device": torch.device("cpu")}
        arguments = build_arguments(run.path, epochs=1, batch_size=batch_size, learning_rate=1e-3, seed=1, **settings)
        arguments.gradient_accumulation_steps = accumulation
        told: list[float] = []

        class Losses(TrainerCallback):
            def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
                told.append(logs.get("loss", math.nan))

        trainer = ClassificationTrainer(
            task="binary",
            args=arguments,
            model=loaded.model,
            train=rows,
            validation=rows,
            loss=None,
            check_stop=lambda: None,
            callbacks=[Losses()],
        )
        trainer.train()
        return told[0], loaded.model.classifier.weight.detach()

    loss, weights = trained(40, 1)
    accumulated_loss, accumulated_weights = trained(10, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-4)
    assert torch.allclose(accumulated_weights, weights, atol=1e-5)


def test_trainer_is_still_a_transformers_trainer() -> None:
    assert issubclass(ClassificationTrainer, Trainer)
