"""The gradient of a model's vocabulary, which is mostly zeros: a batch reads a thousand rows of twenty thousand."""

from __future__ import annotations

from typing import Any, Self

import torch


class Vocabulary:
    """The embedding of a model, each pass through which leaves a gradient of the rows alone that it has read.

    Written out by every pass it would take a twentieth of the time of a batch, most of it for new memory to be filled
    with zeros. So the rows are added up in memory that is kept, and they alone are cleared again.
    """

    def __init__(self, weight: torch.nn.Parameter) -> None:
        self._weight = weight
        self._dense: torch.Tensor | None = None
        self._written: torch.Tensor | None = None
        """Rows of it that are not zero; None where that is not known."""

    @classmethod
    def of(cls, model: Any) -> Self:
        """That of a `transformers` model, from now on with sparse gradients."""
        embedding = model.get_input_embeddings()
        embedding.sparse = True
        return cls(embedding.weight)

    def complete(self) -> None:
        """Write the gradient out, as optimizers and norms need it."""
        gradient = self._weight.grad
        if gradient is None:
            return
        if not gradient.is_sparse:  # a further batch of the same step, which was added to what the first has left
            self._written = None
            return
        rows, values = gradient._indices()[0], gradient._values()
        dense = self._cleared(values)
        dense.index_add_(0, rows, values)
        self._weight.grad, self._written = dense, rows

    def _cleared(self, values: torch.Tensor) -> torch.Tensor:
        if self._dense is None or self._dense.dtype is not values.dtype:
            self._dense = torch.zeros_like(self._weight, dtype=values.dtype)
        elif self._written is None:
            self._dense.zero_()
        else:
            self._dense.index_fill_(0, self._written, 0.0)
        return self._dense
