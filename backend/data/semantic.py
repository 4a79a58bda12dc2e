"""Texts that say the same in other words: by the embeddings of an encoder. Imports torch when it encodes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from usearch.index import Index

from backend.data.duplicates import PAIRS, Found, Pair, firsts
from backend.data.near_duplicates import near
from backend.data.rows import TextRows

MOST_ENCODED = 200_000
"""Different texts that are encoded: beyond that, hours without an accelerator. The rest is kept as it is."""
MOST_TOKENS = 128
TOKENS_AT_ONCE = 1 << 13
NEIGHBOURS = 32
HUB_TIMEOUT_S = 3.0
WEIGHTS = "model.safetensors"

Embeddings = np.ndarray[Any, np.dtype[np.float32]]
Tell = Callable[[int, int], None]


def semantic(rows: TextRows, threshold: float, encoder: str, cache: Path | None, tell: Tell) -> Found:
    """Leaves out each text of which an earlier one has an embedding with a cosine of at least ``threshold``.

    The neighbours are found by an approximate index (HNSW, Malkov and Yashunin 2018; the package usearch), which
    grows as n log n. Where there is no encoder it leaves out near-duplicates, and says so.
    """
    folder = encoder_folder(encoder)
    if folder is None:
        found = near(rows, threshold, tell)
        note = {"code": "no_encoder", "facts": {"encoder": encoder or "–"}}
        return replace(found, notes=[note, *found.notes])
    keep = firsts(rows)
    asked = np.flatnonzero(keep & rows.has_text)
    notes = []
    if len(asked) > MOST_ENCODED:
        notes = [{"code": "near_duplicates_bounded", "facts": {"texts": MOST_ENCODED, "rows": len(asked)}}]
        asked = asked[:MOST_ENCODED]
    if len(asked) < 2:
        return Found(keep, [], notes)
    vectors = embeddings(rows.text_at(asked), folder, cache, tell)
    pairs = _repeated(vectors, threshold)
    for pair in pairs:
        keep[asked[pair.row]] = False
    shown = sorted(pairs, key=lambda pair: pair.similarity)[:PAIRS]
    return Found(keep, [Pair(int(asked[p.row]), int(asked[p.kept]), p.similarity) for p in shown], notes)


def _repeated(vectors: Embeddings, threshold: float) -> list[Pair]:
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
    index.add(np.arange(len(vectors)), vectors)
    matches = index.search(vectors, min(NEIGHBOURS, len(vectors)))
    neighbours = matches.keys.astype(np.int64)
    similarity = (
        np.einsum("id,ikd->ik", vectors, vectors[neighbours]) if len(vectors) <= 4096 else 1 - matches.distances
    )
    kept = np.ones(len(vectors), dtype=bool)
    pairs = []
    for row in range(len(vectors)):
        close = [
            (float(cosine), -int(other))
            for cosine, other in zip(similarity[row], neighbours[row], strict=True)
            if other < row and kept[other] and cosine >= threshold
        ]
        if close:
            cosine, other = max(close)
            kept[row] = False
            pairs.append(Pair(row, -other, min(1.0, cosine)))
    return pairs


def embeddings(texts: Sequence[str], folder: Path, cache: Path | None, tell: Tell) -> Embeddings:
    """(texts, d) mean token embeddings of length 1; kept in ``cache`` for the next time."""
    digest = hashlib.sha256(str(folder).encode())
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    path = cache / f"{digest.hexdigest()[:32]}.npy" if cache else None
    if path and path.exists():
        found: Embeddings = np.load(path, allow_pickle=False)
        return found
    vectors = _encoded(texts, folder, tell)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with open(unfinished, "wb") as stream:
            np.save(stream, vectors)
        unfinished.rename(path)
    return vectors


def _encoded(texts: Sequence[str], folder: Path, tell: Tell) -> Embeddings:
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    build: Any = AutoModel.from_pretrained
    model = build(folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    model.eval()
    longest = min(MOST_TOKENS, int(getattr(model.config, "max_position_embeddings", MOST_TOKENS)))
    order = np.argsort([-len(text) for text in texts], kind="stable")
    vectors = np.empty((len(texts), model.config.hidden_size), dtype=np.float32)
    done = 0
    with torch.inference_mode():
        while done < len(order):
            size = max(8, TOKENS_AT_ONCE // max(8, min(longest, len(texts[order[done]]))))
            portion = order[done : done + size]
            batch = tokenizer(
                [texts[i] for i in portion], padding=True, truncation=True, max_length=longest, return_tensors="pt"
            )
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors[portion] = torch.nn.functional.normalize(mean, dim=1).numpy()
            done += len(portion)
            tell(done, len(order))
    return vectors


def encoder_folder(encoder: str) -> Path | None:
    """Where the encoder lies on this machine, downloaded from the Hub if that can be reached; None if it is nowhere."""
    if not encoder:
        return None
    folder = Path(encoder).expanduser()
    if (folder / WEIGHTS).is_file() and (folder / "config.json").is_file():
        return folder
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", encoder):
        return None
    return _from_hub(encoder)


def _from_hub(encoder: str) -> Path | None:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wanted = ["*.json", "*.txt", "*.model", WEIGHTS]
    try:
        found = Path(snapshot_download(encoder, allow_patterns=wanted, local_files_only=True))
        if (found / WEIGHTS).is_file():
            return found
    except (LocalEntryNotFoundError, HfHubHTTPError, ValueError, OSError):
        pass
    try:
        HfApi().model_info(encoder, timeout=HUB_TIMEOUT_S)  # a Hub that is away is found out within seconds
        found = Path(snapshot_download(encoder, allow_patterns=wanted))
    except (HfHubHTTPError, OfflineModeIsEnabled, ValueError, OSError):
        return None
    except Exception as error:  # the client's own transport errors have no common base
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "huggingface_hub"):
            return None
        raise
    return found if (found / WEIGHTS).is_file() else None
