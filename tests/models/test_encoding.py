"""Texts become token numbers and batches without loss, and models take no more than they can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, RobertaConfig

from backend.errors import WeightsDamaged
from backend.models.encoding import encode, unknown_share
from backend.models.forward import predict_logits
from backend.models.loading import load_base, load_finished, longest_input
from tests.tiny_models import KINDS, make_tiny

TEXTS = ["cold", "tasty and hot, great soup " * 3, "late again", "", "x" * 300]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base model of each kind."""
    folder = tmp_path_factory.mktemp("models")
    return {kind: make_tiny(folder / kind, kind, TEXTS * 10, positions=64) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_hold_the_texts_and_change_no_answer(folders: dict[str, Path], kind: str) -> None:
    loaded = load_base(folders[kind], name=kind, labels=["a", "b", "c"], task="multiclass", max_length=500, seed=1)
    assert loaded.max_length == (500 if kind == "t5" else 64), "what its positions allow, where it counts any"
    encoded = encode(loaded.tokenizer, TEXTS, 64)
    assert encoded.lengths.max() <= 64
    assert encoded.lengths.min() >= 1
    batch = encoded.batch([0, 1])
    assert batch["input_ids"].shape[1] % 8 == 0
    assert batch["attention_mask"].sum(1).tolist() == encoded.lengths[:2].tolist()
    together = predict_logits(loaded.model, encoded)
    alone = [predict_logits(loaded.model, encode(loaded.tokenizer, [text], 64))[0] for text in TEXTS]
    assert together == pytest.approx(np.stack(alone), abs=1e-5)


def test_batches_by_length_hold_every_row_within_the_limit(folders: dict[str, Path]) -> None:
    loaded = load_base(folders["bert"], name="m", labels=["a", "b"], task="binary", max_length=64, seed=1)
    encoded = encode(loaded.tokenizer, [f"{'soup ' * (n % 20)}{n}" for n in range(300)], 64)
    batches = list(encoded.batches(most_tokens=256))
    assert sorted(np.concatenate(batches).tolist()) == list(range(300))
    assert all(encoded.lengths[rows].max() * len(rows) <= 256 for rows in batches)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_gives_the_same_new_head_and_it_is_named(folders: dict[str, Path], kind: str) -> None:
    def load(seed: int) -> tuple[list[str], torch.Tensor]:
        about = {"labels": ["差评", "好评"], "task": "binary", "max_length": 32}
        loaded = load_base(folders[kind], name=kind, **about, seed=seed)
        assert loaded.model.config.id2label == {0: "差评", 1: "好评"}
        names = [name for name in loaded.new_parameters if name.endswith("weight")]
        return loaded.new_parameters, loaded.model.state_dict()[names[-1]]

    names, weights = load(1)
    assert names
    assert torch.equal(load(1)[1], weights)
    assert not torch.equal(load(2)[1], weights)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_model_has_every_weight_and_buffer_of_the_loaded_one(folders: dict[str, Path], kind: str) -> None:
    about: dict[str, Any] = {"labels": ["a", "b"], "task": "binary", "max_length": 64, "seed": 1}
    whole, empty = (load_base(folders[kind], name=kind, **about, empty=empty).model for empty in (False, True))
    shapes = [[(name, p.shape, p.dtype) for name, p in model.named_parameters()] for model in (whole, empty)]
    assert shapes[0] == shapes[1]
    assert all(parameter.is_meta for parameter in empty.parameters())
    kept = [dict(model.named_buffers()) for model in (whole, empty)]
    assert kept[0].keys() == kept[1].keys()
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[0])


def test_finished_model_keeps_its_length(folders: dict[str, Path], tmp_path: Path) -> None:
    loaded = load_base(folders["bert"], name="m", labels=["a", "b"], task="binary", max_length=24, seed=1)
    loaded.model.save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert load_finished(tmp_path).max_length == 24


def test_unknown_script_is_measured(folders: dict[str, Path]) -> None:
    loaded = load_base(folders["bert"], name="m", labels=["a", "b"], task="binary", max_length=64, seed=1)
    assert unknown_share(loaded.tokenizer, ["tasty and hot"], 64) == 0
    assert unknown_share(loaded.tokenizer, ["饭菜有些咸"], 64) == 1
    assert unknown_share(loaded.tokenizer, [], 64) == 0


def test_damaged_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    for file in folders["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00not json")
    with pytest.raises(WeightsDamaged):
        load_base(tmp_path, name="m", labels=["a", "b"], task="binary", max_length=24, seed=1)


def test_longest_input_leaves_room_for_padding(folders: dict[str, Path]) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folders["bert"], model_max_length=int(1e30))
    assert longest_input(BertConfig(max_position_embeddings=50), tokenizer, 512) == 48
    assert longest_input(BertConfig(max_position_embeddings=50), tokenizer, 30) == 30
    assert longest_input(RobertaConfig(max_position_embeddings=514), tokenizer, 600) == 512
