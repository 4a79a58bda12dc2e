"""Attention of texts that stand end to end, each within itself, on a processor.

It is computed for the texts of each length together, which needs no mask, in full precision: products of so many
sizes, and so small, would be prepared anew in short precision and gain nothing. The gradient is written out, since
autograd's way through some thirty groups a layer takes longer than their products.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from backend.models.dropout import noise_of


@dataclass(frozen=True)
class Group:
    """Neighbouring texts of one length."""

    texts: int
    length: int

    @property
    def tokens(self) -> int:
        """Of all of them."""
        return self.texts * self.length


@dataclass(frozen=True)
class Order:
    """How rows (token, head) are ordered so that a group is one batch of matrices, (texts · heads, length, width)."""

    groups: list[Group]
    heads: int
    forth: torch.Tensor
    back: torch.Tensor

    @classmethod
    def of(cls, groups: list[Group], heads: int) -> Order:
        """That for so many heads."""
        rows = torch.arange(sum(group.tokens for group in groups) * heads).view(-1, heads)
        parts = torch.split(rows, [group.tokens for group in groups])
        shaped = (part.view(group.texts, group.length, heads) for group, part in zip(groups, parts, strict=True))
        forth = torch.cat([part.transpose(1, 2).flatten() for part in shaped])
        back = torch.empty_like(forth)
        back[forth] = torch.arange(len(forth))
        return cls(groups, heads, forth, back)

    def ordered(self, values: torch.Tensor) -> torch.Tensor:
        """(1, heads, tokens, width), as models have it, as rows in this order, in full precision."""
        rows = values.squeeze(0).transpose(0, 1).flatten(0, 1)
        return rows.index_select(0, self.forth).float()

    def given_back(self, rows: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Such rows as (1, heads, tokens, width)."""
        tokens = rows.to(dtype).index_select(0, self.back).view(-1, self.heads, rows.shape[1])
        return tokens.transpose(0, 1).unsqueeze(0)

    def matrices(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """The rows of each group as its batch of matrices, which are views: what is written there is in the rows."""
        parts = torch.split(rows, [group.tokens * self.heads for group in self.groups])
        return [part.view(-1, group.length, rows.shape[1]) for group, part in zip(self.groups, parts, strict=True)]

    def squares(self, values: torch.Tensor) -> list[torch.Tensor]:
        """A number for each pair of tokens of a text and each head, as a batch of matrices a group, which are views."""
        parts = torch.split(values, [group.tokens * group.length * self.heads for group in self.groups])
        return [part.view(-1, group.length, group.length) for group, part in zip(self.groups, parts, strict=True)]

    @property
    def pairs(self) -> int:
        """How many numbers `squares` takes."""
        return sum(group.tokens * group.length for group in self.groups) * self.heads


class EndToEnd:
    """The lengths of the texts that stand end to end, in their order, and attention within them."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self._groups = [Group(len(list(texts)), length) for length, texts in groupby(lengths)]
        self._orders: dict[int, Order] = {}

    def attend(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        _mask: torch.Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **_more: Any,
    ) -> tuple[torch.Tensor, None]:
        """As `transformers.AttentionInterface` calls it: (1, heads, tokens, width) each, (1, tokens, heads, width)."""
        heads = query.shape[1]
        if heads not in self._orders:
            self._orders[heads] = Order.of(self._groups, heads)
        scale = query.shape[-1] ** -0.5 if scaling is None else scaling
        apply: Any = _Attention.apply
        found = apply(query, key, value, self._orders[heads], scale, dropout if module.training else 0.0)
        return found.transpose(1, 2), None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        order: Order,
        scale: float,
        p: float,
    ) -> torch.Tensor:
        with torch.autocast(query.device.type, enabled=False):
            rows = [order.ordered(query).mul_(scale), order.ordered(key), order.ordered(value)]
            noise = noise_of(torch.Size([order.pairs]), p, torch.float32)
            found, shares = torch.empty_like(rows[2]), []
            given = zip(*map(order.matrices, rows), order.squares(noise), order.matrices(found), strict=True)
            for q, k, v, kept, out in given:
                share = torch.softmax(q @ k.transpose(1, 2), dim=-1)
                torch.bmm(share * kept, v, out=out)
                shares.append(share)
            ctx.save_for_backward(*rows, noise, *shares)
            ctx.order, ctx.scale, ctx.dtype = order, scale, query.dtype
            return order.given_back(found, query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, noise, *shares = ctx.saved_tensors
        order: Order = ctx.order
        with torch.autocast(query.device.type, enabled=False):
            rows = (query, key, value, order.ordered(gradients[0]))
            of_rows = [torch.empty_like(each) for each in (query, key, value)]
            given = zip(*map(order.matrices, rows), order.squares(noise), shares, strict=True)
            into = zip(*map(order.matrices, of_rows), strict=True)
            for (q, k, v, gradient, kept, share), (of_q, of_k, of_v) in zip(given, into, strict=True):
                torch.bmm((share * kept).transpose(1, 2), gradient, out=of_v)
                of_share = (gradient @ v.transpose(1, 2)).mul_(kept)
                of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
                torch.bmm(of_score, k, out=of_q)
                torch.bmm(of_score.transpose(1, 2), q, out=of_k)
            of_rows[0].mul_(ctx.scale)
            return (*(order.given_back(each, ctx.dtype) for each in of_rows), None, None, None)
