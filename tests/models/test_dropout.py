"""Dropout as this studio draws it on a processor is torch's: the same shares, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from backend.models.dropout import QuickDropout, drop, quicken


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_a_share_becomes_zero_and_the_others_larger_with_their_gradients(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    values = torch.ones(1001, 333, dtype=dtype, requires_grad=True)
    dropped = drop(values, p, training=True)
    share = float((dropped == 0).float().mean())
    deviation = (p * (1 - p) / values.numel()) ** 0.5
    assert share == pytest.approx(p, abs=4 * deviation)
    (larger,) = dropped[dropped != 0].unique()
    assert float(larger.detach()) == pytest.approx(float(torch.tensor(1 / (1 - p), dtype=dtype)))
    dropped.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, dropped.detach())


def test_rows_columns_and_draws_know_nothing_of_each_other() -> None:
    torch.manual_seed(0)
    first, second = (drop(torch.ones(400, 4096), 0.25, training=True) == 0 for _ in range(2))
    for zeros, p in ((first.float(), 0.25), (second.float(), 0.25), ((first & second).float(), 0.25**2)):
        for axis in (0, 1):
            deviation = (p * (1 - p) / zeros.shape[axis]) ** 0.5
            assert (zeros.mean(axis) - p).abs().max() < 6 * deviation
    columns = first.float() - 0.25
    together = (columns[:, :-1] * columns[:, 1:]).mean(), (columns[:, :-4] * columns[:, 4:]).mean()
    assert all(abs(each) < 4 * 0.25 * 0.75 / first.numel() ** 0.5 for each in together)


def test_seed_gives_the_same_draw_again_and_nothing_is_drawn_outside_training() -> None:
    values = torch.randn(64, 31)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(drop(values, 0.1, training=True))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    before = torch.get_rng_state()
    assert drop(values, 0.1, training=False) is values
    assert drop(values, 0.0, training=True) is values
    assert torch.equal(before, torch.get_rng_state())
    assert not drop(values, 1.0, training=True).any()


def test_dropout_modules_alone_become_quick() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Dropout(0.5)), nn.AlphaDropout(0.5))
    quicken(model)
    assert [type(module) for module in model.modules()].count(QuickDropout) == 1
    assert "Dropout(p=0.5" in repr(model)
    model.eval()
    values = torch.randn(3, 4)
    assert torch.equal(model(values), model[0](values))
