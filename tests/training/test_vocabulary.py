"""The vocabulary's gradient is the one that torch writes out, in every step and however it was put together."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel

from backend.training.vocabulary import Vocabulary


def model() -> PreTrainedModel:
    """A small BERT without dropout."""
    config = AutoConfig.for_model(
        "bert",
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    made: PreTrainedModel = AutoModelForSequenceClassification.from_config(config)
    return made


@pytest.mark.parametrize("forgets", [True, False])
def test_gradient_is_written_out_as_torch_writes_it(forgets: bool) -> None:
    """Steps of one batch in two parts and of two batches, of other rows each time; ``forgets`` as in `zero_grad`."""
    found, wanted = model(), model()
    vocabulary = Vocabulary.of(found)
    of_found, of_wanted = (each.get_input_embeddings().weight for each in (found, wanted))
    generator = torch.Generator().manual_seed(0)
    for batches in ([1], [2], [2, 1], [1], [1, 1, 2], [2]):
        for parts in batches:
            for ids in torch.randint(0, 50, (parts, 3, 6), generator=generator):
                for each in (found, wanted):
                    each(input_ids=ids, labels=torch.tensor([0, 1, 0])).loss.backward()
            vocabulary.complete()
        assert not of_found.grad.is_sparse
        assert of_wanted.grad.abs().max() > 0
        torch.testing.assert_close(of_found.grad, of_wanted.grad, rtol=1e-4, atol=1e-7)
        for each in (found, wanted):
            each.zero_grad(set_to_none=forgets)
    of_found.requires_grad_(False)
    of_found.grad = None
    vocabulary.complete()
    assert of_found.grad is None, "a frozen one has none"


def test_rows_that_were_not_read_are_zero_and_memory_is_kept() -> None:
    found = model()
    vocabulary, weight = Vocabulary.of(found), found.get_input_embeddings().weight
    places = set()
    for ids in ([[3, 4, 5]], [[6, 7, 8]]):
        found(input_ids=torch.tensor(ids), labels=torch.tensor([1])).loss.backward()
        vocabulary.complete()
        assert weight.grad.abs().sum(dim=1).nonzero().flatten().tolist() == ids[0]
        places.add(weight.grad.data_ptr())
        found.zero_grad()
    assert len(places) == 1
