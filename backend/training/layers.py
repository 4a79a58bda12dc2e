"""The layers of a model of any architecture: which there are, which are frozen, and how far each is from the head."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from backend.models.loading import elements

EMBEDDING_NAMES = ("embed", "wte", "wpe", "shared")
POOLERS = ("pooler",)


@dataclass(frozen=True)
class Frozen:
    """What is trained after freezing."""

    trainable: int
    """Weights that are trained, of all."""
    parameters: int
    layers: int
    """Layers of the model; where layers share their weights, groups of layers."""
    trained_layers: int
    shared: bool
    """Whether several layers share one set of weights (ALBERT), so that a frozen one is frozen everywhere."""


def body_of(model: Any) -> nn.Module:
    """The model without its classification head; the model itself where there is no such part."""
    body = getattr(model, getattr(model, "base_model_prefix", "") or "", None)
    return body if isinstance(body, nn.Module) else model


def layer_stacks(body: nn.Module) -> list[nn.ModuleList]:
    """The outermost lists of blocks with attention, in forward order: one for an encoder or a decoder."""
    found: list[tuple[str, nn.ModuleList]] = []
    for name, module in body.named_modules():
        if not isinstance(module, nn.ModuleList) or not len(module):
            continue
        inside_another = any(name.startswith(f"{outer}.") for outer, _ in found)
        if not inside_another and any("att" in part.lower() for part, _ in module[0].named_modules()):
            found.append((name, module))
    return [module for _, module in found]


def embeddings_of(body: nn.Module) -> list[nn.Module]:
    """The modules that turn token numbers, positions and types into vectors."""
    owners = [body, *(child for name, child in body.named_children() if name in ("encoder", "decoder", "transformer"))]
    named = [m for owner in owners for name, m in owner.named_children() if _is_embedding(name)]
    own: Any = getattr(body, "get_input_embeddings", lambda: None)()
    return [*named, *([own] if own is not None else [])]


def _is_embedding(name: str) -> bool:
    return any(part in name.lower() for part in EMBEDDING_NAMES)


def freeze(model: Any, how: str, trained_layers: int, new: Collection[str] = ()) -> Frozen:
    """Leave trainable: all (``none``), the last layers and the head (``lower``), or the head alone (``body``).

    A pooler counts as a part of the head, as it is new in most base models, and so do the ``new`` parameters, by name,
    that begin at random; a final norm goes with the last layer.

    Raises:
        ValueError: the model has no layers that could be told apart.
    """
    body = body_of(model)
    stacks = layer_stacks(body)
    if how != "none":
        if not stacks:
            raise ValueError(f"no layers found in {type(model).__name__}")
        body.requires_grad_(False)
        if body is model:  # an architecture whose head is not apart: what is neither layer nor embedding is the head
            _train_all_but(model, [*stacks, *embeddings_of(body)])
        for name, child in body.named_children():
            if name in POOLERS:
                child.requires_grad_(True)
        if how == "lower":
            for stack in stacks:
                for layer in list(stack)[-trained_layers:]:
                    layer.requires_grad_(True)
            for norm in _final_norms(body):
                norm.requires_grad_(True)
        for name, parameter in model.named_parameters():
            if name in new:
                parameter.requires_grad_(True)
    layers = sum(len(stack) for stack in stacks)
    kept = sum(any(p.requires_grad for p in layer.parameters()) for stack in stacks for layer in stack)
    parameters = list(model.parameters())
    config = getattr(model, "config", None)
    return Frozen(
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        parameters=sum(map(elements, parameters)),
        layers=layers,
        trained_layers=kept,
        shared=getattr(config, "model_type", "") == "albert",
    )


def _train_all_but(model: nn.Module, parts: list[Any]) -> None:
    inside = {id(p) for part in parts for p in part.parameters()}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) not in inside)


def _final_norms(body: nn.Module) -> Iterator[nn.Module]:
    owners = [body, *(child for name, child in body.named_children() if name in ("encoder", "decoder", "transformer"))]
    for owner in owners:
        for name, child in owner.named_children():
            if ("norm" in name.lower() or name == "ln_f") and not isinstance(child, nn.ModuleList):
                yield child


def depths(model: Any) -> dict[str, int]:
    """For each parameter's name its distance from the head: 0 the head, 1 the last layer, … the embeddings last."""
    body = body_of(model)
    stacks = layer_stacks(body)
    deepest = max((len(stack) for stack in stacks), default=0) + 1
    depth_of = {id(p): deepest for module in embeddings_of(body) for p in module.parameters()}
    for stack in stacks:
        for place, layer in enumerate(stack):
            depth_of |= {id(p): len(stack) - place for p in layer.parameters()}
    return {name: depth_of.get(id(parameter), 0) for name, parameter in model.named_parameters()}
