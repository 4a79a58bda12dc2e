"""Attention of texts that stand end to end is that of each text by itself, with its gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from backend.models.dropout import noise_of
from backend.training.last_layer import LastLayer
from backend.training.packed_attention import EndToEnd

HEADS, WIDTH = 3, 8
LENGTHS = torch.tensor([5, 2, 17, 1, 5, 2, 70, 5, 9])
TOKENS = int(LENGTHS.sum())
FILLERS = 4


def inputs(dtype: torch.dtype) -> list[torch.Tensor]:
    """Queries, keys and values as models hand them over: (1, heads, tokens, width), seen across the heads."""
    torch.manual_seed(0)
    return [
        torch.randn(1, TOKENS + FILLERS, HEADS, WIDTH, dtype=dtype).transpose(1, 2).detach().requires_grad_()
        for _ in range(3)
    ]


def one_by_one(given: list[torch.Tensor], scale: float, noise: list[torch.Tensor]) -> torch.Tensor:
    """What is wanted, a text after the other, in full precision and by autograd: (1, tokens, heads, width).

    Of the tokens that fill the row up it is zero.
    """
    found = []
    start = 0
    for length, kept in zip(LENGTHS.tolist(), noise, strict=True):
        q, k, v = (each[0, :, start : start + length].float() for each in given)
        found.append(((torch.softmax(q @ k.transpose(1, 2) * scale, -1) * kept) @ v).transpose(0, 1))
        start += length
    return torch.cat([*found, torch.zeros(FILLERS, HEADS, WIDTH)]).unsqueeze(0)


def noise_by_text(p: float, dtype: torch.dtype) -> list[torch.Tensor]:
    """What the next draw multiplies the shares of each text by: (heads, length, length)."""
    end_to_end = EndToEnd(LENGTHS, TOKENS)
    order = end_to_end.order("all", HEADS, dtype)
    assert [group.texts.shape[1] > 1 for group in end_to_end.groups] == [False, True], (
        "a long text, and some that share"
    )
    found = {}
    squares = order.squares(noise_of(torch.Size([order.pairs]), p, dtype).float())
    for group, square in zip(end_to_end.groups, squares, strict=True):
        for owners, kept in zip(group.owners, square.split(HEADS), strict=True):
            for text in owners[owners >= 0].unique().tolist():
                found[text] = kept[:, owners == text][:, :, owners == text]
    return [found[text] for text in range(len(LENGTHS))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("scale", [None, 0.5])
def test_each_text_attends_to_itself_alone(p: float, dtype: torch.dtype, scale: float | None) -> None:
    module, given, wanted_of = nn.Module().train(), inputs(dtype), inputs(dtype)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        found, none = EndToEnd(LENGTHS, TOKENS + FILLERS).attend(module, *given, None, scaling=scale, dropout=p)
    torch.manual_seed(1)
    wanted = one_by_one(wanted_of, WIDTH**-0.5 if scale is None else scale, noise_by_text(p, dtype))
    assert none is None
    assert found.shape == wanted.shape
    assert found.dtype is dtype
    exact: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6} if dtype is torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    assert torch.allclose(found.float(), wanted, **exact)
    weights = torch.randn(wanted.shape)
    (found.float() * weights).sum().backward()
    (wanted * weights).sum().backward()
    for each, other in zip(given, wanted_of, strict=True):
        assert each.grad is not None
        assert other.grad is not None
        assert not each.grad[:, :, TOKENS:].any(), "what fills the row up has no gradient"
        assert torch.allclose(each.grad.float(), other.grad.float(), **exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.0, 0.3])
@pytest.mark.parametrize("bias", [True, False])
def test_first_tokens_find_the_same_without_keys_and_values(p: float, dtype: torch.dtype, bias: bool) -> None:
    """Also where shares are dropped, which makes their sum, by which the values' biases count, other than 1."""
    torch.manual_seed(0)
    size = HEADS * WIDTH
    layer = nn.ModuleDict({name: nn.Linear(size, size, bias=bias) for name in ("query", "key", "value")}).train()
    last = LastLayer(layer, layer, ("key", "value"))
    end_to_end = EndToEnd(LENGTHS, TOKENS + FILLERS, last)
    hidden = torch.randn(1, TOKENS + FILLERS, size).requires_grad_()

    def by_heads(rows: torch.Tensor) -> torch.Tensor:
        return rows.view(1, -1, HEADS, WIDTH).transpose(1, 2)

    with torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16):
        last.hidden = hidden
        query = by_heads(layer["query"](hidden.index_select(1, end_to_end.firsts)))
        torch.manual_seed(1)
        found, _ = end_to_end.attend(layer, query, query, query, None, dropout=p)  # keys and values are not looked at
    assert (found.shape, found.dtype) == ((1, len(LENGTHS), HEADS, WIDTH), dtype)

    order = end_to_end.order("firsts of all heads", HEADS, dtype)
    torch.manual_seed(1)
    noise = {}
    squares = order.squares(noise_of(torch.Size([order.pairs]), p, dtype).float())
    for group, square in zip(end_to_end.groups, squares, strict=True):
        most = group.texts.shape[1]
        for texts, owners, kept in zip(group.texts, group.owners, square, strict=True):
            for at, text in enumerate(texts[texts >= 0].tolist()):
                noise[text] = kept.view(HEADS, most, -1)[:, at, owners == text]
    given = hidden.detach().clone().requires_grad_()
    other = copy.deepcopy(layer)
    other.zero_grad()
    queries, keys, values = (by_heads(other[name](given))[0] for name in ("query", "key", "value"))
    wanted = []
    for text, (start, length) in enumerate(zip(end_to_end.firsts.tolist(), LENGTHS.tolist(), strict=True)):
        inside = slice(start, start + length)
        scores = (queries[:, start, None] * keys[:, inside]).sum(-1) * WIDTH**-0.5
        wanted.append(((torch.softmax(scores, -1) * noise[text])[:, :, None] * values[:, inside]).sum(1))
    exact: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 5e-2, "atol": 5e-2}
    torch.testing.assert_close(found[0].float(), torch.stack(wanted), **exact)
    weights = torch.randn(found.shape)
    (found.float() * weights).sum().backward()
    (torch.stack(wanted) * weights[0]).sum().backward()
    torch.testing.assert_close(hidden.grad, given.grad, **exact)
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, other.get_parameter(name).grad, **exact, msg=name)


def test_nothing_is_dropped_outside_training() -> None:
    given = inputs(torch.float32)
    before = torch.get_rng_state()
    found, _ = EndToEnd(LENGTHS, TOKENS + FILLERS).attend(nn.Module().eval(), *given, None, dropout=0.5)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.allclose(
        found, one_by_one(given, WIDTH**-0.5, noise_by_text(0.0, torch.float32)), rtol=1e-5, atol=1e-6
    )
