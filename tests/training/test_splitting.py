"""Random batches computed without padding, packed or in parts of like length: the same gradients."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from backend.models.encoding import PAD_TO_MULTIPLE, encode
from backend.models.forward import predict_logits
from backend.models.loading import load_base
from backend.training.packing import Packing
from backend.training.parts import cut_by_length, split_by_length
from backend.training.rows import Rows
from backend.training.trainer import ClassificationTrainer, measure
from tests.tiny_models import SIZE, make_tiny
from tests.training.little_trainer import arguments_in, trainer_of

TEXTS = [f"text {number} {'long ' * (number * number % 61)}" for number in range(48)]
LONGEST = 64


def padded(lengths: np.ndarray) -> np.ndarray:
    """As batches are."""
    return -(-lengths // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE


def price(parts: list[np.ndarray], lengths: np.ndarray, cost: float) -> float:
    """Padded tokens of all parts, and what the parts themselves cost."""
    return sum(padded(lengths)[part].max() * len(part) + cost for part in parts)


@pytest.mark.parametrize("cost", [1.0, 30.0, 100.0, 1e6])
def test_no_other_cut_is_cheaper(cost: float) -> None:
    for seed in range(20):
        lengths = np.random.default_rng(seed).geometric(0.04, size=9)
        parts = cut_by_length(lengths, cost)
        assert sorted(np.concatenate(parts).tolist()) == list(range(9))
        order = np.argsort(lengths)
        others = [
            [order[start:end] for start, end in pairwise([0, *edges, 9])]
            for count in range(9)
            for edges in combinations(range(1, 9), count)
        ]
        assert price(parts, lengths, cost) == min(price(other, lengths, cost) for other in others)


def test_a_batch_of_real_lengths_is_little_padded_in_few_parts() -> None:
    lengths = np.minimum(np.random.default_rng(0).geometric(0.04, size=64), 128)
    parts = cut_by_length(lengths)
    assert len(parts) < 8
    assert price(parts, lengths, 0.0) < 1.35 * lengths.sum()
    assert padded(lengths).max() * 64 > 4 * lengths.sum(), "which is what it saves"


@pytest.mark.parametrize(
    ("kind", "attention", "packed"),
    [("bert", "eager", True), ("bert", "sdpa", False), ("distilbert", "eager", True), ("gpt2", "eager", False)],
)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_the_whole_batch(
    tmp_path: Path, kind: str, attention: str, packed: bool, checkpointing: bool
) -> None:
    folder = make_tiny(tmp_path / "model", kind, TEXTS)

    def learned(batching: str) -> tuple[ClassificationTrainer, torch.Tensor]:
        loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=LONGEST, seed=1)
        loaded.model.set_attn_implementation(attention)
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        rows = Rows(encode(loaded.tokenizer, TEXTS, LONGEST), np.arange(48) % 2)
        trainer = trainer_of(loaded.model, rows, arguments_in(tmp_path / "out", batch_size=48), batching=batching)
        if checkpointing:
            loaded.model.gradient_checkpointing_enable({"use_reentrant": False})
        trainer.create_optimizer()
        for first in (0, 24):  # two batches of one step: the second adds to what the first has left
            batch = rows.collate(list(range(first, first + 24)))
            loss = trainer.training_step(trainer.model, batch, torch.tensor(48))
        return trainer, loss

    (split, split_loss), (whole, whole_loss) = learned("length_split"), learned("random")
    assert (len(split.division.parts_of(split.train_dataset.collate(list(range(24))))) == 1) == packed
    assert split.model.config._attn_implementation == whole.model.config._attn_implementation, "as it was"
    assert split_loss == pytest.approx(float(whole_loss), rel=1e-5)
    found, wanted = dict(split.model.named_parameters()), dict(whole.model.named_parameters())
    assert any(parameter.grad is not None and parameter.grad.abs().max() > 1e-3 for parameter in wanted.values())
    for name, parameter in wanted.items():
        if parameter.grad is None:
            assert found[name].grad is None
            continue
        assert not found[name].grad.is_sparse
        torch.testing.assert_close(found[name].grad, parameter.grad, rtol=1e-3, atol=1e-6, msg=name)


def test_evaluation_without_padding_gives_the_answers_of_padded_batches(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "model", "bert", TEXTS)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=LONGEST, seed=1)
    loaded.model.set_attn_implementation("eager")
    rows, asked = Rows(encode(loaded.tokenizer, TEXTS, LONGEST), np.arange(48) % 2), []
    trainer = trainer_of(loaded.model, rows, arguments_in(tmp_path / "out", batch_size=48), batching="length_split")
    wanted = measure("binary", predict_logits(loaded.model, rows.texts), rows.targets)
    last = loaded.model.bert.encoder.layer[-1]
    last.register_forward_hook(lambda _layer, _given, output: asked.append(output.shape[0] * output.shape[1]))
    found = trainer.evaluate()
    assert sum(asked) == len(TEXTS), "the last layer, for one token of each text"
    assert found == pytest.approx({f"eval_{name}": value for name, value in wanted.items()}, rel=1e-5)


def test_parts_hold_every_token_of_every_text(tmp_path: Path) -> None:
    folder = make_tiny(tmp_path / "model", "bert", TEXTS)
    loaded = load_base(folder, name="m", labels=["a", "b"], task="binary", max_length=LONGEST, seed=1)
    rows = Rows(encode(loaded.tokenizer, TEXTS, LONGEST), np.arange(48) % 2)
    batch = rows.collate(list(range(48)))
    parts = split_by_length(batch)

    def texts(batch: dict[str, torch.Tensor]) -> list[tuple[list[int], int]]:
        held = zip(batch["input_ids"], batch["attention_mask"].bool(), batch["labels"], strict=True)
        return [(ids[mask].tolist(), int(label)) for ids, mask, label in held]

    assert sorted(text for part in parts for text in texts(part)) == sorted(texts(batch))
    assert sum(part["input_ids"].numel() for part in parts) < batch["input_ids"].numel()


PACKED = {"bert": 0, "roberta": 2, "xlm-roberta": 2, "camembert": 2, "electra": 0, "albert": 0, "distilbert": 0}
"""Architectures that take packed batches, and the position of their first token."""
PADDED = ("deberta-v2", "mpnet", "modernbert", "gpt2", "qwen3", "t5")


def random_batch(pad_token: int) -> dict[str, torch.Tensor]:
    """Eight texts of unlike lengths."""
    lengths = torch.tensor([5, 9, 9, 30, 3, 17, 22, 40])
    mask = (torch.arange(40) < lengths[:, None]).long()
    ids = torch.randint(5, 100, mask.shape, generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids * mask + (1 - mask) * pad_token, "attention_mask": mask}


@pytest.mark.parametrize("kind", [*PACKED, *PADDED])
def test_what_takes_packed_batches_is_found_by_trying(kind: str) -> None:
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64} if kind == "distilbert" else SIZE
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 2)
    pad_token = 1 if PACKED.get(kind) == 2 else 0
    config = AutoConfig.for_model(
        kind, vocab_size=100, max_position_embeddings=80, pad_token_id=pad_token, **special, **sizes
    )
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).train()
    before, batch = config._attn_implementation, random_batch(pad_token)
    found = Packing.of(model, batch)
    assert (found is not None) == (kind in PACKED)
    assert (config._attn_implementation, model.training) == (before, True)
    if found is None:
        return
    assert found.first_position == PACKED[kind]
    assert (found.last is None) == (kind == "albert"), "whose one layer is also the last"
    packed = found.pack(batch | {"labels": torch.arange(8)})
    assert packed["labels"].tolist() == list(range(8))
    assert int(batch["attention_mask"].sum()) == 135
    assert packed["input_ids"].shape == packed["position_ids"].shape == (1, 136), "filled up to one of few lengths"
    assert packed["input_ids"][0, :135].tolist() == batch["input_ids"][batch["attention_mask"].bool()].tolist()
    model.eval()
    with torch.no_grad():
        wanted = model(**batch).logits
        with found.reading():
            logits = model(input_ids=packed["input_ids"], position_ids=packed["position_ids"]).logits
        torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(model(**batch).logits, wanted, msg="padded batches are read as ever")


def test_last_layer_within_an_adapter_is_asked_for_first_tokens_alone() -> None:
    config = AutoConfig.for_model("bert", vocab_size=100, max_position_embeddings=80, pad_token_id=0, **SIZE)
    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_config(config)
    model = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=4)).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)  # else they would be zero, and change nothing
    batch, seen = random_batch(0), []
    found = Packing.of(model, batch)
    assert found is not None
    base.bert.encoder.layer[-1].register_forward_hook(lambda _layer, _given, output: seen.append(output.shape[1]))
    wanted = model(**batch).logits
    with found.reading():
        torch.testing.assert_close(model(**found.pack(batch)).logits, wanted, rtol=1e-4, atol=1e-6)
    assert seen == [40, 8], "padded, all tokens of the longest; packed, one of each text"


def test_model_that_is_packed_wrongly_would_not_be_packed() -> None:
    """The trial tells by the answers: an architecture whose head looks at all tokens gives others."""
    config = AutoConfig.for_model("bert", vocab_size=100, max_position_embeddings=80, pad_token_id=0, **SIZE)
    model = AutoModelForSequenceClassification.from_config(config)
    assert Packing.of(model, random_batch(0)) is not None
    pooler = model.bert.pooler
    pooler.forward = lambda hidden: torch.tanh(pooler.dense(hidden.mean(dim=1)))
    assert Packing.of(model, random_batch(0)) is None
