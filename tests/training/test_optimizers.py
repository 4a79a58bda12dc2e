"""Every optimizer and schedule that can be chosen really trains, with the rate that Auto takes for it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from backend.errors import SpecError
from backend.jobs.events import Evaluated, LossLogged
from backend.jobs.summaries import read_report
from backend.machine import this_machine
from backend.models.encoding import encode
from backend.models.loading import load_base
from backend.training.rows import Rows
from backend.training_specs import BestMetric, Optimizer, Scheduler
from tests.tiny_models import make_tiny
from tests.training.conftest import Workshop, events_of
from tests.training.little_trainer import arguments_in, trainer_of

KINDS = {
    "adamw": "AdamW",
    "adamw_fused": "AdamW",
    "adamw_8bit": "AdamW",
    "paged_adamw": "AdamW",
    "paged_adamw_8bit": "AdamW",
    "adafactor": "Adafactor",
    "lion_8bit": "Lion",
    "sgd": "SGD",
}
"""Classes of torch, Transformers and bitsandbytes, whose AdamW is one class with settings."""


RATES = {"sgd": 0.1}
"""Of the others: 0.003."""


def rows_of(folder: Path) -> tuple[Any, Rows]:
    """A tiny BERT, so wide that moments of 8 bits are kept of its weights, and texts that it can learn."""
    texts = [word for _ in range(16) for word in ("fast delivery", "cold and late")]
    make_tiny(folder, "bert", texts, width=64)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=16, seed=1)
    return loaded.model, Rows(encode(loaded.tokenizer, texts, 16), np.arange(32) % 2)


@pytest.mark.parametrize("name", [name for name in get_args(Optimizer) if name != "auto"])
def test_optimizer_learns(tmp_path: Path, name: str) -> None:
    if "bitsandbytes" not in this_machine().packages and name not in ("adamw", "adamw_fused", "adafactor", "sgd"):
        pytest.skip("bitsandbytes is not installed")
    model, rows = rows_of(tmp_path / "model")
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    settings = {"optimizer": name, "learning_rate": RATES.get(name, 3e-3)}
    trainer = trainer_of(model, rows, arguments_in(tmp_path / "out", epochs=12, **settings))
    first = trainer.evaluate()["eval_loss"]
    trainer.train()
    wrapped: Any = trainer.optimizer
    assert type(wrapped.optimizer).__name__.startswith(KINDS[name])
    # From random weights the gradient alone, as SGD takes it, leads nowhere quickly.
    assert trainer.evaluate()["eval_loss"] < first - (0.0 if name == "sgd" else 0.5)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    moved = [key for key, p in model.named_parameters() if not torch.equal(p, before[key])]
    assert any("layer.0" in key for key in moved), "its layers learn, too"


@pytest.mark.parametrize("name", get_args(Scheduler))
def test_learning_rate_rises_and_goes_on_as_its_schedule_says(workshop: Workshop, name: str) -> None:
    settings = {"training__scheduler": name, "training__warmup_steps": 4, "training__max_steps": 12}
    run, _ = workshop.do_here(workshop.spec("bert", training__batch_size=8, **settings))
    rates = [event.learning_rate / 3e-3 for event in events_of(run, LossLogged)]
    assert len(rates) == 12
    if name == "constant":
        assert rates == pytest.approx([1.0] * 12)
        return
    assert rates[:4] == pytest.approx([0.0, 0.25, 0.5, 0.75])
    later = {
        "linear": [1 - done / 8 for done in range(8)],
        "cosine": [(1 + math.cos(math.pi * done / 8)) / 2 for done in range(8)],
        "constant_with_warmup": [1.0] * 8,
        "inverse_sqrt": [math.sqrt(4 / (4 + done)) for done in range(8)],
        "polynomial": [1 - done / 8 for done in range(8)],
    }
    assert rates[4:] == pytest.approx(later[name], abs=1e-4)


@pytest.mark.parametrize("metric", [name for name in get_args(BestMetric) if name not in ("auto", "jaccard")])
def test_best_model_is_best_in_the_metric_that_was_chosen(workshop: Workshop, metric: str) -> None:
    settings = {"training__max_steps": 40, "training__batch_size": 16, "training__evaluations": 3}
    run, _ = workshop.do_here(workshop.spec("bert", training__metric=metric, **settings))
    seen = [event for event in events_of(run, Evaluated) if event.split == "validation"]
    values = {event.step: -event.loss if metric == "loss" else event.metrics[metric] for event in seen}
    assert len(values) > 3
    assert values[read_report(run)["best"]["step"]] == max(values.values())  # type: ignore[index]


def test_best_model_of_several_labels_is_best_in_their_jaccard_index(workshop: Workshop) -> None:
    settings = {"training__max_steps": 6, "training__metric": "jaccard"}
    run, _ = workshop.do_here(workshop.spec("distilbert", "film_blurbs", **settings))
    seen = {e.step: e.metrics["jaccard"] for e in events_of(run, Evaluated) if e.split == "validation"}
    assert seen[read_report(run)["best"]["step"]] == max(seen.values())  # type: ignore[index]


def test_metric_that_is_not_measured_is_refused_once_the_labels_have_told_the_task(workshop: Workshop) -> None:
    with pytest.raises(SpecError) as caught:
        workshop.do_here(workshop.spec("bert", data__task="auto", training__metric="jaccard"))
    assert [problem["setting"] for problem in caught.value.problems] == ["training.metric"]
