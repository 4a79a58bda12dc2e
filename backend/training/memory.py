"""How much of a batch is computed at one time: as much as memory has room for.

What a batch is divided into adds up to the batch, so its size, the steps and the result stay what they were; only the
time grows. A first estimate keeps a processor from running the whole machine out of memory, where the system would
end the process without a word; on a card the driver refuses, which is heard, and the share is halved.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import TrainingArguments

from backend.decisions import MOMENT_BYTES
from backend.jobs.events import Noted
from backend.jobs.platform import peak_memory
from backend.jobs.process import JobContext
from backend.jobs.ranks import rank_of
from backend.machine import available_memory
from backend.models import shape
from backend.training.arguments import OPTIMIZERS
from backend.training.layers import body_of, layer_stacks
from backend.training.rows import Rows

USED_SHARE, USED_SHARE_OF_A_CARD = 0.8, 0.9
"""Of the free memory; the rest is for what the estimate does not know. A card says when it was too little."""
ADAMW_MOMENT_BYTES = 8


def free_bytes(device: torch.device, processes: int = 1) -> int:
    """What each of so many processes that share this machine's run can still have on the device."""
    if device.type == "cuda":  # each has its own
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory() // processes


def peak_bytes(device: torch.device) -> int:
    """The most memory that has been in use since this process began: on a card, what torch has taken of it."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device))
    return peak_memory()


def training_bytes(model: Any, optimizer: str, *, short: bool) -> int:
    """What gradients and an optimizer's moments will take beside the weights that are there.

    Args:
        optimizer: as `backend.training_specs.Optimizer` calls it.
        short: products are computed in two bytes, for which weights of four are copied.
    """
    each = 4 + MOMENT_BYTES.get(optimizer, ADAMW_MOMENT_BYTES)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    copied = sum(p.numel() for p in model.parameters() if short and p.dtype is torch.float32)
    return int(each * trained + 2 * copied)


def token_bytes(model: Any, length: int, *, short: bool, checkpointing: bool) -> float:
    """An estimate of what one token of a text of this length costs in a training step (`shape.token_bytes`)."""
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1))
    sizes = shape.Shape(config.hidden_size, config.num_hidden_layers, heads, parameters=0, layer_parameters=0)
    about = {"scores": model.config._attn_implementation == "eager", "adapted": hasattr(model, "peft_config")}
    return shape.token_bytes(
        sizes, _layers_passed_back(model), length, short=short, checkpointing=checkpointing, **about
    )


def _layers_passed_back(model: Any) -> int:
    """Layers that the backward pass goes through: from the lowest that is trained up to the head."""
    count = 0
    for stack in layer_stacks(body_of(model)):
        trained = [any(p.requires_grad for p in layer.parameters()) for layer in stack]
        count += len(trained) - trained.index(True) if True in trained else 0
    return count


def fitting_tokens(
    model: Any, longest: int, device: torch.device, *, short: bool, checkpointing: bool, optimizer: str
) -> int:
    """Padded tokens that a training step has room for at one time; at least one text of the ``longest`` length."""
    share = USED_SHARE_OF_A_CARD if device.type == "cuda" else USED_SHARE
    room = share * free_bytes(device, rank_of(os.environ).local_processes) - training_bytes(
        model, optimizer, short=short
    )
    return max(longest, int(room / token_bytes(model, longest, short=short, checkpointing=checkpointing)))


def room_for_tokens(context: JobContext, model: Any, train: Rows, arguments: TrainingArguments) -> int | None:
    """Padded tokens that memory has room for at one time; None where any batch fits. Says if batches are divided."""
    longest = train.pad_to or int(train.texts.lengths.max())
    short, checkpointing = arguments.bf16 or arguments.fp16, bool(arguments.activation_checkpointing)
    optimizer = next(name for name, theirs in OPTIMIZERS.items() if theirs == arguments.optim)
    most = fitting_tokens(
        model, longest, arguments.device, short=short, checkpointing=checkpointing, optimizer=optimizer
    )
    rows = min(arguments.train_batch_size, len(train))
    if rows * longest <= most:
        return None
    context.emit(Noted("batch_divided_ahead", {"rows": most // longest, "batch": rows, "tokens": longest}))
    return most
