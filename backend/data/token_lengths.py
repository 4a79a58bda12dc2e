"""How long texts are in the tokens of a model, how many a maximum length cuts, and how much the model cannot read.

Knows tokenizers by the ``tokenizers`` library alone: neither torch nor Transformers is loaded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import BertWordPieceTokenizer, Tokenizer

from backend.data.report.lengths import summary_of
from backend.errors import ModelUnusable
from backend.recipes import LONGEST_FIT

TOKENIZER_FILE, VOCABULARY_FILE, CONFIG_FILE = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
TOKEN_SAMPLE = 20_000
MOST_CHARACTERS = 100_000
"""Of one text: what is longer is cut by any maximum length."""
LENGTH_STEPS = (64, 128, 256, 512)
CUT_SHARE = 0.01
"""Texts that a fitting length may cut: those that say it all in their first words, or are no texts at all."""
SHORTEST_FIT = 32
FIT_MULTIPLE = 8
"""What matrix units like lengths to be a multiple of."""
UNKNOWN_TOKENS = ("[UNK]", "<unk>", "<|unk|>")
BATCH = 500


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a model's folder, without truncation or padding.

    Raises:
        ModelUnusable: there is none that can be read: neither ``tokenizer.json`` nor a BERT vocabulary.
    """
    try:
        if (folder / TOKENIZER_FILE).is_file():
            tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        else:
            lowercase = _config(folder).get("do_lower_case", True)
            tokenizer = BertWordPieceTokenizer(str(folder / VOCABULARY_FILE), lowercase=bool(lowercase))._tokenizer
    except Exception as error:  # the library raises bare Exceptions for files that it cannot read
        raise ModelUnusable(model=str(folder), detail=f"{TOKENIZER_FILE}: {error}"[:300]) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / CONFIG_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def fitting_length(lengths: npt.NDArray[Any]) -> int:
    """The least maximum length, a multiple of 8, that cuts at most 1 % of texts of these ``lengths`` in tokens."""
    if not len(lengths):
        return LONGEST_FIT
    kept = np.sort(lengths)[math.ceil((1 - CUT_SHARE) * len(lengths)) - 1]
    return int(np.clip(math.ceil(kept / FIT_MULTIPLE) * FIT_MULTIPLE, SHORTEST_FIT, LONGEST_FIT))


def measure_tokens(texts: Sequence[str], tokenizer: Tokenizer, max_length: int | None) -> dict[str, Any]:
    """The lengths of the texts in tokens, those around a text included, as a model is given them.

    Without a ``max_length`` it is the `fitting_length`.

    The result: ``{"texts", "max_length", "truncated", "unknown", "over": {step: share}, "mean", "median", "p95",
    "p99", "max", "histogram"}``; ``truncated`` is the share of texts longer than ``max_length``, ``unknown`` the
    share of tokens that stand for something the tokenizer does not know.
    """
    unknown_ids = {tokenizer.token_to_id(token) for token in UNKNOWN_TOKENS} - {None}
    lengths, unknown, total = [], 0, 0
    for batch in _batches(texts):
        for encoding in tokenizer.encode_batch([text[:MOST_CHARACTERS] for text in batch]):
            own = [t for t, added in zip(encoding.ids, encoding.special_tokens_mask, strict=True) if not added]
            lengths.append(len(encoding.ids))
            unknown += sum(token in unknown_ids for token in own)
            total += len(own)
    found = np.array(lengths, dtype=np.int64)
    max_length = fitting_length(found) if max_length is None else max_length
    over = {str(step): round(float((found > step).mean()), 4) if lengths else 0.0 for step in LENGTH_STEPS}
    return {
        "texts": len(texts),
        "max_length": max_length,
        "truncated": round(float((found > max_length).mean()), 4) if lengths else 0.0,
        "unknown": round(unknown / max(1, total), 4),
        "over": over,
        **summary_of(found),
    }


def _batches(texts: Sequence[str]) -> Iterable[Sequence[str]]:
    return (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
