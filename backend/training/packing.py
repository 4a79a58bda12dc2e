"""A batch as one row of all its tokens, text after text, without any padding: for encoders on a processor.

Whatever a layer does but attention it does to each token by itself, so the texts of a batch can stand end to end
(`backend.training.packed_attention`). The loss and the gradients are those of the padded batch. A card would wait
between so many small products; there padding costs less.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from torch import nn
from transformers import AttentionInterface

from backend.training.last_layer import LastLayer
from backend.training.layers import body_of
from backend.training.packed_attention import EndToEnd

NAME = "packed"
ENCODERS = ("encoder", "transformer")
"""What the stack of layers is called in architectures whose heads look at the first token."""
TRIED_TEXTS = 8
LENGTHS_AN_OCTAVE = 16
"""Rows are filled up to one of so many lengths between one power of two and the next, 2 % of their tokens on average.
oneDNN makes its kernels anew for each length: for matrix units (AMX) those of one layer's products take 30 ms."""
CLOSE = 1e-4
"""Most that logits may differ from those of the padded batch, as a share of the largest: of another sum's rounding."""


class Packing:
    """A model that can be given packed batches: `pack` makes one, to be asked while `reading` it."""

    def __init__(self, model: Any, encoder: nn.Module, first_position: int, last: LastLayer | None) -> None:
        self._config, self._encoder = model.config, encoder
        self.first_position = first_position
        """What the architecture calls the position of a text's first token."""
        self.last = last
        """The layer that is asked for first tokens alone; None where all are."""
        self._texts = EndToEnd(torch.tensor([1]), 1)

    @classmethod
    def of(cls, model: Any, batch: dict[str, torch.Tensor]) -> Self | None:
        """That of a `transformers` model which answers a packed batch as it does the padded one; None for any other.

        Args:
            batch: ``input_ids`` and ``attention_mask`` (b, t) of a few texts to try it on.
        """
        body = body_of(model.get_base_model() if hasattr(model, "get_base_model") else model)  # within an adapter
        encoder = next((child for name, child in body.named_children() if name in ENCODERS), None)
        if encoder is None or not getattr(model, "_supports_attention_backend", False):
            return None
        tried = {name: batch[name][:TRIED_TEXTS] for name in ("input_ids", "attention_mask")}
        positions = (0, (model.config.pad_token_id or 0) + 1)  # the latter is RoBERTa's
        ways = [cls(model, encoder, first, last) for last in (LastLayer.of(encoder), None) for first in positions]
        was_training, troubles = model.training, list[Exception]()
        model.eval()
        try:
            with torch.no_grad():
                wanted = model(**tried).logits
                found = next((way for way in ways if way._answers(model, tried, wanted, troubles)), None)
        finally:
            model.train(was_training)
        if found is None and troubles:
            print(f"{type(model).__name__} does not take packed batches: {troubles[-1]}", file=sys.stderr)
        return found

    def _answers(
        self, model: Any, batch: dict[str, torch.Tensor], wanted: torch.Tensor, troubles: list[Exception]
    ) -> bool:
        """Whether the model's logits of the packed batch are these (b, k), but for another sum's rounding."""
        packed = self.pack(batch)
        try:
            with self.reading():
                logits = model(**packed).logits
        except (RuntimeError, TypeError, ValueError, IndexError) as error:
            troubles.append(error)
            return False
        return logits.shape == wanted.shape and _alike(logits, wanted)

    def pack(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The batch without padding.

        Args:
            batch: ``input_ids`` and ``attention_mask`` (b, t), padded on the right, and whatever else there is.
        """
        mask = batch["attention_mask"].bool()
        positions = torch.arange(mask.shape[1]).expand_as(mask) + self.first_position
        packed = {"input_ids": _filled_up(batch["input_ids"][mask]), "position_ids": _filled_up(positions[mask])}
        self._texts = EndToEnd(mask.sum(dim=1), packed["input_ids"].shape[1], self.last)
        return {name: values for name, values in batch.items() if name != "attention_mask"} | packed

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While it is open the model takes the batch that was packed last; backward passes belong in it, too."""
        firsts = self._texts.firsts

        def first_tokens(_module: nn.Module, _given: Any, output: Any) -> Any:
            hidden = output[0] if self.last is not None else output[0].index_select(1, firsts)
            hidden = hidden.transpose(0, 1)  # (b, 1, width): all that the heads look at
            return type(output)(last_hidden_state=hidden) if hasattr(output, "last_hidden_state") else (hidden,)

        before = self._config._attn_implementation
        AttentionInterface.register(NAME, self._texts.attend)
        hook = self._encoder.register_forward_hook(first_tokens)
        self._config._attn_implementation = NAME
        try:
            with self.last.asked_at(firsts) if self.last is not None else nullcontext():
                yield
        finally:
            self._config._attn_implementation = before
            hook.remove()


def _filled_up(row: torch.Tensor) -> torch.Tensor:
    """The row (tokens,) as a batch of one, with its first token repeated at its end."""
    step = max(1, (1 << len(row).bit_length() - 1) // LENGTHS_AN_OCTAVE)
    return torch.cat([row, row[:1].expand(-len(row) % step)])[None]


def _alike(logits: torch.Tensor, wanted: torch.Tensor) -> bool:
    return bool((logits - wanted).abs().max() <= CLOSE * wanted.abs().max())
