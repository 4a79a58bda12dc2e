"""Asking a model: logits of encoded texts, batched by length. The one loop for evaluation, reports and predictions."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from backend.jobs.ranks import rank_of
from backend.machine import Machine, this_machine, threads_each, without_card
from backend.models.encoding import EncodedTexts
from backend.models.memory import is_memory_error, release_memory

TOKENS_A_BATCH_CPU = 2_048
"""As many as stay in a processor's cache: half of it is no quicker for widths of 128, 384 and 768 in fp32 and bf16, and
8,192 took 1.05, 2.0 and 1.6 times as long in fp32."""
TOKENS_A_BATCH_GPU = 65_536
KERNELS_KEPT = 16_384
"""oneDNN makes one for each shape of a product, and keeps 1,024; texts of all lengths make more, of which each takes
milliseconds where a processor has matrix units."""
Given = Callable[[dict[str, torch.Tensor]], AbstractContextManager[dict[str, torch.Tensor]]]


def choose_device() -> torch.device:
    """The graphics card where there is one, of several processes each its own, else the processor."""
    if torch.cuda.is_available():
        own = torch.device("cuda", rank_of(os.environ).local_number)
        torch.cuda.set_device(own)  # libraries that are not told, as bitsandbytes is not, take the current one
        return own
    wanted = os.environ.get("ACCELERATE_USE_CPU", "").lower() != "true"
    return torch.device("mps" if wanted and torch.backends.mps.is_available() else "cpu")


def machine_of(device: torch.device) -> Machine:
    """This machine as torch can use it: a build of torch may know nothing of a card that is there."""
    machine = this_machine()
    if device.type != "cuda":
        return machine if machine.device == device.type else without_card(machine, device.type)
    major, minor = torch.cuda.get_device_capability(device)
    about = torch.cuda.get_device_properties(device)
    return replace(
        machine,
        device="cuda",
        card=about.name,
        card_memory_bytes=about.total_memory,
        capability=major + minor / 10,
        bf16=torch.cuda.is_bf16_supported(including_emulation=False),
    )


def describe_device(device: torch.device, processes: int = 1) -> str:
    """``cpu``, or the kind and the name of the card; with the number of processes where it is not one."""
    name = f"cuda: {torch.cuda.get_device_name(device)}" if device.type == "cuda" else device.type
    return f"{name} × {processes}" if processes > 1 else name


def prepare_processor() -> None:
    """Let torch use every physical core, treat vanishing numbers as zero, which would be slow to compute with, and have
    oneDNN keep the kernels it makes, unless the environment says how many."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(KERNELS_KEPT))
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads_each(rank_of(os.environ).local_processes))


def tokens_a_batch(device: torch.device) -> int:
    """Padded tokens that are asked at one time."""
    return TOKENS_A_BATCH_CPU if device.type == "cpu" else TOKENS_A_BATCH_GPU


def predict_logits(
    model: Any,
    encoded: EncodedTexts,
    *,
    autocast: torch.dtype | None = None,
    batches: Sequence[npt.NDArray[np.int64]] | None = None,
    given: Given = nullcontext,
    step: Callable[[int], None] = lambda done: None,
) -> npt.NDArray[np.float32]:
    """Logits (n, k) in the order of the texts; in full precision, unless ``autocast`` names a shorter type.

    A model that keeps weights in bf16 is asked in bf16.

    ``step(done)`` is called before each batch: the place to report progress or to raise for a stop. A batch that
    memory has no room for is asked in halves. Each batch's logits leave the device at once.

    Args:
        batches: row numbers of the batches to ask; what is not among them is NaN. All rows, batched by length, if None.
        given: what the model is given of a batch, while this is open; the batch itself unless said otherwise.
    """
    device = next(model.parameters()).device
    logits = np.full((len(encoded), model.config.num_labels), np.nan, dtype=np.float32)
    if autocast is None and any(p.dtype is torch.bfloat16 for p in model.parameters()):
        autocast = torch.bfloat16
    was_training, done = model.training, 0
    model.eval()
    try:
        # Not `inference_mode`: weights that are brought together from shards are needed again in training.
        with torch.no_grad(), torch.autocast(device.type, autocast) if autocast else nullcontext():
            waiting = deque(encoded.batches(tokens_a_batch(device)) if batches is None else batches)
            while waiting:
                step(done)
                rows = waiting.popleft()
                found = _logits_of(model, encoded, rows, device, given)
                if found is None:
                    release_memory()
                    waiting.extendleft((rows[len(rows) // 2 :], rows[: len(rows) // 2]))
                    continue
                logits[rows] = found
                done += len(rows)
    finally:
        model.train(was_training)
    step(done)
    return logits


def _logits_of(
    model: Any, encoded: EncodedTexts, rows: npt.NDArray[np.int64], device: torch.device, given: Given
) -> npt.NDArray[np.float32] | None:
    """The logits of one batch; None where memory has no room for it. Raises what else goes wrong, also for one text."""
    try:
        batch = {name: tensor.to(device) for name, tensor in encoded.batch(rows).items()}
        with given(batch) as told:
            found: npt.NDArray[np.float32] = model(**told).logits.float().cpu().numpy()
        return found
    except (RuntimeError, MemoryError) as error:
        if len(rows) == 1 or not is_memory_error(error):
            raise
    return None  # here, where the error no longer holds what was computed
