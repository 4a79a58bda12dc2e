"""Freezing and LoRA, over the architectures that people bring: what is trained changes, and nothing else does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, pipeline

from backend.decisions import NEEDS_FP32
from backend.errors import CheckpointingMissing, LoraTargetsMissing, ModelUnusable, SpecError
from backend.jobs.events import ModelDescribed, Noted
from backend.models.before import load_before
from backend.models.encoding import encode
from backend.models.forward import predict_logits
from backend.models.loading import LoadedModel, load_base
from backend.specs import build_spec
from backend.training.adapters import adapt, linear_names
from backend.training.layers import depths, freeze, layer_stacks
from backend.training.rows import Rows
from tests.tiny_models import make_tiny
from tests.training.conftest import BAD, GOOD, Workshop, events_of
from tests.training.little_trainer import arguments_in, trainer_of

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 90}
GROUPED = {**SMALL, "num_key_value_heads": 1, "head_dim": 16}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "roberta": SMALL,
    "electra": {**SMALL, "embedding_size": 16},
    "deberta": {**SMALL, "pos_att_type": ["p2c", "c2p"], "relative_attention": True},
    "deberta-v2": {**SMALL, "pos_att_type": ["p2c", "c2p"], "relative_attention": True},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64, "vocab_size": 90},
    "albert": {**SMALL, "embedding_size": 16},
    "xlm-roberta": SMALL,
    "mpnet": SMALL,
    "modernbert": {**SMALL, "global_attn_every_n_layers": 2, "pad_token_id": 0},
    "gpt2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 90},
    "llama": GROUPED,
    "qwen3": GROUPED,
    "phi3": {**SMALL, "num_key_value_heads": 2},
    "gemma": GROUPED,
    "t5": {
        "d_model": 32,
        "d_kv": 16,
        "d_ff": 64,
        "num_layers": 3,
        "num_heads": 2,
        "vocab_size": 90,
        "decoder_start_token_id": 0,
    },
}
HEAD_WORDS = ("classifier", "score", "head", "pooler")


def config_of(family: str) -> Any:
    """The configuration of a tiny classifier of the family with three layers (ALBERT: three passes through one)."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return AutoConfig.for_model(family, **{**special, **FAMILIES[family]}, num_labels=3)


def tiny(family: str) -> Any:
    """A random classifier of that configuration."""
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(config_of(family))


def learn_one_step(model: Any) -> dict[str, bool]:
    """Whether each parameter changed by a step of plain gradient descent on made-up texts."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = torch.randint(3, 90, (4, 9), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 2  # T5 looks at the end-of-text token
    model.train()
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([0, 1, 2, 1])).loss
    loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0).step()
    return {name: not torch.equal(before[name], p) for name, p in model.named_parameters()}


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_computed_in_short_precision_or_known_to_need_the_full_one(
    family: str, precision: torch.dtype
) -> None:
    model, ids = tiny(family).train(), torch.randint(3, 90, (4, 12), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 2
    mask = torch.ones_like(ids)
    mask[1:, -3:] = 0
    if family != "t5":  # it looks at the end-of-text token
        ids = ids * mask
    with torch.autocast("cpu", dtype=precision):
        if family in NEEDS_FP32:
            with pytest.raises(RuntimeError, match="overflow"):
                model(input_ids=ids, attention_mask=mask)
            return
        loss = model(input_ids=ids, attention_mask=mask, labels=torch.tensor([0, 1, 2, 1])).loss
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def base_of(folder: Path, family: str) -> Path:
    """A tiny base model of the family with a tokenizer of the workshop's words."""
    make_tiny(folder, "t5" if family == "t5" else "bert", [*GOOD, *BAD])
    config = AutoConfig.from_pretrained(folder)
    sizes = {**FAMILIES[family], "vocab_size": config.vocab_size, "pad_token_id": 0}
    AutoModel.from_config(AutoConfig.for_model(family, **sizes)).save_pretrained(folder)
    return folder


def test_family_that_needs_full_precision_gets_it_and_the_run_says_so(workshop: Workshop, tmp_path: Path) -> None:
    base = base_of(tmp_path / "deberta", "deberta")
    run, _ = workshop.do_here(workshop.spec(str(base), training__epochs=1, training__precision="bf16"))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["refused_precision_of_model"] == {"architecture": "deberta", "asked": "bf16", "used": "fp32"}
    assert events_of(run, ModelDescribed)[0].precision == "fp32"


@pytest.mark.parametrize("family", FAMILIES)
def test_activations_are_computed_again_or_their_lack_is_told_before_training(
    family: str, workshop: Workshop, tmp_path: Path
) -> None:
    base = base_of(tmp_path / family, family)
    spec = workshop.spec(str(base), training__max_steps=1, speed__activation_checkpointing=True)
    if family in ("albert", "mpnet"):
        with pytest.raises(CheckpointingMissing) as caught:
            workshop.do_here(spec)
        assert caught.value.facts == {"architecture": family}
    else:
        assert np.isfinite(workshop.do_here(spec)[1]["metrics"]["loss"])


def layer_number(name: str) -> int | None:
    """The number of the layer that the parameter is in."""
    numbers = [int(part) for part in name.split(".") if part.isdigit()]
    return numbers[0] if numbers else None


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_last_layers_and_the_head_learn_where_the_lower_ones_are_frozen(family: str) -> None:
    model = tiny(family)
    told = freeze(model, "lower", trained_layers=1)
    changed = learn_one_step(model)
    layers = {name: layer_number(name) for name in changed}
    last = max(number for number in layers.values() if number is not None)
    frozen = [name for name, number in layers.items() if number is not None and number < last]
    assert not any(changed[name] for name in frozen)
    assert any(changed[name] for name, number in layers.items() if number == last)
    assert any(yes for name, yes in changed.items() if any(word in name for word in HEAD_WORDS)), "the head learns"
    assert not any(yes for name, yes in changed.items() if "embed" in name or "wte" in name)
    assert told.trainable < told.parameters
    assert told.shared == (family == "albert")
    assert (told.layers, told.trained_layers) == ((1, 1) if family == "albert" else (told.layers, told.layers // 3))


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_head_learns_where_the_body_is_frozen(family: str) -> None:
    model = tiny(family)
    told = freeze(model, "body", trained_layers=1)
    changed = learn_one_step(model)
    learned = {name for name, yes in changed.items() if yes}
    assert learned
    assert all(any(word in name for word in HEAD_WORDS) for name in learned), learned
    assert told.trained_layers == 0


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "t5"])
def test_depth_counts_from_the_head_down_to_the_embeddings(family: str) -> None:
    model = tiny(family)
    found = depths(model)
    layers = 1 if family == "albert" else 3
    assert sum(map(len, layer_stacks(model.base_model))) == layers
    assert max(found.values()) == layers + 1
    assert all(depth == layers + 1 for name, depth in found.items() if "word_embeddings" in name or "wte" in name)
    assert all(depth == 0 for name, depth in found.items() if name.startswith(("classifier", "score")))
    first = [depth for name, depth in found.items() if layer_number(name) == 0]
    assert set(first) == {layers}


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_trains_its_matrices_and_the_new_head_and_merges_into_a_plain_model(family: str) -> None:
    model = tiny(family)
    new = [name for name, _ in model.named_parameters() if any(w in name for w in ("classifier", "score", "head."))]
    loaded = LoadedModel(None, model, 16, new)
    adapted = adapt(loaded, rank=4, alpha=8, dropout=0.0, targets=(), checkpointing=False, merge_into=None)
    names = [name for name, p in adapted.model.named_parameters() if p.requires_grad]
    assert all("lora_" in name or "modules_to_save" in name for name in names)
    assert any("modules_to_save" in name for name in names)
    changed = learn_one_step(adapted.model)
    assert any(yes for name, yes in changed.items() if "lora_B" in name)
    assert not any(yes for name, yes in changed.items() if "lora_" not in name and "modules_to_save" not in name)
    ids = torch.randint(3, 90, (2, 7), generator=torch.Generator().manual_seed(2))
    ids[:, -1] = 2
    adapted.model.eval()
    with torch.no_grad():
        learned = adapted.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        merged = adapted.merged()
        plain = merged.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    assert not any("lora" in name or "modules_to_save" in name for name in merged.state_dict())
    assert torch.allclose(learned, plain, atol=1e-4)


def test_every_setting_of_lora_reaches_its_matrices() -> None:
    loaded = LoadedModel(None, tiny("bert"), 16, ["classifier.weight"])
    adapted = adapt(loaded, rank=3, alpha=12, dropout=0.25, targets=("query",), checkpointing=False, merge_into=None)
    layers = {name: m for name, m in adapted.model.named_modules() if hasattr(m, "lora_A")}
    assert len(layers) == 3
    assert all(name.endswith("query") for name in layers)
    for layer in layers.values():
        assert (layer.r["default"], layer.scaling["default"], layer.lora_dropout["default"].p) == (3, 4.0, 0.25)


def test_targets_that_the_layers_do_not_have_are_refused_with_those_they_have() -> None:
    loaded = LoadedModel(None, tiny("bert"), 16, ["classifier.weight"])
    with pytest.raises(LoraTargetsMissing) as caught:
        adapt(loaded, rank=4, alpha=8, dropout=0.0, targets=("q_proj",), checkpointing=False, merge_into=None)
    assert caught.value.available == linear_names(loaded.model)
    assert {"query", "key", "value", "dense"} <= set(caught.value.available)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "distilbert"])
def test_a_run_with_lora_ends_in_a_model_that_loads_anywhere(workshop: Workshop, kind: str) -> None:
    dataset = "film_blurbs" if kind == "distilbert" else "reviews"
    spec = workshop.spec(kind, dataset, adapting__adapter="lora", adapting__lora_rank=4, training__epochs=3)
    run, _ = workshop.do_here(spec)
    described = events_of(run, ModelDescribed)[0]
    assert described.trainable < described.parameters
    assert "adapter_config.json" not in {file.name for file in (run.path / "model").iterdir()}
    answer = pipeline("text-classification", model=str(run.path / "model"), top_k=None)("fast delivery")
    assert answer


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantised_weights_are_trained_by_lora_and_saved_whole(workshop: Workshop, tmp_path: Path, bits: str) -> None:
    # The package's kernels for processors take rows of at least 64 weights, as all real models have.
    base_folder = make_tiny(tmp_path / "wide", "bert", ["fast delivery", "cold and late"] * 9, width=64)
    asked = {"adapting__adapter": "lora", "adapting__quantisation": bits, "training__max_steps": 6}
    run, result = workshop.do_here(workshop.spec(str(base_folder), **asked))
    saved = load_file(run.path / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    base = load_file(base_folder / "model.safetensors")
    name = "encoder.layer.0.output.dense.weight"
    difference = (saved[f"bert.{name}"] - base[name]).abs().max()
    assert 0 < difference < 0.05, "the base's own weights, not rounded ones, and what LoRA learned"
    (described,) = events_of(run, ModelDescribed)
    assert described.parameters == sum(tensor.numel() for tensor in saved.values()), "however many lie in one byte"
    assert result["metrics"]["f1_macro"] >= 0


def test_layer_weights_that_a_folder_lacks_are_not_trained_in_few_bits(workshop: Workshop, tmp_path: Path) -> None:
    base = make_tiny(tmp_path / "wide", "bert", ["fast delivery", "cold and late"] * 9, width=64)
    whole = load_file(base / "model.safetensors")
    lacking = "encoder.layer.1.attention.self.query"
    save_file({n: v for n, v in whole.items() if lacking not in n}, base / "model.safetensors", {"format": "pt"})
    asked: dict[str, Any] = {"adapting__adapter": "lora", "training__max_steps": 4}
    with pytest.raises(ModelUnusable) as caught:
        workshop.do_here(workshop.spec(str(base), adapting__quantisation="4bit", **asked))
    assert lacking in caught.value.facts["detail"]
    run, _ = workshop.do_here(workshop.spec(str(base), **asked))
    begun = load_before(run.path).model.state_dict()[f"bert.{lacking}.weight"]
    saved = load_file(run.path / "model" / "model.safetensors")[f"bert.{lacking}.weight"]
    assert not torch.equal(begun, saved), "it is trained whole"


def test_lora_beside_weights_in_bf16_is_learned_and_merged_in_full_precision(tmp_path: Path) -> None:
    texts = [*GOOD, *BAD]
    folder = make_tiny(tmp_path / "base", "gpt2", texts)
    load = partial(load_base, folder, name="m", labels=["bad", "good"], task="binary", max_length=16, seed=1)
    loaded = load(dtype=torch.bfloat16)
    about: dict[str, Any] = {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": (), "checkpointing": False}
    adapted = adapt(loaded, **about, merge_into=lambda: load().model)
    kept = {p.requires_grad: p.dtype for p in adapted.model.parameters()}
    assert kept == {True: torch.float32, False: torch.bfloat16}
    rows = Rows(encode(loaded.tokenizer, texts, 16), np.array([1] * len(GOOD) + [0] * len(BAD)))
    arguments = arguments_in(tmp_path / "out", epochs=20, batch_size=10, learning_rate=5e-3, precision="bf16")
    trainer_of(adapted.model, rows, arguments).train()
    learned = predict_logits(adapted.model, rows.texts)
    merged, base = adapted.merged(), load().model.state_dict()
    state = merged.state_dict()
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    changed = {name for name in state if not torch.equal(state[name], base[name])}
    learning = {n for n in state if (".c_" in n and n.endswith("weight")) or n == "score.weight"}
    assert changed == learning, "the others are the base model's, not rounded"
    assert np.abs(predict_logits(merged, rows.texts) - learned).max() < 0.1, "bf16 has three digits"
    assert ((learned.argmax(axis=1) == rows.targets).mean()) == 1


def test_a_run_with_frozen_layers_leaves_them_as_they_were(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("bert", adapting__freeze="lower", adapting__trained_layers=1))
    saved = load_file(run.path / "model" / "model.safetensors")
    base = load_file(workshop.models["bert"] / "model.safetensors")
    lower, last = (f"encoder.layer.{n}.output.dense.weight" for n in (0, 1))
    assert torch.equal(saved[f"bert.{lower}"], base[lower])
    assert not torch.equal(saved[f"bert.{last}"], base[last])
    note = next(n for n in events_of(run, Noted) if n.code == "layers_frozen")
    assert note.facts["trained"] == 1


@pytest.mark.parametrize(
    ("document", "setting", "rule"),
    [
        ({"adapting": {"quantisation": "4bit"}}, "adapting.quantisation", "quantised_needs_lora"),
        ({"adapting": {"adapter": "lora", "freeze": "body"}}, "adapting.freeze", "lora_freezes"),
        ({"adapting": {"adapter": "lora"}, "training": {"layer_decay": 0.9}}, "training.layer_decay", "lora_has_no"),
        ({"adapting": {"adapter": "lora"}, "model": {"base": "starter"}}, "adapting.adapter", "starter_is_new"),
        ({"speed": {"batching": "token_budget", "padding": "longest"}}, "speed.batching", "budget_needs_dynamic"),
        ({"speed": {"batching": "length_split", "padding": "longest"}}, "speed.batching", "split_needs_dynamic"),
        ({"training": {"loss": "focal", "label_smoothing": 0.1}}, "training.label_smoothing", "focal_or_smoothing"),
    ],
)
def test_options_that_do_not_go_together_are_refused(document: dict[str, Any], setting: str, rule: str) -> None:
    with pytest.raises(SpecError) as caught:
        build_spec({"model": {"base": "someone/model"}, **document})
    (problem,) = caught.value.problems
    assert problem["setting"] == setting
    assert problem["rule"].startswith(f"conflict.{rule}")
