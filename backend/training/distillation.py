"""The loss for targets that are probabilities rather than label numbers."""

from __future__ import annotations

import torch
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput


def soft_target_loss(
    outputs: SequenceClassifierOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean cross-entropy of a batch, for `Trainer(compute_loss_func=...)`; a single-label task.

    Args:
        outputs: with ``logits`` (batch, k).
        labels: (batch, k) float probabilities, as in training, or (batch,) label numbers, as in evaluation.
        num_items_in_batch: how many label entries the accumulated batches have together; None for just this batch.
    """
    logits = outputs["logits"].float()
    if num_items_in_batch is None:
        return functional.cross_entropy(logits, labels)
    # The trainer counts entries: a row of probabilities counts as many as it has columns.
    rows = num_items_in_batch / (labels.shape[1] if labels.dim() == 2 else 1)
    return functional.cross_entropy(logits, labels, reduction="sum") / rows


def soft_multilabel_loss(
    outputs: SequenceClassifierOutput, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
) -> torch.Tensor:
    """Mean binary cross-entropy over all labels of a batch: ``labels`` (batch, k) float, hard or soft."""
    logits = outputs["logits"].float()
    if num_items_in_batch is None:
        return functional.binary_cross_entropy_with_logits(logits, labels)
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / num_items_in_batch
