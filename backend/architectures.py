"""What single architectures of Transformers cannot do, by ``model_type``: told before there is a model to be asked.

Once a model is loaded its class is asked itself; `tests/test_decisions.py` holds this list to the installed classes.
"""

from __future__ import annotations

NEEDS_FP32 = frozenset({"deberta"})
"""Autocast breaks them: DeBERTa's first version masks attention scores of two bytes with the least number of four,
which they cannot hold (Transformers 5.24)."""

OWN_ATTENTION = frozenset(
    {"big_bird", "bloom", "canine", "convbert", "deberta", "deberta-v2", "flaubert", "fnet", "funnel", "gpt_neo"}
    | {"ibert", "longformer", "luke", "megatron-bert", "mpnet", "mpt", "nystromformer", "openai-gpt", "rembert"}
    | {"roformer", "squeezebert", "tapas", "xlm", "xlnet", "yoso"}
)
"""They compute attention in their own way, whose scores are kept for the backward pass."""

NO_CHECKPOINTING = frozenset(
    {"albert", "ctrl", "flaubert", "funnel", "ibert", "mpnet", "openai-gpt", "squeezebert", "xlm", "xlnet"}
)
"""They cannot drop activations and compute them again."""

T5 = frozenset({"t5", "mt5", "umt5"})
"""Encoder-decoders whose encoder people keep alone."""
