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
from torch._inductor import config as inductor_config
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, Trainer, TrainerCallback

import backend.training.fine_tuning as fine_tuning
from backend.asked import check_weighted
from backend.errors import LabelWeightsUnknown, LabelWeightsZero, LossNotFinite, ModelUnusable, TrackerMissing
from backend.jobs.events import CheckpointSaved, Evaluated, LossLogged, ModelDescribed, Noted, OptionsDecided
from backend.jobs.process import JobContext
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.machine import this_machine
from backend.models.encoding import encode
from backend.models.loading import load_base, load_finished
from backend.recipes import SGD_RATE
from backend.training.compiling import codes_made, is_compiled
from backend.training.fine_tuning import Schedule
from backend.training.rows import Rows, TokenBudgetBatches
from backend.training.setup import able, build_loss
from backend.training.trainer import ClassificationTrainer
from backend.training_specs import SpeedSpec, TrainingSpec
from studio.i18n import LANGUAGES, words
from tests.tiny_models import make_tiny
from tests.training.conftest import BAD, GOOD, Workshop, ended, events_of
from tests.training.little_trainer import arguments_in, trainer_of


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[ClassificationTrainer]:
    """Every trainer that a run makes; each really trains."""
    made: list[ClassificationTrainer] = []

    class Seen(ClassificationTrainer):
        def __init__(self, **given: Any) -> None:
            super().__init__(**given)
            made.append(self)

    monkeypatch.setattr(fine_tuning, "ClassificationTrainer", Seen)
    return made


def test_every_training_setting_reaches_the_trainer(workshop: Workshop, trainers: list[Any]) -> None:
    given = {
        "epochs": 3,
        "batch_size": 48,
        "learning_rate": 7e-4,
        "max_length": 12,
        "warmup_share": 0.25,
        "weight_decay": 0.07,
        "patience": 7,
        "precision": "fp32",
        "max_steps": 9,
        "accumulation": 2,
        "optimizer": "sgd",
        "scheduler": "cosine",
        "warmup_steps": 0,
        "layer_decay": 0.5,
        "max_gradient_norm": 0.25,
        "loss": "focal",
        "focal_gamma": 1.5,
        "class_weights": "balanced",
        "label_weights": {"good": 3.0},
        "label_smoothing": 0.0,
        "metric": "mcc",
        "evaluations": 2,
        "saves": 3,
        "deterministic": False,
        "trackers": (),
    }
    assert set(given) == set(TrainingSpec.model_fields), "a new setting needs a line here"
    run, _ = workshop.do_here(workshop.spec("bert", **{f"training__{name}": value for name, value in given.items()}))
    (trainer,) = trainers
    arguments = trainer.args
    assert arguments.num_train_epochs == 3
    assert arguments.per_device_train_batch_size == 48
    assert sorted({round(rate / 7e-4, 6) for rate in trainer.lr_scheduler.base_lrs}) == [0.125, 0.25, 0.5, 1.0]
    assert type(trainer.optimizer.optimizer).__name__ == "SGD"
    assert arguments.usual_rate == SGD_RATE
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.gradient_accumulation_steps == 2
    assert arguments.max_grad_norm == 0.25
    assert trainer.state.global_step == 9
    loss = trainer.compute_loss_func
    assert (loss.gamma, loss.smoothing) == (1.5, 0.0)
    assert loss.weights[1] / loss.weights[0] == pytest.approx(3.0, rel=0.05), "as many bad reviews as good ones"
    assert {group["weight_decay"] for group in trainer.optimizer.param_groups} == {0.07, 0.0}
    steps = trainer.state.max_steps
    assert arguments.get_warmup_steps(steps) == math.ceil(0.25 * steps)
    assert trainer.train_dataset.texts.lengths.max() == 12
    assert (arguments.bf16, arguments.fp16) == (False, False)
    keeping = next(c for c in trainer.callback_handler.callbacks if type(c).__name__ == "Checkpoints")
    assert (keeping._patience, keeping._metric) == (7, "mcc")
    evaluated = [event.step for event in events_of(run, Evaluated) if event.split == "validation"]
    assert evaluated[:2] == [2, 3], "two an epoch of three steps"
    saved = [event.step for event in events_of(run, CheckpointSaved)]
    assert saved[:3] == [1, 2, 3], "one more an epoch than evaluations"
    losses = events_of(run, LossLogged)
    assert max(loss.learning_rate for loss in losses) == pytest.approx(7e-4)


def test_every_setting_of_speed_reaches_the_trainer(workshop: Workshop, trainers: list[Any]) -> None:
    given = {
        "batching": "token_budget",
        "padding": "dynamic",
        "attention": "sdpa",
        "activation_checkpointing": True,
        "compile": "off",
        "tf32": True,
        "workers": 1,
    }
    assert set(given) == set(SpeedSpec.model_fields), "a new setting needs a line here"
    values = {f"speed__{name}": value for name, value in given.items()}
    run, _ = workshop.do_here(workshop.spec("bert", training__epochs=1, **values))
    (trainer,) = trainers
    assert isinstance(trainer.get_train_dataloader().batch_sampler, TokenBudgetBatches)
    assert trainer.model.config._attn_implementation == "sdpa"
    assert trainer.model.is_activation_checkpointing
    assert trainer.args.dataloader_num_workers == 1
    decisions = {d["setting"]: d for d in events_of(run, OptionsDecided)[0].decisions}
    assert decisions["speed.tf32"]["value"] == this_machine().tf32
    assert decisions["speed.batching"]["value"] == "token_budget"


def test_texts_padded_to_the_longest_are_as_long_as_texts_may_be(workshop: Workshop, trainers: list[Any]) -> None:
    workshop.do_here(workshop.spec("bert", training__epochs=1, training__max_length=40, speed__padding="longest"))
    assert trainers[0].train_dataset.collate([0, 1])["input_ids"].shape[1] == 40


def test_a_maximum_length_left_open_fits_the_training_texts(workshop: Workshop, trainers: list[Any]) -> None:
    run, _ = workshop.do_here(workshop.spec("bert", training__max_steps=2, speed__padding="longest"))
    decision = next(d for d in events_of(run, OptionsDecided)[0].decisions if d["setting"] == "training.max_length")
    assert (decision["asked"], decision["reason"]) == (None, "fits_texts")
    assert decision["value"] % 8 == 0
    assert trainers[0].train_dataset.collate([0])["input_ids"].shape[1] == decision["value"]
    assert load_finished(run.path / "model").max_length == decision["value"]


def test_a_learning_rate_left_open_is_that_of_so_narrow_a_model(workshop: Workshop, trainers: list[Any]) -> None:
    workshop.do_here(workshop.spec("bert", training__max_steps=2, training__learning_rate=None))
    assert trainers[0].args.learning_rate == 3e-4


@pytest.mark.timeout(900)
def test_compiled_layers_learn_what_plain_ones_do_and_are_saved_as_such(
    workshop: Workshop, trainers: list[Any]
) -> None:
    spec = workshop.spec("bert", training__epochs=2, training__precision="fp32", speed__batching="length_grouped")
    before = codes_made()
    run, result = workshop.do_here(spec.replaced(speed__compile="on"))
    assert before < codes_made() <= before + 3, "one code for all layers, for any length, and for the first again"
    assert not is_compiled(trainers[0].model), "it is asked as it is written"
    plain, plain_result = workshop.do_here(spec.replaced(speed__compile="off"))
    assert result["metrics"]["loss"] == pytest.approx(plain_result["metrics"]["loss"], abs=0.05), "dropout differs"
    saved, as_plain = (load_file(job.path / "model" / "model.safetensors") for job in (run, plain))
    assert saved.keys() == as_plain.keys()
    assert not any(note.code == "compile_failed" for note in events_of(run, Noted))


def test_layers_that_cannot_be_compiled_are_trained_as_they_are_written(
    workshop: Workshop, trainers: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inductor_config.cpp, "cxx", ("/bin/false",))
    monkeypatch.setattr(inductor_config, "force_disable_caches", True)
    torch._dynamo.reset()  # what an earlier test compiled is not taken
    torch._dynamo.utils.counters.clear()
    run, result = workshop.do_here(workshop.spec("bert", speed__compile="on", training__max_steps=3))
    assert [note.code for note in events_of(run, Noted)].count("compile_failed") == 1
    assert torch._dynamo.utils.counters["frames"]["total"] == 1, "where one layer fails the others are not tried"
    assert "torch.compile failed" in caplog.text
    assert np.isfinite(result["metrics"]["loss"])
    assert trainers[0].state.global_step == 3


def test_warmup_by_steps_takes_the_place_of_the_share(workshop: Workshop, trainers: list[Any]) -> None:
    workshop.do_here(workshop.spec("bert", training__warmup_steps=5, training__max_steps=6))
    assert trainers[0].args.get_warmup_steps(1000) == 5


def test_two_labels_asked_for_as_several_classes_are_learned(workshop: Workshop) -> None:
    run, result = workshop.do_here(workshop.spec("bert", data__task="multiclass", training__epochs=1))
    assert read_report(run)["task"] == "multiclass"
    assert 0 <= result["metrics"]["roc_auc"] <= 1


def test_polynomial_decay_after_a_warmup_of_all_steps_ends(workshop: Workshop, trainers: list[Any]) -> None:
    steps = {"training__warmup_share": 0.9, "training__max_steps": 1, "training__scheduler": "polynomial"}
    _, result = workshop.do_here(workshop.spec("bert", **steps))
    assert trainers[0].state.global_step == 1
    assert np.isfinite(result["metrics"]["loss"])


def test_a_tracker_that_is_not_installed_is_named_with_its_remedy(workshop: Workshop) -> None:
    if "wandb" in this_machine().packages:
        pytest.skip("wandb is installed here")
    with pytest.raises(TrackerMissing) as caught:
        workshop.do_here(workshop.spec("bert", training__trackers=("wandb",)))
    assert caught.value.facts == {"tracker": "wandb", "package": "wandb"}


def test_a_weight_for_a_label_that_there_is_not_is_refused(workshop: Workshop) -> None:
    with pytest.raises(LabelWeightsZero):
        check_weighted({"bad": 0, "good": 0}, ["bad", "good"])
    check_weighted({"bad": 0}, ["bad", "good"])
    with pytest.raises(LabelWeightsUnknown) as caught:
        workshop.do_here(workshop.spec("bert", training__label_weights={"excellent": 2.0}))
    assert caught.value.facts == {"given": ["excellent"], "labels": ["bad", "good"]}


def test_short_precision_computes_in_bf16_and_leaves_full_weights(workshop: Workshop) -> None:
    if not this_machine().bf16:
        pytest.skip("this processor has no bf16 instructions")
    run, result = workshop.do_here(workshop.spec("bert", training__precision="bf16", training__epochs=1))
    assert events_of(run, ModelDescribed)[0].precision == "bf16"
    assert np.isfinite(result["metrics"]["loss"])


def test_precision_that_the_device_lacks_is_replaced_and_said(workshop: Workshop) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine's graphics card can compute in fp16")
    run, _ = workshop.do_here(workshop.spec("bert", training__precision="fp16", training__epochs=1))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["refused_precision"] == {"asked": "fp16", "used": "fp32"}


def test_run_without_progress_ends_early_by_patience(workshop: Workshop) -> None:
    # At this rate nothing changes, so no evaluation is better than the first.
    still = {"training__learning_rate": 1e-12, "training__epochs": 40, "training__patience": 2}
    run, _ = workshop.do_here(workshop.spec("bert", **still))
    assert len([e for e in events_of(run, Evaluated) if e.split == "validation"]) < 10
    (told,) = (note.facts for note in events_of(run, Noted) if note.code == "ended_early")
    assert (told["count"], told["step"]) == (2, events_of(run, LossLogged)[-1].step)
    assert told["step"] < told["steps"]
    assert str(told["steps"]) in words("zh-CN")("note.ended_early", **told)


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


@pytest.mark.parametrize(("good_steps", "kept"), [(0, "last"), (9, "last"), (58, "best")])
def test_loss_that_becomes_nan_ends_the_run_before_the_weights_are_touched(
    workshop: Workshop, good_steps: int, kept: str
) -> None:
    texts = ["fast delivery", "cold and late"] * 40
    loaded = load_base(workshop.models["bert"], name="bert", labels=["a", "b"], task="binary", max_length=16, seed=1)
    rows = Rows(encode(loaded.tokenizer, texts, 16), np.arange(80) % 2)
    run = workshop.store.create(workshop.spec("bert"))
    steps = itertools.count()

    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        good = torch.nn.functional.cross_entropy(outputs["logits"], labels)
        return good * (math.nan if next(steps) >= good_steps else 1.0)

    outcome = fine_tuning.fine_tune(
        JobContext(run),
        loaded.model,
        task="binary",
        train=rows,
        validation=rows,
        arguments=arguments_in(run.path, epochs=6),
        schedule=Schedule(patience=0, metric="f1_macro"),
        loss=loss,
        data={},
    )
    assert isinstance(outcome.failure, LossNotFinite)
    assert outcome.failure.step == good_steps + 1
    assert (outcome.step, outcome.failure.kept) == (good_steps, kept), "the step is not taken"
    assert all(p.isfinite().all() for p in loaded.model.parameters())
    saved = list(run.path.rglob("*.safetensors"))
    assert bool(saved) == (good_steps >= 10), "what was saved was saved after an epoch"
    assert all(tensor.isfinite().all() for file in saved for tensor in load_file(file).values())


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
        told: list[float] = []

        class Losses(TrainerCallback):
            def on_log(self, *_: Any, logs: dict[str, Any], **__: Any) -> None:
                told.append(logs.get("loss", math.nan))

        arguments = arguments_in(run.path, batch_size=batch_size, accumulation=accumulation)
        trainer_of(loaded.model, rows, arguments, callbacks=[Losses()]).train()
        return told[0], loaded.model.classifier.weight.detach()

    loss, weights = trained(40, 1)
    accumulated_loss, accumulated_weights = trained(10, 4)
    assert accumulated_loss == pytest.approx(loss, rel=1e-4)
    assert torch.allclose(accumulated_weights, weights, atol=1e-5)


def test_trainer_is_still_a_transformers_trainer() -> None:
    assert issubclass(ClassificationTrainer, Trainer)


def test_a_deterministic_run_uses_nothing_that_is_not(workshop: Workshop) -> None:
    # It holds for a whole process, so not in this one; what has no deterministic way would raise there.
    run = ended(workshop.start(workshop.spec("bert", training__epochs=1, training__deterministic=True)))
    assert run.status().state == JobState.COMPLETED


def test_determinism_reaches_the_arguments(tmp_path: Path) -> None:
    assert arguments_in(tmp_path, deterministic=True).full_determinism


def test_weights_and_smoothing_of_the_settings_are_those_of_the_loss() -> None:
    training = TrainingSpec(label_smoothing=0.2, class_weights="balanced", label_weights={"b": 2.0})
    loss = build_loss(training, "binary", ["a", "b"], np.array([0, 0, 0, 1]))
    assert (loss.smoothing, loss.gamma, loss.multilabel) == (0.2, 0.0, False)
    assert loss.weights is not None
    assert loss.weights.tolist() == pytest.approx([4 / 6, 2 * 4 / 2])
    assert build_loss(TrainingSpec(), "multilabel", ["a"], np.ones((3, 1))).weights is None


def test_setting_that_changes_nothing_is_told_by_the_run(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("bert", training__max_steps=1, adapting__lora_rank=4))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["without_effect"] == {"settings": "--lora-rank", "needed": "--adapter lora"}
    for language in LANGUAGES:
        assert "--lora-rank" in words(language)("note.without_effect", **notes["without_effect"])


def test_attention_that_an_architecture_lacks_is_decided_to_be_its_own() -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 90}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("rembert", **sizes))
    own = able(model, "sdpa", asked="auto")
    assert own is not None
    assert (own.value, own.refused) == ("eager", False), "nobody asked for it"
    told = able(model, "sdpa", asked="sdpa")
    assert told is not None
    assert told.refused
    assert able(model, "eager", asked="auto") is None
    t5 = AutoModelForSequenceClassification.from_config(
        AutoConfig.for_model("t5", d_model=32, d_ff=32, num_layers=1, num_heads=2, d_kv=16, vocab_size=90)
    )
    fused = able(t5, "flash_attention_2", asked="flash_attention_2")
    assert fused is not None
    assert (fused.value, fused.refused) == ("sdpa", True), "the best that it has"


def test_run_decides_on_the_attention_that_it_computes(workshop: Workshop, tmp_path: Path) -> None:
    make_tiny(tmp_path, "bert", [*GOOD, *BAD])
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = AutoConfig.for_model("deberta-v2", **sizes, vocab_size=AutoConfig.from_pretrained(tmp_path).vocab_size)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    run, _ = workshop.do_here(workshop.spec(str(tmp_path), training__max_steps=1, speed__attention="sdpa"))
    decided_on = {each["setting"]: each for each in events_of(run, OptionsDecided)[0].decisions}["speed.attention"]
    assert (decided_on["value"], decided_on["reason"], decided_on["refused"]) == ("eager", "architecture", True)
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["refused_attention_of_model"] == {"architecture": "deberta-v2", "asked": "sdpa", "used": "eager"}
