"""Training the rows of a vocabulary that texts hold is training the model: the same weights, and the others stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel, TrainingArguments

from backend.models.encoding import EncodedTexts
from backend.training.checkpoints import WEIGHTS, is_of, trained_weights
from backend.training.vocabulary import VocabularyInUse, likely_tokens

PAD, SIZE = 1, 60
SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
WITHOUT_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FAMILIES: dict[str, dict[str, Any]] = {
    "bert": SMALL | WITHOUT_DROPOUT,
    "roberta": SMALL | WITHOUT_DROPOUT,
    "electra": SMALL | WITHOUT_DROPOUT | {"embedding_size": 8},
    "albert": SMALL | WITHOUT_DROPOUT | {"embedding_size": 8, "classifier_dropout_prob": 0.0},
    "deberta-v2": SMALL | WITHOUT_DROPOUT,
    "t5": {"d_model": 16, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8, "dropout_rate": 0.0}
    | {"classifier_dropout": 0.0, "decoder_start_token_id": 2},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0},
    "qwen3": SMALL | {"num_key_value_heads": 2, "head_dim": 8},
}
HELD = np.array([3, 5, 8, 13, 21, 34, 55])


def texts_of(tokens: npt.NDArray[Any]) -> EncodedTexts:
    """Two texts that hold these tokens."""
    return EncodedTexts(tokens.astype(np.int32), np.array([0, len(tokens) // 2, len(tokens)]), PAD)


TEXTS = texts_of(HELD)


def model_of(family: str) -> PreTrainedModel:
    """A tiny one, the same every time."""
    config = AutoConfig.for_model(family, vocab_size=SIZE, pad_token_id=PAD, eos_token_id=55, **FAMILIES[family])
    torch.manual_seed(0)
    made: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return made.train()


def arguments_of(folder: Path, optimizer: str = "adamw_torch_fused") -> TrainingArguments:
    return TrainingArguments(str(folder), optim=optimizer, use_cpu=True, report_to="none")


def batch_of(seed: int, known: np.ndarray[Any, Any]) -> dict[str, torch.Tensor]:
    """Three texts that end with token 55, as T5 wants it, the last one shorter than the others."""
    ids = torch.from_numpy(np.random.default_rng(seed).choice(known[known != 55], (3, 6)))
    mask = torch.ones_like(ids)
    ids[:, 5] = 55
    ids[2, 3:], mask[2, 3:] = torch.tensor([55, PAD, PAD]), torch.tensor([1, 0, 0])
    return {"input_ids": ids, "attention_mask": mask}


def learn(model: PreTrainedModel, steps: int) -> list[float]:
    """Its losses in steps of AdamW, with clipping as Trainer does it."""
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2, weight_decay=0.0)
    losses = []
    for step in range(steps):
        loss = model(**batch_of(step, HELD), labels=torch.tensor([0, 1, 0])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        model.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("family", FAMILIES)
def test_same_weights_come_of_it(family: str, tmp_path: Path) -> None:
    found, wanted = model_of(family), model_of(family)
    before = wanted.get_input_embeddings().weight.detach().clone()
    parameters, names = sum(p.numel() for p in found.parameters()), list(found.state_dict())
    vocabulary = VocabularyInUse.of(found, TEXTS, arguments_of(tmp_path))
    assert vocabulary is not None
    special = {PAD} | {"roberta": {0}, "albert": {2}, "t5": {2}}.get(family, set())
    assert (vocabulary.size, vocabulary.used) == (SIZE, len({*HELD} | special))
    less = (SIZE - vocabulary.used) * before.shape[1]
    assert sum(p.numel() for p in found.parameters()) == parameters - less
    assert learn(found, 6) == pytest.approx(learn(wanted, 6), rel=1e-4)
    vocabulary.given_back()
    assert list(found.state_dict()) == names
    kept = found.get_input_embeddings().weight
    left = np.setdiff1d(np.arange(SIZE), [*HELD, *special])
    assert torch.equal(kept[left], before[left])
    assert (kept[HELD] - before[HELD]).abs().max() > 1e-2
    for (name, ours), theirs in zip(found.named_parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_meanwhile_are_those_of_the_whole_model(family: str, tmp_path: Path) -> None:
    """Texts that are evaluated hold other pieces than those that are learned from."""
    found, wanted = model_of(family), model_of(family)
    assert VocabularyInUse.of(found, TEXTS, arguments_of(tmp_path))
    others = batch_of(7, np.arange(2, SIZE))
    assert not np.isin(others["input_ids"].numpy(), HELD).all()
    for steps in (0, 3, 2):
        for model in (found, wanted):
            learn(model.train(), steps)
            model.eval()
        with torch.no_grad():
            torch.testing.assert_close(found(**others).logits, wanted(**others).logits, rtol=1e-4, atol=1e-4)


def test_whole_vocabulary_is_trained_where_its_part_would_not_be_the_same(tmp_path: Path) -> None:
    usual = arguments_of(tmp_path)
    frozen = model_of("bert")
    frozen.get_input_embeddings().weight.requires_grad_(False)
    assert VocabularyInUse.of(frozen, TEXTS, usual) is None
    assert VocabularyInUse.of(model_of("bert"), texts_of(np.arange(SIZE - 3)), usual) is None, "nothing to gain"
    # Adafactor looks at the rows of a matrix together.
    assert VocabularyInUse.of(model_of("bert"), TEXTS, arguments_of(tmp_path, "adafactor")) is None
    scaling = model_of("bert")
    scaling.get_input_embeddings().max_norm = 1.0
    assert VocabularyInUse.of(scaling, TEXTS, usual) is None
    for optimizer in ("adamw_torch", "adamw_bnb_8bit", "paged_adamw_32bit", "paged_adamw_8bit", "lion_8bit", "sgd"):
        assert VocabularyInUse.of(model_of("bert"), TEXTS, arguments_of(tmp_path, optimizer)), optimizer


def test_embeddings_that_do_more_than_look_up_stay_whole(tmp_path: Path) -> None:
    """Those of Gemma multiply what they find."""
    config = AutoConfig.for_model("gemma3_text", vocab_size=SIZE, pad_token_id=PAD, head_dim=8, **SMALL)
    model = AutoModelForSequenceClassification.from_config(config)
    assert VocabularyInUse.of(model, TEXTS, arguments_of(tmp_path)) is None


def test_checkpoints_with_the_whole_vocabulary_are_told_from_others(tmp_path: Path) -> None:
    """Those that were written before the rows in use stood by themselves have an optimizer's states of all rows."""
    model = model_of("bert")
    save_file(trained_weights(model), tmp_path / WEIGHTS)
    assert is_of(model, tmp_path)
    vocabulary = VocabularyInUse.of(model, TEXTS, arguments_of(tmp_path))
    assert vocabulary
    assert not is_of(model, tmp_path)
    save_file(trained_weights(model), tmp_path / WEIGHTS)
    assert is_of(model, tmp_path)
    vocabulary.given_back()
    assert not is_of(model, tmp_path)


def test_texts_that_stand_for_more_hold_more(tmp_path: Path) -> None:
    made = [VocabularyInUse.of(model_of("bert"), TEXTS, arguments_of(tmp_path), rows=rows) for rows in (2, 3, 10**6)]
    assert made[0]
    assert made[1]
    assert len(HELD) < made[0].used < made[1].used < SIZE
    assert made[2] is None, "all there is"


def test_pieces_of_more_texts_are_told_from_fewer() -> None:
    """Texts of words that are ever rarer: in four times as many there are more pieces, but not four times as many."""
    random = np.random.default_rng(0)

    def texts(count: int) -> EncodedTexts:
        tokens = np.minimum(random.zipf(1.5, 20 * count), 9_999).astype(np.int32)
        return EncodedTexts(tokens, np.arange(0, len(tokens) + 1, 20), 0)

    some, more = texts(200), texts(3_200)
    there, likely = np.unique(more.tokens), likely_tokens(some, 3_200, 10_000)
    known = np.unique(some.tokens)
    assert len(np.unique(likely)) == len(likely)
    assert np.isin(known, likely).all()
    assert len(likely) == pytest.approx(len(there), rel=0.3)
    assert len(known) < 0.5 * len(there)
    assert np.array_equal(likely_tokens(some, 200, 10_000), known)
    assert len(likely_tokens(some, 10**9, 1_000)) <= 1_000 + np.sum(known >= 1_000), "no more than there are"
