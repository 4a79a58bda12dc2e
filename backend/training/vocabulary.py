"""A model's vocabulary while it is trained: the rows of it that the training texts hold, and no others.

Texts of one subject and one language hold a small part of what a model knows: an eighth of BERT's Chinese vocabulary,
less of a multilingual one, which is two thirds of such a model. A row that no text holds has no gradient, and without
one AdamW leaves it where it was; its gradient, its moments and its part in norms and checkpoints would all be zeros
that take time and memory. So the rows that are held stand by themselves while training goes on.
"""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import TrainingArguments

from backend.models.encoding import EncodedTexts, Numbers
from backend.models.loading import embedding_of

LARGEST_SHARE = 0.9
"""Of the rows, above which there is too little to be gained: a starter's texts hold all that it knows."""
TOKENS_AT_ONCE = 1 << 22
"""As they are looked at, numbers take twice the memory that they are kept in."""
BY_WEIGHT = ("adamw", "lion", "sgd")
"""In the names of optimizers that change each weight by its own gradient alone."""


class VocabularyInUse:
    """The rows of a model's vocabulary that training texts hold, in the model in its place until they are `given_back`.

    Weight decay does not shrink the other rows, as it otherwise would, by the learning rate times the decay a step.
    """

    def __init__(self, owners: list[tuple[nn.Module, str]], rows: torch.Tensor) -> None:
        self._owners = owners
        self._whole: list[nn.Embedding] = [getattr(owner, name) for owner, name in owners]
        first = self._whole[0].weight
        self.size, self.used = len(first), len(rows)
        weight = nn.Parameter(first.detach()[rows])
        for (owner, name), whole in zip(owners, self._whole, strict=True):
            setattr(owner, name, _RowsInUse(whole, rows, weight))

    @classmethod
    def of(
        cls, model: Any, texts: EncodedTexts, arguments: TrainingArguments, *, rows: int | None = None
    ) -> Self | None:
        """That of a `transformers` model, in its place from now on; None where the whole vocabulary is to be trained.

        It is where it is not trained at all, where texts hold most of it, where the architecture has another kind of
        embedding, and where the optimizer looks at more than each weight's own gradient.

        Args:
            texts: that training learns from.
            arguments: the Trainer's.
            rows: how many texts there would be in all, where these stand for more.
        """
        vocabulary = embedding_of(model)
        if vocabulary is None or not any(name in arguments.optim for name in BY_WEIGHT):
            return None
        weight = vocabulary.weight
        owners = [
            (owner, name)
            for owner in model.modules()
            for name, child in owner.named_children()
            if getattr(child, "weight", None) is weight  # which may be used in several places (T5)
        ]
        if not weight.requires_grad or not all(_is_plain(getattr(owner, name)) for owner, name in owners):
            return None
        held = np.zeros(len(weight), dtype=bool)
        for start in range(0, len(texts.tokens), TOKENS_AT_ONCE):
            held[texts.tokens[start : start + TOKENS_AT_ONCE]] = True
        if rows is not None:
            held[likely_tokens(texts, rows, len(weight))] = True
        held[_read_besides(vocabulary, model.config)] = True
        if held.mean() > LARGEST_SHARE:
            return None
        return cls(owners, torch.from_numpy(held.nonzero()[0]).to(weight.device))

    def given_back(self) -> None:
        """Put the whole vocabulary back into the model, with what its rows in use have become."""
        for (owner, name), whole in zip(self._owners, self._whole, strict=True):
            getattr(owner, name).write_back()
            setattr(owner, name, whole.train(owner.training))


def likely_tokens(texts: EncodedTexts, rows: int, size: int) -> Numbers:
    """Numbers of as many pieces of a vocabulary as so many texts like these will hold: theirs, and any others.

    How the pieces grow in number with the texts (Heaps' law) is told from these and half of them.

    Args:
        rows: texts that training will learn from.
        size: pieces that there are.
    """
    half, known = (np.unique(some.tokens) for some in (texts.first(len(texts) // 2), texts))
    exponent = math.log2(len(known) / max(1, len(half)))
    expected = len(known) * max(1.0, rows / len(texts)) ** exponent
    others = np.setdiff1d(np.arange(size), known)
    return np.concatenate([known, others[: round(expected) - len(known)]])


def _is_plain(module: nn.Module) -> bool:
    """Whether it looks rows up and does nothing else."""
    return type(module) is nn.Embedding and module.max_norm is None and not module.scale_grad_by_freq


def _read_besides(vocabulary: nn.Embedding, config: Any) -> list[int]:
    """Rows that a model may read whatever the texts hold: padding, and what a decoder (T5, BART) begins with."""
    named = [each for name, each in config.to_dict().items() if name.endswith("_token_id")]
    numbers = [vocabulary.padding_idx, *named]
    return [each for each in numbers if isinstance(each, int) and 0 <= each < vocabulary.num_embeddings]


class _RowsInUse(nn.Embedding):
    """An embedding of which training reads the rows in use; asked for answers it reads the whole one."""

    def __init__(self, whole: nn.Embedding, rows: torch.Tensor, weight: nn.Parameter) -> None:
        place = torch.full((whole.num_embeddings,), -1, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        padding = None if whole.padding_idx is None else int(place[whole.padding_idx])
        super().__init__(len(rows), whole.embedding_dim, padding, _weight=weight.detach())
        self.weight = weight
        # No parameter and no buffer: processes that learn together need not exchange them.
        self._whole, self._rows, self._place = whole.weight.detach(), rows, place

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """The rows of these tokens."""
        if self.training:
            return super().forward(self._place[numbers])
        return functional.embedding(numbers, self._whole)

    def train(self, mode: bool = True) -> Self:
        """Learn, or answer with what was learned."""
        if not mode:
            self.write_back()
        return super().train(mode)

    def write_back(self) -> None:
        """Give the whole embedding what its rows in use have become."""
        self._whole.index_copy_(0, self._rows, self.weight.detach())
