"""The sizes of a model, told from its files alone, and what the options are expected to change with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoModel

from backend.lab.expectations import Expectation, expectations, footprint
from backend.machine import Machine
from backend.models.shape import Shape, shape_of
from backend.specs import STARTER, RunSpec
from studio.i18n import words
from tests.tiny_models import KINDS, make_tiny

BERT = Shape(width=768, layers=12, heads=12, parameters=109_000_000, layer_parameters=7_000_000)
DESK = Machine("cpu", "", 2, 24 << 30, bf16=True, packages=("bitsandbytes", "peft"))
CARD = Machine("cuda", "", 8, 64 << 30, bf16=True, card="A card", card_memory_bytes=24 << 30, capability=8.6)
PAGING = replace(CARD, card_memory_bytes=40 << 30, packages=("bitsandbytes",))


@pytest.mark.parametrize("kind", KINDS)
def test_shape_is_that_of_the_loaded_model(kind: str, tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / kind, kind, ["good food", "cold soup"])
    model = AutoModel.from_pretrained(folder)
    shape = shape_of(str(folder))
    assert shape is not None
    assert (shape.width, shape.layers, shape.heads) == (32, 2, 2)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert 0 < shape.layer_parameters < shape.parameters / 2


def test_listed_model_has_a_shape_and_others_have_none(tmp_path: Path) -> None:
    phi = shape_of("microsoft/Phi-3-mini-4k-instruct")
    assert phi is not None
    assert (phi.width, phi.layers) == (3072, 32)
    assert phi.layers * phi.layer_parameters == pytest.approx(phi.parameters, rel=0.1)
    assert shape_of(STARTER) is None
    assert shape_of("nobody/knows") is None
    (tmp_path / "config.json").write_text('{"hidden_size": "wide"}')
    assert shape_of(str(tmp_path)) is None


def expected(spec: RunSpec, machine: Machine = CARD) -> dict[str, Expectation]:
    """By code."""
    return {each.code: each for each in expectations(spec, machine, BERT)}


def test_options_save_what_arithmetic_says() -> None:
    machine = replace(CARD, packages=("bitsandbytes", "peft"))
    spec = RunSpec().replaced(model__base="some/bert", training__max_length=128, training__precision="fp32")
    found = expected(spec, machine)
    whole = footprint(spec, machine, BERT)
    assert whole.weights == whole.gradients == whole.moments / 2 == 4 * BERT.parameters
    assert found["mixed_precision"].saved_bytes == pytest.approx(whole.activations / 2)
    assert found["optimizer_8bit"].saved_bytes == pytest.approx(6 * BERT.parameters)
    assert found["checkpointing"].work == pytest.approx(4 / 3, abs=1e-3)
    assert 0 < found["checkpointing"].saved_bytes < whole.activations
    assert found["frozen"].work < found["lora"].work < 1
    inside = BERT.layers * BERT.layer_parameters
    assert found["lora_8bit"].saved_bytes == pytest.approx(found["lora"].saved_bytes + 3 * inside), "but not the rest"
    assert found["lora_4bit"].saved_bytes > found["lora_8bit"].saved_bytes
    short = footprint(spec.replaced(training__precision="auto", adapting__adapter="lora"), machine, BERT)
    assert short.weights == 2 * BERT.parameters, "what LoRA leaves alone is kept in bf16"
    twice = footprint(spec.replaced(training__batch_size=128), machine, BERT)
    assert twice.activations == 2 * whole.activations
    shards = footprint(spec.replaced(compute__processes=4, compute__fsdp=True), machine, BERT)
    assert 4 * (shards.weights + shards.gradients + shards.moments) == whole.weights + whole.gradients + whole.moments


@pytest.mark.parametrize(
    ("machine", "settings", "fits"),
    [
        (DESK, {}, False),
        (DESK, {"adapting__adapter": "lora"}, True),
        (DESK, {"adapting__freeze": "lower", "adapting__trained_layers": 2}, True),
        (DESK, {"adapting__adapter": "lora", "compute__processes": 2}, False),
        (CARD, {"adapting__adapter": "lora"}, True),
        (CARD, {"adapting__adapter": "lora", "compute__processes": 2}, True),
        (CARD, {}, False),
        (PAGING, {"training__optimizer": "paged_adamw", "speed__activation_checkpointing": True}, True),
        (replace(CARD, card_memory_bytes=80 << 30), {}, True),
    ],
)
def test_model_that_is_too_large_whatever_the_batch_is_told(
    machine: Machine, settings: dict[str, object], fits: bool
) -> None:
    spec = RunSpec().replaced(**{"model__base": "microsoft/Phi-3-mini-4k-instruct", **settings})
    phi = shape_of(spec.model.base)
    assert phi is not None
    assert footprint(spec, machine, phi).fits(machine, spec.compute.processes) == fits


def test_embeddings_are_frozen_however_many_layers_are_trained() -> None:
    frozen = {"adapting__freeze": "lower", "adapting__trained_layers": 100}
    found = footprint(RunSpec().replaced(model__base="some/bert", **frozen), CARD, BERT)
    assert found.gradients == 4 * BERT.layers * BERT.layer_parameters


def test_what_an_architecture_cannot_do_is_no_saving() -> None:
    spec, machine = RunSpec().replaced(model__base="some/model"), replace(CARD, packages=("bitsandbytes", "peft"))

    def hindrance(architecture: str, code: str) -> str:
        shape = replace(BERT, architecture=architecture)
        return next(each.hindrance for each in expectations(spec, machine, shape) if each.code == code)

    assert hindrance("bert", "checkpointing") == hindrance("bert", "mixed_precision") == ""
    assert hindrance("albert", "checkpointing") == "decision.speed.activation_checkpointing.architecture"
    assert hindrance("deberta", "mixed_precision") == "decision.training.precision.architecture"
    flash = hindrance("deberta-v2", "flash")
    assert flash == "decision.speed.attention.architecture"
    assert "{" not in words("en")(flash) + words("zh-CN")(flash)
    own = footprint(spec, machine, replace(BERT, architecture="deberta-v2"))
    assert own.activations > footprint(spec, machine, BERT).activations, "its scores are kept"


def test_option_that_is_on_is_told_against_being_without_it() -> None:
    spec = RunSpec().replaced(model__base="some/bert", speed__activation_checkpointing=True)
    found = expected(spec)["checkpointing"]
    assert found.on
    assert found.saved_bytes > 0
    assert found.work == pytest.approx(4 / 3, abs=1e-3)


def test_what_cannot_be_had_says_why() -> None:
    spec = RunSpec().replaced(model__base="some/bert")
    assert expected(spec)["optimizer_8bit"].hindrance.endswith("no_bitsandbytes")
    assert expected(spec)["flash"].hindrance.endswith("no_flash")
    processor = expected(spec, Machine("cpu", "", 2, 8 << 30, bf16=False, packages=("bitsandbytes",)))
    assert processor["half_precision"].hindrance.endswith("no_fp16")
    assert processor["tf32"].hindrance.endswith("no_card")
    assert processor["optimizer_8bit"].remark.endswith("slow_here")
