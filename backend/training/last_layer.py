"""The last layer of an encoder, asked for the first token of each text alone: the head looks at no other.

Queries, the attention's output and the feed-forward part, five sixths of a layer's products, are computed for as many
tokens as there are texts. Keys and values, the last sixth, need not be computed either: with one query a text it is
less work to put the weights that make them on the query and on what is found (`backend.training.packed_attention`),
which is the same sum in another order. Where these weights are not those of a plain linear layer (adapters, 4 and 8
bits) keys and values are those of all tokens. What the head is given is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import torch
from torch import nn

from backend.training.layers import layer_stacks

KEYS_AND_VALUES = (("key", "value"), ("k_lin", "v_lin"))
"""What architectures call the two linear layers."""


class LastLayer:
    """Of one encoder, whose layers are asked one after the other, each once."""

    def __init__(self, layer: nn.Module, attention: nn.Module, names: tuple[str, str]) -> None:
        self._layer, self._names = layer, names
        self.attention = attention
        """The module that has keys and values, and asks for `keys_and_values` instead of those it is given."""
        self.hidden = torch.empty(0)
        """What the layer is given, of all tokens, while it is asked: (1, tokens, width)."""
        self._found: dict[str, torch.Tensor] = {}

    @classmethod
    def of(cls, encoder: nn.Module) -> Self | None:
        """That of an encoder; None where nothing in it is called keys and values."""
        for stack in layer_stacks(encoder)[-1:]:
            layer = stack[len(stack) - 1]
            for module in layer.modules():
                for names in KEYS_AND_VALUES:
                    if all(hasattr(module, name) for name in names):
                        return cls(layer, module, names)
        return None

    @property
    def plain(self) -> tuple[nn.Linear, nn.Linear] | None:
        """The layers that would make keys and values, if all they do is to multiply and to add."""
        keys, values = (getattr(self.attention, name) for name in self._names)
        return (keys, values) if type(keys) is type(values) is nn.Linear else None

    def keys_and_values(self, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Of all tokens, as the attention of any other layer has them: (1, heads, tokens, width) each."""
        found = (self._found[name] for name in self._names)
        key, value = (each.view(*each.shape[:-1], -1, width).transpose(1, 2) for each in found)
        return key, value

    @contextmanager
    def asked_at(self, firsts: torch.Tensor) -> Iterator[None]:
        """While it is open the layer's output is that of the tokens at these places: (1, b, width).

        Args:
            firsts: places (b,) among the tokens of the only row.
        """

        def keep_all(_layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
            self.hidden, *others = given
            return self.hidden.index_select(1, firsts), *others

        def of_all(_linear: nn.Module, _given: tuple[Any, ...]) -> tuple[torch.Tensor]:
            return (self.hidden,)

        def keeping(name: str) -> Any:
            def keep(_linear: nn.Module, _given: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
                self._found[name] = output
                return output[:, : len(firsts)]  # of the shape that the layer expects; the attention asks for all

            return keep

        with ExitStack() as hooks:
            hooks.callback(self._forget)
            hooks.callback(self._layer.register_forward_pre_hook(keep_all).remove)
            for name in self._names if self.plain is None else ():
                linear = getattr(self.attention, name)
                hooks.callback(linear.register_forward_pre_hook(of_all).remove)
                hooks.callback(linear.register_forward_hook(keeping(name)).remove)
            yield

    def _forget(self) -> None:
        self.hidden, self._found = torch.empty(0), {}
