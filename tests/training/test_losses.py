"""The loss: what torch's own says where there is one, and the same however a batch is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from backend.training.losses import ClassificationLoss, balanced_weights


def outputs_of(logits: torch.Tensor) -> SequenceClassifierOutput:
    """What a model gives."""
    return SequenceClassifierOutput(logits=logits)


LOGITS = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)) * 3
NUMBERS = torch.tensor([0, 1, 2, 1, 0, 0, 2, 1, 0, 0, 1, 2])
SETS = (torch.rand(12, 3, generator=torch.Generator().manual_seed(1)) > 0.5).float()
WEIGHTS = torch.tensor([0.5, 1.0, 4.0])


def test_plain_losses_are_torchs_own() -> None:
    single, several = ClassificationLoss(), ClassificationLoss(multilabel=True)
    assert torch.allclose(single(outputs_of(LOGITS), NUMBERS), functional.cross_entropy(LOGITS, NUMBERS))
    expected = functional.binary_cross_entropy_with_logits(LOGITS, SETS)
    assert torch.allclose(several(outputs_of(LOGITS), SETS), expected)


def test_smoothing_is_torchs_own_and_soft_targets_are_probabilities() -> None:
    smooth = ClassificationLoss(smoothing=0.2)
    expected = functional.cross_entropy(LOGITS, NUMBERS, label_smoothing=0.2)
    assert torch.allclose(smooth(outputs_of(LOGITS), NUMBERS), expected)
    soft = functional.softmax(LOGITS.flip(1), dim=1)
    assert torch.allclose(ClassificationLoss()(outputs_of(LOGITS), soft), functional.cross_entropy(LOGITS, soft))


def test_weights_multiply_the_rows_of_their_label() -> None:
    rows = functional.cross_entropy(LOGITS, NUMBERS, weight=WEIGHTS, reduction="none")
    assert torch.allclose(ClassificationLoss(weights=WEIGHTS)(outputs_of(LOGITS), NUMBERS), rows.mean())
    expected = functional.binary_cross_entropy_with_logits(LOGITS, SETS, pos_weight=WEIGHTS)
    assert torch.allclose(ClassificationLoss(multilabel=True, weights=WEIGHTS)(outputs_of(LOGITS), SETS), expected)


@pytest.mark.parametrize("multilabel", [False, True])
def test_focal_loss_leaves_hard_texts_and_shrinks_easy_ones(multilabel: bool) -> None:
    sure = torch.tensor([[6.0, -6.0, -6.0]])
    targets = torch.tensor([[1.0, 0.0, 0.0]]) if multilabel else torch.tensor([0])
    wrong = torch.tensor([[0.0, 1.0, 1.0]]) if multilabel else torch.tensor([1])
    plain, focal = ClassificationLoss(multilabel), ClassificationLoss(multilabel, gamma=2.0)
    assert (plain.plain, focal.plain) == (True, False)
    assert focal(outputs_of(sure), targets) < 0.001 * plain(outputs_of(sure), targets)
    assert focal(outputs_of(sure), wrong) == pytest.approx(float(plain(outputs_of(sure), wrong)), rel=0.02)
    assert ClassificationLoss(multilabel, gamma=0.0)(outputs_of(sure), wrong) == plain(outputs_of(sure), wrong)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 2.0])
def test_gradient_of_focal_loss_is_a_number_however_sure_the_model_is(multilabel: bool, gamma: float) -> None:
    logits = torch.tensor([[90.0, -90.0, 18.0], [-90.0, 0.0, 90.0], [1.0, -1.0, 0.5]], requires_grad=True)
    targets = (
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]) if multilabel else torch.tensor([0, 0, 2])
    )
    loss = ClassificationLoss(multilabel, gamma=gamma)(outputs_of(logits), targets)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[2].abs().max() > 0.01


@pytest.mark.parametrize(
    ("loss", "labels"),
    [
        (ClassificationLoss(weights=WEIGHTS, gamma=1.5), NUMBERS),
        (ClassificationLoss(weights=WEIGHTS, smoothing=0.1), functional.softmax(LOGITS * 2, dim=1)),
        (ClassificationLoss(multilabel=True, weights=WEIGHTS, gamma=2.0), SETS),
    ],
)
def test_pieces_of_a_batch_add_up_to_the_loss_and_gradient_of_the_whole(
    loss: ClassificationLoss, labels: torch.Tensor
) -> None:
    def gradient(pieces: list[slice]) -> tuple[float, torch.Tensor]:
        logits = LOGITS.clone().requires_grad_()
        total = sum(loss(outputs_of(logits[p]), labels[p], num_items_in_batch=labels.numel()) for p in pieces)
        assert isinstance(total, torch.Tensor)
        total.backward()
        assert logits.grad is not None
        return float(total), logits.grad

    whole, expected = gradient([slice(0, 12)])
    assert whole == pytest.approx(float(loss(outputs_of(LOGITS), labels)), rel=1e-6)
    parts, found = gradient([slice(0, 3), slice(3, 4), slice(4, 12)])
    assert parts == pytest.approx(whole, rel=1e-6)
    assert torch.allclose(found, expected, atol=1e-7)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    numbers = NUMBERS.numpy()
    expected = compute_class_weight("balanced", classes=np.arange(3), y=numbers)
    assert balanced_weights("multiclass", numbers, 3) == pytest.approx(expected)
    assert balanced_weights("multiclass", np.array([0, 0, 2]), 4)[[1, 3]].tolist() == [1.0, 1.0], "labels without rows"


def test_balanced_weights_of_several_labels_are_rows_without_over_rows_with() -> None:
    sets = np.zeros((1000, 3), dtype=np.float32)
    sets[:250, 0] = 1
    sets[0, 1] = 1
    assert balanced_weights("multilabel", sets, 3).tolist() == [3.0, 100.0, 1.0], "bounded, and 1 without rows"
