"""What Auto decides, on machines of every kind; each decision has its words in both languages."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from backend.architectures import NO_CHECKPOINTING, OWN_ATTENTION
from backend.decisions import Decision, Known, decide, decided, keeps_bf16
from backend.environment import leave_card
from backend.machine import (
    Machine,
    machine_for,
    most_processes,
    this_machine,
    threads_each,
    usable_cores,
    without_card,
)
from backend.specs import STARTER, ComputeSpec, RunSpec, build_spec, value_at, without_effect
from studio.i18n import LANGUAGES, words

PLAIN = Machine(device="cpu", processor="any", cores=2, memory_bytes=8 << 30, bf16=False)
WITH_BF16 = replace(PLAIN, bf16=True, packages=("bitsandbytes", "peft"))
OLD_CARD = replace(PLAIN, device="cuda", card="T4", card_memory_bytes=16 << 30, capability=7.5)
NEW_CARD = replace(
    OLD_CARD, card="H100", capability=9.0, bf16=True, packages=("bitsandbytes", "flash_attn"), compiles=True
)
MACHINES = (PLAIN, WITH_BF16, OLD_CARD, NEW_CARD)


CARDS = {
    None: (3, "H100"),
    "1,2": (2, "A100"),
    "0": (1, "H100"),
    "0,1,": (2, "H100"),
    "0,-1,1": (1, "H100"),
    "0,7": (1, "H100"),
    "0,0": (1, "H100"),
    "GPU-5f,GPU-77": (2, "H200"),
    "-1": (0, ""),
    "": (0, ""),
}
"""What CUDA_VISIBLE_DEVICES leaves of three cards."""


@pytest.fixture
def three_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program as NVIDIA's that knows of three cards, and a torch that could use them; its metadata."""
    lines = {"0": "H100, 81559, 9.0", "1": "A100, 40960, 8.0", "2": "A100, 40960, 8.0", "GPU-5f": "H200, 143771, 9.0"}
    answers = [f"*--id={number}\\ *) echo '{line}';;" for number, line in lines.items()]
    answers.append("*--list-gpus*) printf 'GPU 0\\nGPU 1\\nGPU 2\\n';;")
    program = tmp_path / "nvidia-smi"
    program.write_text("\n".join(["#!/bin/sh", 'case "$*" in', *answers, "esac", ""]))
    program.chmod(0o755)
    about = tmp_path / "torch-9.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.0+cu130\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return about / "METADATA"


@pytest.mark.parametrize("visible", CARDS)
def test_cards_are_those_that_the_process_may_use(
    visible: str | None, three_cards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    machine = this_machine.__wrapped__()
    assert (machine.cards, machine.card) == CARDS[visible]
    assert (machine.device == "cuda") == (machine.cards > 0)


@pytest.mark.parametrize(("allowed", "share"), [("", 1), ("1", 0), ("999", 1), ("1,1", 0), ("0", 1), ("many", 1)])
def test_threads_are_as_few_as_the_environment_allows(
    allowed: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", allowed)
    assert threads_each(1) == (usable_cores() if share else 1)
    assert threads_each(10_000) == 1


def test_cards_are_of_no_use_to_a_torch_for_processors(three_cards: Path) -> None:
    three_cards.write_text(three_cards.read_text().replace("+cu130", "+cpu"))
    assert this_machine.__wrapped__().cards == 0


def test_processes_that_share_a_run_have_a_card_each_or_a_thread() -> None:
    assert most_processes(replace(NEW_CARD, cards=3)) == 3
    assert most_processes(replace(NEW_CARD, cards=1)) == 1
    assert most_processes(PLAIN) == max(2, len(os.sched_getaffinity(0)))


def spec_of(**values: object) -> RunSpec:
    """A run of a pretrained model; values by path with ``__``."""
    return RunSpec().replaced(**{"model__base": "someone/model", **values})


@pytest.mark.parametrize(
    ("machine", "asked", "width", "becomes", "refused"),
    [
        (PLAIN, "auto", 768, "fp32", False),
        (WITH_BF16, "auto", 768, "bf16", False),
        (WITH_BF16, "auto", 64, "fp32", False),
        (WITH_BF16, "bf16", 128, "bf16", False),
        (WITH_BF16, "fp16", 768, "fp32", True),
        (OLD_CARD, "auto", 768, "fp32", False),
        (OLD_CARD, "fp16", 768, "fp16", False),
        (OLD_CARD, "bf16", 768, "fp32", True),
        (NEW_CARD, "auto", 64, "bf16", False),
    ],
)
def test_precision_follows_what_the_device_can_do(
    machine: Machine, asked: str, width: int, becomes: str, refused: bool
) -> None:
    decision = decide(spec_of(training__precision=asked), machine, Known(width))[0]
    assert (decision.value, decision.refused) == (becomes, refused)


@pytest.mark.parametrize(("asked", "refused"), [("auto", False), ("bf16", True), ("fp16", True), ("fp32", False)])
def test_architecture_that_cannot_mix_numbers_is_computed_in_full_precision(asked: str, refused: bool) -> None:
    for machine in (WITH_BF16, NEW_CARD):
        decision = decide(spec_of(training__precision=asked), machine, Known(768, architecture="deberta"))[0]
        assert (decision.value, decision.refused) == ("fp32", refused)
        newer = decide(spec_of(training__precision="auto"), machine, Known(768, architecture="deberta-v2"))[0]
        assert newer.value == "bf16"


def test_architectures_are_what_their_classes_say() -> None:
    """Those that are named cannot; and of the families people use most none that cannot is missing."""
    encoders = {"bert", "roberta", "electra", "deberta", "deberta-v2", "distilbert", "albert", "xlm-roberta", "mpnet"}
    families = encoders | {"modernbert", "qwen3", "llama", "phi3", "gemma", "gpt2"}
    classes = {kind.model_type: model for kind, model in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.items()}
    assert {name for name in families if not classes[name]._supports_sdpa} == families & OWN_ATTENTION
    assert {name for name in families if not classes[name].supports_gradient_checkpointing} == (
        families & NO_CHECKPOINTING
    )
    assert not any(classes[name]._supports_sdpa for name in OWN_ATTENTION)
    assert not any(classes[name].supports_gradient_checkpointing for name in NO_CHECKPOINTING)


@pytest.mark.parametrize("machine", [PLAIN, NEW_CARD])
@pytest.mark.parametrize(("asked", "refused"), [("auto", False), ("eager", False), ("sdpa", True)])
def test_attention_of_an_architecture_that_has_its_own_is_eager(machine: Machine, asked: str, refused: bool) -> None:
    found = decide(spec_of(speed__attention=asked), machine, Known(768, architecture="deberta-v2"))
    decision = next(each for each in found if each.setting == "speed.attention")
    assert (decision.value, decision.refused) == ("eager", refused)


def test_processor_can_be_chosen_where_there_is_a_card(
    three_cards: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    this_machine.cache_clear()
    request.addfinalizer(this_machine.cache_clear)
    assert machine_for(ComputeSpec()).cards == 3
    chosen = machine_for(ComputeSpec(device="cpu"))
    assert (chosen.device, chosen.cards, chosen.card) == ("cpu", 0, "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    leave_card(ComputeSpec())
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "1,2"
    leave_card(ComputeSpec(device="cpu"))
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ.pop("ACCELERATE_USE_CPU")) == ("", "true")


def test_what_changes_nothing_without_another_setting_is_told() -> None:
    assert without_effect(RunSpec()) == []
    asked = RunSpec().replaced(adapting__lora_rank=4, adapting__lora_targets=("query",), adapting__trained_layers=1)
    assert without_effect(asked) == [
        ("without_effect", {"settings": "--trained-layers", "needed": "--freeze lower"}),
        ("without_effect", {"settings": "--lora-rank, --lora-target", "needed": "--adapter lora"}),
    ]
    assert without_effect(asked.replaced(adapting__adapter="lora", adapting__trained_layers=2)) == []
    constant = RunSpec().replaced(training__scheduler="constant", training__warmup_steps=5)
    assert without_effect(constant) == [
        ("without_effect_with", {"settings": "--warmup-steps", "other": "--scheduler constant"})
    ]
    assert without_effect(constant.replaced(training__scheduler="constant_with_warmup")) == []
    assert [code for code, _ in without_effect(RunSpec().replaced(model__revision="v2"))] == ["without_effect_with"]
    assert without_effect(RunSpec().replaced(model__base="someone/m", model__revision="v2")) == []


@pytest.mark.parametrize(
    ("width", "settings", "becomes"),
    [
        (None, {}, None),
        (1024, {}, 2e-5),
        (768, {}, 2e-5),
        (384, {}, 8e-5),
        (64, {}, 3e-4),
        (768, {"adapting__adapter": "lora"}, 2e-4),
        (None, {"adapting__adapter": "lora"}, 2e-4),
        (384, {"training__learning_rate": 1e-3}, 1e-3),
        (768, {"adapting__freeze": "body"}, 5e-3),
        (768, {"adapting__freeze": "lower"}, 2e-5),
        (384, {"training__optimizer": "sgd"}, 0.3),
        (None, {"training__optimizer": "sgd", "adapting__freeze": "body"}, 0.3),
        (384, {"training__optimizer": "sgd", "training__max_gradient_norm": 0.0}, 0.03),
        (None, {"training__optimizer": "sgd", "model__base": STARTER}, 0.3),
        (384, {"training__optimizer": "lion_8bit"}, 8e-5),
    ],
)
def test_learning_rate_left_open_suits_the_model(
    width: int | None, settings: dict[str, object], becomes: float | None
) -> None:
    assert decided(decide(spec_of(**settings), WITH_BF16, Known(width)), "training.learning_rate") == becomes


def test_the_starter_and_wider_models_are_learned_in_bf16_and_narrower_ones_are_not() -> None:
    assert decided(decide(build_spec({}), WITH_BF16), "training.precision") == "bf16"
    assert decided(decide(build_spec({}), PLAIN), "training.precision") == "fp32"
    assert decided(decide(spec_of(), WITH_BF16, Known(64)), "training.precision") == "fp32"


@pytest.mark.parametrize(
    ("machine", "becomes"), [(WITH_BF16, "sdpa"), (OLD_CARD, "sdpa"), (NEW_CARD, "flash_attention_2")]
)
def test_flash_attention_needs_its_package_a_new_card_and_short_numbers(machine: Machine, becomes: str) -> None:
    assert decided(decide(spec_of(speed__attention="flash_attention_2"), machine), "speed.attention") == becomes
    whole = spec_of(speed__attention="flash_attention_2", training__precision="fp32")
    assert decided(decide(whole, NEW_CARD), "speed.attention") == "sdpa"


@pytest.mark.parametrize(
    ("machine", "settings", "becomes"),
    [
        (PLAIN, {}, "length_split"),
        (WITH_BF16, {}, "length_split"),
        (NEW_CARD, {}, "length_grouped"),
        (PLAIN, {"model__base": STARTER}, "length_grouped"),
        (PLAIN, {"compute__processes": 2}, "length_split"),
        (PLAIN, {"compute__processes": 2, "compute__fsdp": True}, "length_grouped"),
        (PLAIN, {"speed__compile": "on"}, "length_grouped"),
        (PLAIN, {"speed__padding": "longest"}, "length_grouped"),
        (NEW_CARD, {"speed__batching": "length_split"}, "length_split"),
    ],
)
def test_batches_are_computed_in_parts_where_that_costs_little(
    machine: Machine, settings: dict[str, object], becomes: str
) -> None:
    assert decided(decide(spec_of(**settings), machine), "speed.batching") == becomes


def test_an_optimizer_without_its_package_becomes_one_that_is_there() -> None:
    asked = spec_of(training__optimizer="adamw_8bit")
    assert decided(decide(asked, PLAIN), "training.optimizer") == "adamw_fused"
    assert decided(decide(asked, WITH_BF16), "training.optimizer") == "adamw_8bit"


@pytest.mark.parametrize(
    ("machine", "settings", "becomes"),
    [
        (NEW_CARD, {}, "adamw_8bit"),
        (replace(NEW_CARD, card_memory_bytes=80 << 30), {}, "adamw_fused"),
        (NEW_CARD, {"adapting__adapter": "lora"}, "adamw_fused"),
        (NEW_CARD, {"adapting__freeze": "lower"}, "adamw_fused"),
        (NEW_CARD, {"training__optimizer": "adamw"}, "adamw"),
        (OLD_CARD, {}, "adamw_fused"),
        (WITH_BF16, {}, "adamw_fused"),
        (replace(NEW_CARD, card_memory_bytes=0), {}, "adamw_fused"),
    ],
)
def test_states_that_would_fill_the_card_are_kept_in_8_bits(
    machine: Machine, settings: dict[str, object], becomes: str
) -> None:
    known = Known(1024, parameters=1_000_000_000)
    assert decided(decide(spec_of(**settings), machine, known), "training.optimizer") == becomes


@pytest.mark.parametrize(
    ("machine", "settings", "tokens", "becomes", "reason"),
    [
        (NEW_CARD, {}, 1_000_000_000, "on", "long_run"),
        (NEW_CARD, {}, 1_000_000, "off", "short_run"),
        (NEW_CARD, {}, None, None, "by_work"),
        (NEW_CARD, {"model__base": STARTER}, 1_000_000_000, "off", "starter"),
        (NEW_CARD, {"compute__processes": 2, "compute__fsdp": True}, 1_000_000_000, "off", "sharded"),
        (NEW_CARD, {"speed__compile": "off"}, 1_000_000_000, "off", "asked"),
        (NEW_CARD, {"speed__compile": True}, 1, "on", "asked"),
        (OLD_CARD, {}, 1_000_000_000, "off", "no_compiler"),
        (OLD_CARD, {"speed__compile": "on"}, 1_000_000_000, "off", "no_compiler"),
        (PLAIN, {}, 1_000_000_000, "off", "no_gain_here"),
    ],
)
def test_layers_are_compiled_on_a_card_where_the_run_is_long(
    machine: Machine, settings: dict[str, object], tokens: int | None, becomes: str | None, reason: str
) -> None:
    found = decide(spec_of(**settings), machine, Known(768, parameters=100_000_000, tokens=tokens))
    decision = next(each for each in found if each.setting == "speed.compile")
    assert (decision.value, decision.reason) == (becomes, reason)
    assert decision.refused == (settings.get("speed__compile") == "on")


@pytest.mark.parametrize(
    ("machine", "settings", "kept"),
    [
        (NEW_CARD, {"adapting__adapter": "lora"}, True),
        (NEW_CARD, {}, False),
        (NEW_CARD, {"adapting__adapter": "lora", "adapting__quantisation": "4bit"}, False),
        (NEW_CARD, {"adapting__adapter": "lora", "training__precision": "fp32"}, False),
        (OLD_CARD, {"adapting__adapter": "lora"}, False),
        (WITH_BF16, {"adapting__adapter": "lora"}, False),
    ],
)
def test_weights_that_stay_as_they_are_are_kept_short_on_a_card(
    machine: Machine, settings: dict[str, object], kept: bool
) -> None:
    assert keeps_bf16(spec_of(**settings), machine, "phi3") == kept
    assert not keeps_bf16(spec_of(**settings), machine, "deberta"), "it is not computed in bf16 either"
    told = next(each for each in decide(spec_of(**settings), machine) if each.setting == "training.precision")
    assert (told.reason == "has_bf16_base") == kept


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    """One of each that can come about on any machine, by any settings."""
    options = {
        "training__precision": ("auto", "fp32", "bf16", "fp16"),
        "speed__attention": ("auto", "eager", "sdpa", "flash_attention_2"),
        "training__optimizer": ("auto", "sgd", "adamw_8bit"),
        "speed__compile": ("auto", "on", "off"),
        "speed__tf32": (False, True),
        "speed__batching": ("auto", "random"),
        "training__max_length": (None, 64),
        "training__learning_rate": (None, 1e-3),
        "adapting__freeze": ("none", "body"),
        "adapting__adapter": ("none", "lora"),
    }
    large, long = Known(768, 4_000_000_000, "deberta", 1000), Known(384, 100_000_000, "bert", 10**9)
    found = {}
    for values in itertools.product(*options.values()):
        spec = spec_of(**dict(zip(options, values, strict=True)))
        for machine in MACHINES:
            for decision in [*decide(spec, machine), *decide(spec, machine, large), *decide(spec, machine, long)]:
                found[decision.setting, decision.reason, decision.value, tuple(decision.facts)] = decision
    return list(found.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_decision_is_worded(decisions: list[Decision], language: str) -> None:
    t = words(language)  # type: ignore[arg-type]
    assert len(decisions) > 40
    for decision in decisions:
        assert t(f"decision.{decision.setting}.{decision.reason}", **decision.facts)
        assert not isinstance(decision.value, str) or t.has(f"choice.{decision.setting}.{decision.value}")


@pytest.mark.parametrize(
    ("setting", "asked"),
    [
        ("training.accumulation", 4),
        ("speed.padding", "longest"),
        ("speed.activation_checkpointing", True),
        ("speed.workers", 2),
    ],
)
def test_switches_that_are_left_as_they_are_say_why(setting: str, asked: object) -> None:
    for spec, reason in ((spec_of(), "usual"), (spec_of(**{setting.replace(".", "__"): asked}), "asked")):
        decision = next(each for each in decide(spec, PLAIN) if each.setting == setting)
        assert (decision.value, decision.reason) == (value_at(spec, setting), reason)
        assert all(words(language)(f"decision.{setting}.{reason}") for language in LANGUAGES)


def test_without_its_card_a_machine_is_what_its_processor_is() -> None:
    processor = without_card(NEW_CARD)
    assert (processor.device, processor.card, processor.tf32) == ("cpu", "", False)
    assert processor.bf16 == this_machine().bf16 or this_machine().device == "cuda"
    assert decided(decide(spec_of(speed__attention="flash_attention_2"), processor), "speed.attention") == "sdpa"
