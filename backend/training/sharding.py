"""A model whose weights, gradients and moments lie in shards over the processes (FSDP), for what no card has room for.

PyTorch's ``fully_shard`` does it; here is what differs from a model that each process has whole. It is sharded before
Trainer takes it, as one that was loaded in shards: Accelerate leaves models whole on processors, where it is tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import TrainingArguments

from backend.training.layers import body_of, layer_stacks


def is_sharded(model: Any) -> bool:
    """Whether the weights lie in shards."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """What this process holds of the parameter: all of it, where it is in no shards."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter


def held_share(model: Any) -> float:
    """How much of the weights this process holds, from 0 to 1."""
    parameters = list(model.parameters())
    held, whole = sum(own_part(p).numel() for p in parameters), sum(p.numel() for p in parameters)
    return float(held / whole)


def shard(model: Any, arguments: TrainingArguments) -> None:
    """Divide the model's weights over the processes, in place; all processes must come.

    The first process has the weights; in the others the model may be empty (`backend.models.loading.load_base`).
    Layers compute in the short type, if there is one; gradients are added up among processes in full precision.
    """
    leads = arguments.process_index == 0
    # What a model's files lack, and is trained whatever is frozen, only the first knows.
    trained = [[name for name, parameter in model.named_parameters() if parameter.requires_grad]]
    distributed.broadcast_object_list(trained, src=0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained[0])
    # Not the parameters themselves, which go to the device, layer by layer, as they are divided.
    whole = {name: parameter.detach() for name, parameter in model.named_parameters()} if leads else {}
    mesh = init_device_mesh(arguments.device.type, (arguments.world_size,))
    short = torch.bfloat16 if arguments.bf16 else torch.float16 if arguments.fp16 else None
    full = torch.float32 if short else None
    policy = MixedPrecisionPolicy(param_dtype=short, reduce_dtype=full)
    for stack in layer_stacks(body_of(model)):
        for layer in stack:
            fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=replace(policy, output_dtype=full))  # logits, and so the loss
    _fill(model, whole, arguments.device)
    model._is_distributed_loading_by_transformers = True  # Trainer takes it for one that was loaded in shards


def _fill(model: Any, whole: dict[str, torch.Tensor], device: torch.device) -> None:
    """Give each process its parts of the weights, which the first one has ``whole``: one weight after another."""
    if any(parameter.is_meta for parameter in model.parameters()):
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        model.to_empty(device=device)
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = whole[name] if whole else torch.empty(parameter.shape, dtype=parameter.dtype)
            put(parameter, value, source=0)


def bring_apart(model: Any) -> None:
    """Have each process hold its part only: a pass without a backward one leaves some weights whole."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def gathered(named: Iterator[tuple[str, torch.Tensor]], *, kept: bool) -> dict[str, torch.Tensor]:
    """Whole copies of the tensors in main memory, in the processes that have them ``kept``; all processes must come.

    One tensor is whole at a time, so that no card needs room for the model.
    """
    found = {}
    for name, tensor in named:
        whole = tensor.detach()
        if isinstance(whole, DTensor):
            whole = whole.full_tensor()
        if kept:
            found[name] = whole.cpu().contiguous()
    return found


def put(parameter: torch.Tensor, value: torch.Tensor, *, source: int | None = None) -> None:
    """Give the parameter this value, of which each process takes its part.

    Args:
        source: the process whose value it is, for which all must come; None where each has it.
    """
    if isinstance(parameter, DTensor):
        own: torch.Tensor = distribute_tensor(
            value.to(parameter.device), parameter.device_mesh, parameter.placements, src_data_rank=source
        )
        parameter.copy_(own)
    else:
        parameter.copy_(value)


def save_optimizer(model: Any, optimizer: torch.optim.Optimizer, path: Path, *, leads: bool) -> None:
    """Write the whole state of the optimizer, in the process that ``leads``; all processes must come."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = get_optimizer_state_dict(model, optimizer, options=options)
    if leads:
        torch.save(state, path)


def load_optimizer(model: Any, optimizer: torch.optim.Optimizer, path: Path) -> None:
    """Give the optimizer a state that was written whole, of which each process takes its part; all must come."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    state = torch.load(path, weights_only=True, map_location="cpu") if distributed.get_rank() == 0 else {}
    set_optimizer_state_dict(model, optimizer, state, options=options)


def plain_copy(model: Any, *, kept: bool) -> Any:
    """A model like it with its whole weights in main memory, where ``kept``, else None; all processes must come."""
    weights = gathered(iter(model.state_dict().items()), kept=kept)
    if not kept:
        return None
    # A sharded model's class is made for it: what it is called must not stand in the saved model.
    kind = next(base for base in type(model).__mro__ if not base.__name__.startswith("FSDP"))
    with torch.device("meta"):
        plain: Any = kind(model.config)
    plain.load_state_dict(weights, assign=True)
    return plain
