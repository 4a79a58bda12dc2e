"""Attention of texts that stand end to end, each within itself, on a processor.

Short texts share a matrix, in which each sees its own tokens alone; longer ones are computed with those of like length.
Where every token asks the gradient is written out, since autograd's way through all the groups takes longer than their
products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from backend.models.dropout import noise_of
from backend.models.encoding import padded_length
from backend.training.last_layer import LastLayer
from backend.training.parts import cut_by_length

SHARED = 64
"""The tokens of a matrix that short texts share. With a matrix for each, in groups of like length, to begin with the
products of a group takes longer than they do: attention of 64 texts of 26 tokens took 12.6 ms instead of 9.8."""
COST_OF_A_GROUP = 20.0
"""The tokens that take as long to attend to as one more group of texts does."""


Asking = Literal["all", "firsts", "firsts of all heads"]
"""Which tokens ask: all, those that begin a text, or these for all heads, which ask the same."""


@dataclass(frozen=True)
class Group:
    """Texts that are computed together, in matrices of one length."""

    texts: torch.Tensor
    """(matrices, n) the numbers of each one's texts, one after the other; -1 behind the last."""
    owners: torch.Tensor
    """(matrices, length) the number of the text that each token belongs to; -1 where there is none."""
    places: torch.Tensor
    """(matrices, length) where in the row the tokens stand; -1 likewise."""

    @classmethod
    def of(cls, matrices: list[list[int]], length: int, lengths: torch.Tensor, firsts: torch.Tensor) -> Self:
        """That of these texts in each matrix.

        Args:
            length: tokens of a matrix, for which its texts have room.
            lengths: (b,) tokens of each text.
            firsts: (b,) the places of their first tokens.
        """
        most = max(map(len, matrices))
        texts = torch.tensor([each + [-1] * (most - len(each)) for each in matrices])
        there = texts >= 0
        of_text = lengths[texts] * there
        begins = torch.arange(len(matrices))[:, None] * length + of_text.cumsum(1) - of_text
        numbers, of_text, begins = texts[there], of_text[there], begins[there]
        steps = torch.arange(int(of_text.sum())) - (of_text.cumsum(0) - of_text).repeat_interleave(of_text)
        at = begins.repeat_interleave(of_text) + steps
        owners, places = (torch.full((len(matrices) * length,), -1) for _ in range(2))
        owners[at] = numbers.repeat_interleave(of_text)
        places[at] = firsts[numbers].repeat_interleave(of_text) + steps
        return cls(texts, owners.view(-1, length), places.view(-1, length))

    def unseen(self, owners: torch.Tensor) -> torch.Tensor:
        """Which tokens are hidden from those that ask and belong to these texts: what does not belong to the same."""
        if self.texts.shape[1] == 1:
            return (self.places < 0)[:, None]
        return owners[:, :, None] != self.owners[:, None, :]


@dataclass(frozen=True)
class Layout:
    """How rows (token, head) are ordered so that a group is one batch: (matrices · heads, length, width)."""

    shapes: list[tuple[int, int]]
    """Of each group's batch: how many matrices, and their length."""
    heads: int
    forth: torch.Tensor
    behind: torch.Tensor
    """Rows of the matrices where no text has a token: they are zero."""
    back: torch.Tensor
    of_texts: int
    """The tokens that belong to texts. Those that fill the row up stand behind them, and are zero when given back."""

    @classmethod
    def of(cls, groups: list[torch.Tensor], tokens: int, heads: int) -> Layout:
        """That of so many heads.

        Args:
            groups: (matrices, length) the places of each group's tokens; -1 where there is none.
            tokens: all that stand in the row.
        """
        of_heads = [places[:, None] * heads + torch.arange(heads)[:, None] for places in groups]
        is_there = torch.cat([(places >= 0)[:, None].expand(-1, heads, -1).flatten() for places in groups])
        forth = torch.cat([rows.flatten() for rows in of_heads]).where(is_there, 0)
        behind, there = (~is_there).nonzero().squeeze(1), is_there.nonzero().squeeze(1)
        back = torch.zeros(tokens * heads, dtype=torch.long)
        back[forth[there]] = there
        shapes = [(len(places) * heads, places.shape[1]) for places in groups]
        return cls(shapes, heads, forth, behind, back, len(there) // heads)

    def ordered(self, values: torch.Tensor) -> torch.Tensor:
        """(1, heads, tokens, width), as models have it, as rows in this order."""
        rows = values.squeeze(0).transpose(0, 1).flatten(0, 1)
        return rows.index_select(0, self.forth).index_fill_(0, self.behind, 0.0)

    def given_back(self, rows: torch.Tensor) -> torch.Tensor:
        """Such rows as (1, heads, tokens, width)."""
        tokens = rows.index_select(0, self.back).view(-1, self.heads, rows.shape[1])
        tokens[self.of_texts :] = 0.0
        return tokens.transpose(0, 1).unsqueeze(0)

    def matrices(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """The rows of each group as its batch of matrices, which are views: what is written there is in the rows."""
        parts = torch.split(rows, [count * length for count, length in self.shapes])
        return [part.view(*shape, rows.shape[1]) for part, shape in zip(parts, self.shapes, strict=True)]


@dataclass(frozen=True)
class Order:
    """Which tokens ask, and which are asked: those of the same text, all of them."""

    asking: Layout
    asked: Layout
    seen: list[torch.Tensor]
    """What is added to the scores of a group, (matrices · heads, 1 or those that ask, length): 0, or very little where
    another text's token is, or none."""

    @classmethod
    def of(cls, groups: list[Group], tokens: int, heads: int, dtype: torch.dtype, *, firsts: int = 0) -> Self:
        """That of so many heads, each with keys and values of its own.

        Args:
            tokens: all that stand in the row.
            dtype: of the scores.
            firsts: how many first tokens ask alone: those of all texts, or none. There are no others among those that
                ask then, and they stand at their texts' numbers.
        """
        asking = asked = Layout.of([group.places for group in groups], tokens, heads)
        if firsts:
            asking = Layout.of([group.texts for group in groups], firsts, heads)
        unseen = [group.unseen(group.texts if firsts else group.owners) for group in groups]
        added = [torch.where(each, torch.finfo(dtype).min, 0.0).to(dtype) for each in unseen]
        return cls(asking, asked, [each.repeat_interleave(heads, 0) for each in added])

    @classmethod
    def of_firsts(cls, groups: list[Group], tokens: int, heads: int, dtype: torch.dtype, *, firsts: int) -> Self:
        """That of first tokens whose heads all ask the same: what the layer is given, and not keys.

        They stand one head after the other, ``firsts`` rows each, as if there were one head of so many tokens.
        """
        places = [
            torch.where(group.texts >= 0, group.texts + torch.arange(heads)[:, None, None] * firsts, -1)
            for group in groups
        ]
        asking = Layout.of([each.transpose(0, 1).flatten(1) for each in places], heads * firsts, 1)
        asked = Layout.of([group.places for group in groups], tokens, 1)
        unseen = [group.unseen(group.texts) for group in groups]
        added = [torch.where(each, torch.finfo(dtype).min, 0.0).to(dtype) for each in unseen]
        return cls(asking, asked, [each.repeat(1, heads, 1) for each in added])

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """Of each group's scores: how many matrices, the tokens that ask and those that are asked."""
        return [(count, n, m) for (count, n), (_, m) in zip(self.asking.shapes, self.asked.shapes, strict=True)]

    @property
    def pairs(self) -> int:
        """How many scores there are in all."""
        return sum(count * n * m for count, n, m in self.shapes)

    def squares(self, values: torch.Tensor) -> list[torch.Tensor]:
        """A number for each pair as a batch of matrices a group, which are views."""
        parts = torch.split(values, [count * n * m for count, n, m in self.shapes])
        return [part.view(shape) for part, shape in zip(parts, self.shapes, strict=True)]


class EndToEnd:
    """The texts that stand end to end, and attention within them."""

    def __init__(self, lengths: torch.Tensor, tokens: int, last: LastLayer | None = None) -> None:
        """Texts of so many tokens (b,) in a row of ``tokens``; of the ``last`` layer first tokens alone are asked for.

        What stands behind the texts fills the row up: nothing asks it, and it answers to nothing.
        """
        self.lengths, self._tokens, self._last = lengths, tokens, last
        self.firsts = torch.cumsum(lengths, 0) - lengths
        """(b,) the places of their first tokens."""
        self.groups = self._grouped(lengths.numpy())
        self._orders: dict[tuple[Asking, int, torch.dtype], Order] = {}

    def order(self, asking: Asking, heads: int, dtype: torch.dtype) -> Order:
        """How attention of so many heads is computed."""
        wanted = (asking, heads, dtype)
        if wanted not in self._orders:
            firsts = 0 if asking == "all" else len(self.lengths)
            build = Order.of_firsts if asking == "firsts of all heads" else Order.of
            self._orders[wanted] = build(self.groups, self._tokens, heads, dtype, firsts=firsts)
        return self._orders[wanted]

    def _grouped(self, lengths: npt.NDArray[np.int64]) -> list[Group]:
        long, short = np.flatnonzero(lengths > SHARED), np.flatnonzero(lengths <= SHARED)
        cut = [long[chosen] for chosen in cut_by_length(lengths[long], COST_OF_A_GROUP)]
        wanted = [([[text] for text in texts.tolist()], int(lengths[texts].max())) for texts in cut]
        if len(short):
            wanted.append((sharing(short, lengths), SHARED))
        return [Group.of(matrices, padded_length(longest), self.lengths, self.firsts) for matrices, longest in wanted]

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
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        p = dropout if module.training else 0.0
        last = self._last if self._last is not None and module is self._last.attention else None
        if last is not None and last.plain is not None:
            return self._of_hidden(query, last.hidden, *last.plain, scale, p).transpose(1, 2), None
        if last is not None:
            key, value = last.keys_and_values(query.shape[3])
        order = self.order("all" if last is None else "firsts", query.shape[1], query.dtype)
        apply: Any = _Attention.apply
        found = apply(query, key, value, order, scale, p)
        return found.transpose(1, 2), None

    def _of_hidden(
        self, query: torch.Tensor, hidden: torch.Tensor, keys: nn.Linear, values: nn.Linear, scale: float, p: float
    ) -> torch.Tensor:
        """What first tokens find, (1, heads, b, width), without the keys and values of all tokens.

        A score q·(K x) is (q K)·x, and the sum of shares of V x is V times that of x, where x is what the layer is
        given. The keys' biases add the same to all scores of a query, which moves no share.
        """
        _, heads, texts, width = query.shape
        order = self.order("firsts of all heads", heads, query.dtype)
        with torch.autocast(query.device.type, enabled=False):
            to_keys, to_values = (each.weight.to(query.dtype).view(heads, width, -1) for each in (keys, values))
            asking = (query.squeeze(0) @ to_keys * scale).view(1, 1, heads * texts, -1)
            mixed, sums = mixed_by_share(asking, hidden.to(query.dtype).unsqueeze(1), order, p)
            found = mixed.view(heads, texts, -1) @ to_values.transpose(1, 2)
            if values.bias is not None:
                found = found + sums.view(heads, texts, 1) * values.bias.to(query.dtype).view(heads, 1, width)
            if keys.bias is not None:
                found = found + 0.0 * keys.bias.sum()  # so that its gradient is zero and not missing
            return found.unsqueeze(0)


def mixed_by_share(
    query: torch.Tensor, asked: torch.Tensor, order: Order, p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Of what is asked the mixture that each query finds, and the sum of its shares, which dropping makes other than 1.

    Few ask, so the gradient is autograd's.

    Args:
        query: (1, 1, n, width), scaled.
        asked: (1, 1, tokens, width), keys and values in one.
        order: which tokens a query asks.
        p: the probability that a share is dropped.

    Returns:
        (1, 1, n, width) and (1, 1, n, 1).
    """
    noise = noise_of(torch.Size([order.pairs]), p, query.dtype)
    of_groups = (
        order.asking.matrices(order.asking.ordered(query)),
        order.asked.matrices(order.asked.ordered(asked)),
        order.squares(noise),
        order.seen,
    )
    found, sums = list[torch.Tensor](), list[torch.Tensor]()
    for q, x, kept, seen in zip(*of_groups, strict=True):
        share = torch.softmax(torch.baddbmm(seen, q, x.transpose(1, 2)), dim=-1) * kept
        found.append((share @ x).flatten(0, 1))
        sums.append(share.sum(-1).view(-1, 1))
    return order.asking.given_back(torch.cat(found)), order.asking.given_back(torch.cat(sums))


def sharing(texts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> list[list[int]]:
    """The numbers of these texts in each matrix of `SHARED` tokens: the longest first, each into the first with room
    for it (first-fit decreasing)."""
    matrices: list[list[int]] = []
    room: list[int] = []
    for text in texts[np.argsort(-lengths[texts], kind="stable")].tolist():
        length = int(lengths[text])
        found = next((number for number, left in enumerate(room) if left >= length), len(room))
        if found == len(room):
            matrices.append([])
            room.append(SHARED)
        matrices[found].append(text)
        room[found] -= length
    return matrices


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
            noise = noise_of(torch.Size([order.pairs]), p, query.dtype)
            found, shares = torch.empty_like(asking), []
            of_asking = zip(*map(order.asking.matrices, (asking, found)), strict=True)
            of_asked = zip(*map(order.asked.matrices, asked), strict=True)
            groups = zip(of_asking, of_asked, order.squares(noise), order.seen, strict=True)
            for (q, out), (k, v), kept, seen in groups:
                share = torch.softmax(torch.baddbmm(seen, q, k.transpose(1, 2)), dim=-1)
                torch.bmm(share * kept, v, out=out)
                shares.append(share)
            ctx.save_for_backward(asking, *asked, noise, *shares)
            ctx.order, ctx.scale = order, scale
            return order.asking.given_back(found)

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
            pairs = zip(order.squares(noise), shares, strict=True)
            for (q, gradient, of_q), (k, v, of_k, of_v), (kept, share) in zip(of_asking, of_asked, pairs, strict=True):
                torch.bmm((share * kept).transpose(1, 2), gradient, out=of_v)
                of_share = (gradient @ v.transpose(1, 2)).mul_(kept)
                of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
                torch.bmm(of_score, k, out=of_q)
                torch.bmm(of_score.transpose(1, 2), q, out=of_k)
            to_query = order.asking.given_back(of_query.mul_(ctx.scale))
            return to_query, order.asked.given_back(of_key), order.asked.given_back(of_value), None, None, None
