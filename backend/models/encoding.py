"""Texts as token numbers, kept compactly, and batches of them: padded to the longest, never to a fixed length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

Numbers = npt.NDArray[np.int64]
Tokens = TypeVar("Tokens", int, npt.NDArray[Any])
PAD_TO_MULTIPLE = 8
"""Rows are padded to a multiple of this: matrix products of odd sizes are slower than a few more columns."""
_TEXTS_AT_ONCE = 1000


def padded_length(tokens: Tokens) -> Tokens:
    """What texts of so many tokens (each of them, in an array) are padded to: the next multiple of 8."""
    return -(-tokens // PAD_TO_MULTIPLE) * PAD_TO_MULTIPLE


@dataclass(frozen=True)
class EncodedTexts:
    """Token numbers of n texts, end to end in one array: text i is ``tokens[starts[i]:starts[i + 1]]``."""

    tokens: npt.NDArray[np.int32]
    starts: Numbers
    pad_token: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Numbers:
        """(n,) tokens of each text."""
        return np.diff(self.starts)

    def first(self, count: int) -> EncodedTexts:
        """The first texts, at most ``count``."""
        starts = self.starts[: count + 1]
        return EncodedTexts(self.tokens[: starts[-1]], starts, self.pad_token)

    def chosen(self, rows: Numbers) -> EncodedTexts:
        """The texts with these numbers, in this order."""
        starts = np.concatenate([[0], np.cumsum(self.lengths[rows])])
        pieces = [self.tokens[self.starts[row] : self.starts[row + 1]] for row in rows]
        return EncodedTexts(np.concatenate(pieces) if pieces else self.tokens[:0], starts, self.pad_token)

    def batch(self, rows: Sequence[int] | Numbers, pad_to: int = 0) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask`` (b, t) of these texts, padded on the right to ``pad_to`` at least."""
        lengths = self.lengths[rows]
        width = padded_length(max(pad_to, int(lengths.max())))
        mask = np.arange(width) < lengths[:, None]
        ids = np.full(mask.shape, self.pad_token, dtype=np.int64)
        ids[mask] = np.concatenate([self.tokens[self.starts[i] : self.starts[i + 1]] for i in rows])
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask.astype(np.int64))}

    def batches(self, most_tokens: int) -> Iterator[Numbers]:
        """Row numbers of batches by falling length, each of at most about ``most_tokens`` padded tokens."""
        order, lengths = np.argsort(-self.lengths, kind="stable"), self.lengths
        start = 0
        while start < len(order):
            size = max(1, most_tokens // int(lengths[order[start]]))
            yield order[start : start + size]
            start += size


def encode(
    tokenizer: Any,
    texts: Sequence[str],
    max_length: int,
    step: Callable[[int], None] = lambda done: None,
) -> EncodedTexts:
    """The texts as token numbers with special tokens, cut to ``max_length`` tokens.

    ``step(done)`` is called after each portion of texts: the place to report progress or to raise for a stop.
    """
    pad_token = int(tokenizer.pad_token_id)
    pieces: list[npt.NDArray[np.int32]] = []
    lengths: list[int] = []
    for first in range(0, len(texts), _TEXTS_AT_ONCE):
        portion = list(texts[first : first + _TEXTS_AT_ONCE])
        encoded = tokenizer(
            portion, truncation=True, max_length=max_length, return_attention_mask=False, return_token_type_ids=False
        )
        for ids in encoded["input_ids"]:
            row = ids or [pad_token]  # a tokenizer without special tokens makes nothing of a blank text
            pieces.append(np.array(row, dtype=np.int32))
            lengths.append(len(row))
        step(first + len(portion))
    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return EncodedTexts(np.concatenate(pieces) if pieces else np.empty(0, np.int32), starts, pad_token)


def unknown_share(tokenizer: Any, texts: Sequence[str], max_length: int) -> float:
    """Share of tokens, special ones left out, that the tokenizer does not know: near 1 for a script it never saw."""
    if tokenizer.unk_token_id is None or not texts:
        return 0.0
    tokens = encode(tokenizer, texts, max_length).tokens
    special = [number for number in tokenizer.all_special_ids if number != tokenizer.unk_token_id]
    words = tokens[~np.isin(tokens, special)]
    return float(np.mean(words == tokenizer.unk_token_id)) if len(words) else 0.0
