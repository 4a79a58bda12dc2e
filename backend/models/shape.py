"""How large a base model is, told from files that need no weights to be loaded: its config and safetensors' headers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import ModelError
from backend.models.catalogue import catalogue
from backend.models.folder import CONFIG, names_a_folder
from backend.models.hub import cached_folder
from backend.models.weight_files import tensor_sizes
from backend.specs import STARTER

WIDTHS = ("hidden_size", "d_model", "dim", "n_embd")
LAYERS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
HEADS = ("num_attention_heads", "num_heads", "n_heads", "n_head")
"""What the configs of the families call the same thing."""
NUMBERS_A_TOKEN_AND_LAYER = 34
"""Widths of numbers that a layer keeps for its backward pass: in bytes of two, 34 (Korthikanti et al. 2022)."""
NUMBERS_OF_LORA = 17
"""Kept besides where LoRA is in all linear modules: each one's input once more, after its dropout, and what that left
out. Measured with Phi-3-mini's shape: 5.6 MB a token for both, where this gives 5.0."""
SCORES_A_HEAD = 2.5
"""Numbers that attention keeps for each pair of tokens and head: 5 bytes of two."""
SQUARES_A_LAYER = 12
"""Parameters of a usual layer in squares of its width: attention 4, feed-forward 8."""
NUMBERED = re.compile(r"\.\d+\.")
"""In the name of a parameter: it is in a layer."""


@dataclass(frozen=True)
class Shape:
    """A transformer's sizes."""

    width: int
    layers: int
    heads: int
    parameters: int
    layer_parameters: int
    """In one of the layers."""
    architecture: str = ""
    """Its ``model_type``, where its configuration is here."""


def shape_of(base: str) -> Shape | None:
    """The shape of a base model that is on this machine or in the list of known ones; None where nothing tells it."""
    if base == STARTER:
        return None
    folder = Path(base).expanduser() if names_a_folder(base) else cached_folder(base)
    if folder is not None:
        return _shape_of_folder(folder)
    known = next((model for model in catalogue() if model.id == base), None)
    if known is None:
        return None
    width, layers, heads = known.shape
    return Shape(width, layers, heads, known.parameters, SQUARES_A_LAYER * width**2)


def architecture_of(folder: Path) -> str:
    """The ``model_type`` in a model's configuration; empty where nothing can be read, which is said elsewhere."""
    try:
        return str(json.loads((folder / CONFIG).read_bytes()).get("model_type") or "")
    except (OSError, ValueError, AttributeError):
        return ""


def architecture_named(base: str) -> str:
    """The ``model_type`` of a base model that is on this machine; empty where nothing tells it."""
    if base == STARTER:
        return ""
    folder = Path(base).expanduser() if names_a_folder(base) else cached_folder(base)
    return "" if folder is None else architecture_of(folder)


def token_bytes(
    shape: Shape,
    layers: int,
    length: int,
    *,
    short: bool,
    checkpointing: bool,
    scores: bool = True,
    adapted: bool = False,
) -> float:
    """An estimate of what one token of a text of this length costs in a training step.

    Args:
        layers: those that the backward pass goes through.
        short: numbers of two bytes (bf16, fp16) and not of four.
        checkpointing: activations are computed again in the backward pass, so a layer keeps its input alone.
        scores: attention is computed in the open, and what it gives each pair of tokens is kept.
        adapted: LoRA is in the layers.
    """
    passed = max(1, layers)
    widths = NUMBERS_A_TOKEN_AND_LAYER + NUMBERS_OF_LORA * adapted
    each = widths / 2 * shape.width + SCORES_A_HEAD * shape.heads * length * scores
    numbers = each + passed * shape.width if checkpointing else passed * each
    return numbers * (2 if short else 4)


def _shape_of_folder(folder: Path) -> Shape | None:
    try:
        whole = json.loads((folder / CONFIG).read_bytes())
        config = whole.get("text_config") or whole
        width, layers, heads = (_number(config, names) for names in (WIDTHS, LAYERS, HEADS))
        sizes = tensor_sizes(folder)
    except (OSError, ValueError, KeyError, AttributeError, ModelError):  # checked elsewhere, with words
        return None
    inside = sum(size for name, size in sizes if NUMBERED.search(name))
    return Shape(
        width, layers, heads, sum(size for _, size in sizes), inside // layers, str(whole.get("model_type") or "")
    )


def _number(config: dict[str, Any], names: tuple[str, ...]) -> int:
    value = int(config[next((name for name in names if name in config), names[0])])
    if value < 1:
        raise ValueError(names[0])
    return value
