"""What a process that trains sets for the libraries it is about to import. Without torch."""

from __future__ import annotations

import os
import sys

from backend.imports import leave_out
from backend.jobs.ranks import rank_of
from backend.specs import ComputeSpec, RunSpec


def prepare_environment(spec: RunSpec | None = None) -> None:
    """What must be set before torch and Transformers are imported: one card, no telemetry, no chatter.

    Args:
        spec: the one run that this process is for; what it has no use for is not loaded then.
    """
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    if sys.platform == "linux":  # batches of ever other lengths would leave gaps of a card's memory unused
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    if rank_of(os.environ).alone:
        # With several cards Trainer would quietly spread each batch over all of them, which is slower and not the same.
        os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    if spec and spec.adapting.adapter == "none":
        leave_out("peft")


def leave_card(compute: ComputeSpec) -> None:
    """Have this process, and those that it starts, compute on the processor where the run asks for that."""
    if compute.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        os.environ["ACCELERATE_USE_CPU"] = "true"
