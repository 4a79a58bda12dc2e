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
from backend.training.last_layer import LastLayer


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
class Layout:
    """How rows (token, head) are ordered so that a group is one batch of matrices, (texts · heads, length, width)."""

    groups: list[Group]
    heads: int
    forth: torch.Tensor
    back: torch.Tensor

    @classmethod
    def of(cls, groups: list[Group], heads: int) -> Layout:
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


@dataclass(frozen=True)
class Order:
    """Which tokens ask, and which are asked: those of the same texts, all of them."""

    asking: Layout
    asked: Layout

    @classmethod
    def of(cls, groups: list[Group], heads: int, *, firsts_ask: bool = False) -> Order:
        """Every token of a text asks every other; or its first one alone does."""
        asked = Layout.of(groups, heads)
        return cls(Layout.of([Group(group.texts, 1) for group in groups], heads) if firsts_ask else asked, asked)

    def pairs(self, values: torch.Tensor) -> list[torch.Tensor]:
        """A number for each pair of tokens and each head, as a batch of matrices a group, which are views."""
        both = list(zip(self.asking.groups, self.asked.groups, strict=True))
        parts = torch.split(values, [asking.tokens * asked.length * self.asked.heads for asking, asked in both])
        return [part.view(-1, asking.length, asked.length) for part, (asking, asked) in zip(parts, both, strict=True)]

    @property
    def count(self) -> int:
        """How many numbers `pairs` takes."""
        both = zip(self.asking.groups, self.asked.groups, strict=True)
        return sum(asking.tokens * asked.length for asking, asked in both) * self.asked.heads


class EndToEnd:
    """The lengths of the texts that stand end to end, in their order, and attention within them."""

    def __init__(self, lengths: list[int], last: LastLayer | None = None) -> None:
        self.lengths, self._last = lengths, last
        self._groups = [Group(len(list(texts)), length) for length, texts in groupby(lengths)]
        self._orders: dict[tuple[int, bool], Order] = {}

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
        heads, width = query.shape[1], query.shape[3]
        firsts_ask = self._last is not None and module is self._last.attention
        if self._last is not None and firsts_ask:
            key, value = self._last.keys_and_values(width)
        if (heads, firsts_ask) not in self._orders:
            self._orders[heads, firsts_ask] = Order.of(self._groups, heads, firsts_ask=firsts_ask)
        scale = width**-0.5 if scaling is None else scaling
        apply: Any = _Attention.apply
        order = self._orders[heads, firsts_ask]
        return apply(query, key, value, order, scale, dropout if module.training else 0.0).transpose(1, 2), None


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
            asking = order.asking.ordered(query).mul_(scale)
            asked = [order.asked.ordered(key), order.asked.ordered(value)]
            noise = noise_of(torch.Size([order.count]), p, torch.float32)
            found, shares = torch.empty_like(asking), []
            of_asking = zip(*map(order.asking.matrices, (asking, found)), strict=True)
            of_asked = zip(*map(order.asked.matrices, asked), strict=True)
            for (q, out), (k, v), kept in zip(of_asking, of_asked, order.pairs(noise), strict=True):
                share = torch.softmax(q @ k.transpose(1, 2), dim=-1)
                torch.bmm(share * kept, v, out=out)
                shares.append(share)
            ctx.save_for_backward(asking, *asked, noise, *shares)
            ctx.order, ctx.scale, ctx.dtype = order, scale, query.dtype
            return order.asking.given_back(found, query.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, noise, *shares = ctx.saved_tensors
        order: Order = ctx.order
        with torch.autocast(query.device.type, enabled=False):
            asking = (query, order.asking.ordered(gradients[0]), of_query := torch.empty_like(query))
            asked = (key, value, of_key := torch.empty_like(key), of_value := torch.empty_like(value))
            of_asking = zip(*map(order.asking.matrices, asking), strict=True)
            of_asked = zip(*map(order.asked.matrices, asked), strict=True)
            pairs = zip(order.pairs(noise), shares, strict=True)
            for (q, gradient, of_q), (k, v, of_k, of_v), (kept, share) in zip(of_asking, of_asked, pairs, strict=True):
                torch.bmm((share * kept).transpose(1, 2), gradient, out=of_v)
                of_share = (gradient @ v.transpose(1, 2)).mul_(kept)
                of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
                torch.bmm(of_score, k, out=of_q)
                torch.bmm(of_score.transpose(1, 2), q, out=of_k)
            to_query = order.asking.given_back(of_query.mul_(ctx.scale), ctx.dtype)
            return to_query, *(order.asked.given_back(each, ctx.dtype) for each in (of_key, of_value)), None, None, None
