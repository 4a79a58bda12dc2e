"""The loss of a run: cross entropy of hard or soft targets, with class weights, focal terms and label smoothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

MOST_BALANCED_WEIGHT = 100.0
"""A label with almost no texts must not drown the others."""


@dataclass(frozen=True)
class ClassificationLoss:
    """Mean loss of a batch, for `Trainer(compute_loss_func=...)`; every call gives a scalar in float32.

    It is a mean over rows (multi-label: over rows and labels), also with class weights, and with
    ``num_items_in_batch`` a share of the mean over all accumulated batches: so accumulation and several processes
    change nothing.
    """

    multilabel: bool = False
    weights: torch.Tensor | None = None
    """(k,) factors: single-label, of a row with this label; multi-label, of the term that asks for the label."""
    gamma: float = 0.0
    """Focal loss: terms shrink by (1 - p) ** gamma, p being what the right answer was given (Lin et al. 2017)."""
    smoothing: float = 0.0
    """Share of each target that is spread evenly: over all labels, or of one label over yes and no."""

    @property
    def plain(self) -> bool:
        """Whether it is that of evaluations."""
        return self.weights is None and not self.gamma and not self.smoothing

    def __call__(
        self,
        outputs: SequenceClassifierOutput,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The loss.

        Args:
            outputs: with ``logits`` (batch, k).
            labels: (batch,) label numbers, or (batch, k) probabilities; multi-label, 0 and 1 or probabilities.
            num_items_in_batch: entries of all ``labels`` that the accumulated batches have together; None for these.
        """
        return self.of_logits(outputs["logits"], labels, num_items_in_batch)

    def of_logits(
        self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """That of logits (batch, k); the other arguments as for the call."""
        logits = logits.float()
        terms = self._multilabel_terms(logits, labels) if self.multilabel else self._single_terms(logits, labels)
        count: torch.Tensor | float = labels.numel() if num_items_in_batch is None else num_items_in_batch
        if not self.multilabel and labels.dim() == 2:  # a row of probabilities counts as many entries as columns
            count = count / labels.shape[1]
        return terms.sum() / count

    def _single_terms(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        classes = logits.shape[1]
        targets = labels if labels.dim() == 2 else functional.one_hot(labels, classes).to(logits.dtype)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / classes
        log_chances = functional.log_softmax(logits, dim=1)
        terms = -targets * log_chances
        if self.gamma:
            terms = terms * self._focus(log_chances.exp())
        return terms if self.weights is None else terms * self.weights.to(terms.device)

    def _multilabel_terms(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        targets = labels.to(logits.dtype)
        if self.smoothing:
            targets = targets * (1 - self.smoothing) + self.smoothing / 2
        weights = None if self.weights is None else self.weights.to(logits.device)
        terms = functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights, reduction="none")
        if self.gamma:
            chances = logits.sigmoid()
            right = chances * targets + (1 - chances) * (1 - targets)
            terms = terms * self._focus(right)
        return terms

    def _focus(self, right: torch.Tensor) -> torch.Tensor:
        """How much each term counts by the chance of what is right; of a root the slope at 0 would be infinite."""
        return (1 - right).clamp(min=torch.finfo(right.dtype).tiny) ** self.gamma


def balanced_weights(task: str, targets: npt.NDArray[np.generic], classes: int) -> npt.NDArray[np.float32]:
    """(classes,) weights by which every label counts alike in sum; 1 for a label without rows.

    Single-label: rows / (labels · rows of the label), as in scikit-learn. Multi-label: rows without the label over
    rows with it, at most `MOST_BALANCED_WEIGHT`.
    """
    if task == "multilabel":
        has = targets.sum(axis=0, dtype=np.float64)
        weights = np.divide(len(targets) - has, has, out=np.ones_like(has), where=has > 0)
        return np.asarray(np.clip(weights, 1 / MOST_BALANCED_WEIGHT, MOST_BALANCED_WEIGHT), dtype=np.float32)
    counts = np.bincount(targets.astype(np.int64), minlength=classes)
    present = int((counts > 0).sum())
    weights = np.divide(len(targets), present * counts, out=np.ones(classes), where=counts > 0)
    return np.asarray(weights, dtype=np.float32)
