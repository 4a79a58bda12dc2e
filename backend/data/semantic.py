"""Texts that say the same in other words: by the embeddings of an encoder. Imports torch when it encodes."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from usearch.index import Index

from backend.data.duplicates import PAIRS, Found, Pair, firsts
from backend.data.near_duplicates import near
from backend.data.report.rows import Tell
from backend.data.rows import Indices, TextRows
from backend.jobs import files
from backend.machine import usable_memory

MEMORY_SHARE = 0.5
"""Of the machine's memory, for the index."""
GRAPH_BYTES = 450
"""What the index holds of a text besides its vector, which stays in its file: measured at 384 dimensions."""
MOST_TOKENS = 128
TOKENS_AT_ONCE = 1 << 13
TOKENS_AT_ONCE_GPU = 1 << 16
TEXTS_AT_ONCE = 1024
NEIGHBOURS = 4
HUB_TIMEOUT_S = 3.0
WEIGHTS = "model.safetensors"
STORED = "float16"
"""How embeddings lie in their file."""

NOT_NAMED: dict[str, Any] = {"code": "encoder_not_named", "facts": {}}

Embeddings = np.ndarray[Any, np.dtype[np.float16]]
Vectors = np.ndarray[Any, np.dtype[np.float32]]


def semantic(rows: TextRows, threshold: float, encoder: str, cache: Path | None, tell: Tell) -> Found:
    """Leaves out each text of which an earlier kept one has an embedding with a cosine of at least ``threshold``.

    The neighbours are found by an approximate index (HNSW, Malkov and Yashunin 2018; the package usearch), which
    grows as n log n. It holds as many texts as fit half of the machine's memory, and says so where there are more.
    Where there is no encoder it leaves out near-duplicates, and says so.
    """
    folder = encoder_folder(encoder)
    if folder is None:
        found = near(rows, threshold, tell)
        note = {"code": "no_encoder", "facts": {"encoder": encoder}} if encoder else NOT_NAMED
        return replace(found, notes=[note, *found.notes])
    keep = firsts(rows)
    asked = np.flatnonzero(keep & rows.has_text)
    notes = []
    memory_bytes = int(MEMORY_SHARE * usable_memory())
    if len(asked) > (most := memory_bytes // GRAPH_BYTES):
        facts = {"texts": most, "rows": len(asked), "gigabytes": round(memory_bytes / 1e9, 1)}
        notes = [{"code": "compared_in_memory", "facts": facts}]
        asked = asked[:most]
    if len(asked) < 2:
        return Found(keep, [], notes)
    with _embedded(rows, asked, folder, cache, tell) as vectors:
        repeated, pairs = _repeated(vectors, threshold, tell)
    keep[asked[repeated]] = False
    return Found(keep, [Pair(int(asked[p.row]), int(asked[p.kept]), p.similarity) for p in pairs], notes)


def _repeated(vectors: Embeddings, threshold: float, tell: Tell) -> tuple[Indices, list[Pair]]:
    """The texts that repeat an earlier kept one, and the least similar of these pairs."""
    # The vectors have length 1 and stay in their file: the index holds its graph only.
    index = Index(ndim=vectors.shape[1], metric="ip", dtype="f16")
    repeated: list[int] = []
    pairs: list[Pair] = []
    for start in range(0, len(vectors), TEXTS_AT_ONCE):
        tell(len(vectors) + start, 2 * len(vectors))
        block = vectors[start : start + TEXTS_AT_ONCE].astype(np.float32)
        cosines, others = _nearest_kept(index, vectors, block)
        among = block @ block.T
        kept: list[int] = []
        for place in range(len(block)):
            if kept and (beside := among[place, kept]).max() > cosines[place]:
                cosines[place], others[place] = beside.max(), start + kept[int(beside.argmax())]
            if cosines[place] >= threshold:
                repeated.append(start + place)
                pairs.append(Pair(start + place, int(others[place]), min(1.0, float(cosines[place]))))
            else:
                kept.append(place)
        for first, end in _runs(np.array(kept, dtype=np.int64) + start):
            index.add(np.arange(first, end, dtype=np.uint64), vectors[first:end], copy=False)
        pairs = sorted(pairs, key=lambda pair: pair.similarity)[:PAIRS]
    return np.array(repeated, dtype=np.int64), pairs


def _runs(numbers: Indices) -> Iterator[tuple[int, int]]:
    """The first of each unbroken run of ascending numbers, and the one after its last."""
    if len(numbers):
        for run in np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1):
            yield int(run[0]), int(run[-1]) + 1


def _nearest_kept(index: Index, vectors: Embeddings, block: Vectors) -> tuple[Vectors, Indices]:
    """For each text of the block its greatest cosine with one in the index, and which one that is."""
    if not len(index):
        return np.full(len(block), -1.0, np.float32), np.zeros(len(block), np.int64)
    matches = index.search(block, min(NEIGHBOURS, len(index)))
    found = matches.keys.reshape(len(block), -1).astype(np.int64)
    # What the index tells is rounded to its own format.
    cosines = np.einsum("td,tnd->tn", block, vectors[found].astype(np.float32))
    best = cosines.argmax(axis=1)
    texts = np.arange(len(block))
    return cosines[texts, best], found[texts, best]


@contextmanager
def _embedded(rows: TextRows, asked: Indices, folder: Path, cache: Path | None, tell: Tell) -> Iterator[Embeddings]:
    """(texts, d) mean token embeddings of length 1, in a file, which stays in ``cache`` for the next time."""
    digest = hashlib.sha256(f"{folder} {STORED}".encode())
    for start in range(0, len(asked), TEXTS_AT_ONCE):
        for text in rows.text_at(asked[start : start + TEXTS_AT_ONCE]):
            digest.update(text.encode("utf-8", "replace") + b"\0")
    with tempfile.TemporaryDirectory(prefix="studio-embeddings-") if cache is None else nullcontext(cache) as where:
        path = Path(where) / f"{digest.hexdigest()[:32]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            _encode(rows, asked, folder, unfinished, tell)
            files.place(unfinished, path)
        yield np.load(path, mmap_mode="r", allow_pickle=False)


def _encode(rows: TextRows, asked: Indices, folder: Path, path: Path, tell: Tell) -> None:
    """Write the embeddings to ``path``, the longest texts first, on the graphics card where there is one."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_card = device.type == "cuda"
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    build: Any = AutoModel.from_pretrained
    model = build(folder, trust_remote_code=False, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    model.eval().to(device)
    longest = min(MOST_TOKENS, int(getattr(model.config, "max_position_embeddings", MOST_TOKENS)))
    lengths = pc.utf8_length(rows.texts).to_numpy()[asked].astype(np.int64)
    order = np.argsort(-lengths, kind="stable")
    vectors = _allocated(path, len(asked), model.config.hidden_size)
    tokens_at_once, done = TOKENS_AT_ONCE_GPU if on_card else TOKENS_AT_ONCE, 0
    with torch.inference_mode(), torch.autocast("cuda", torch.float16) if on_card else nullcontext():
        while done < len(order):
            size = max(8, tokens_at_once // max(8, min(longest, int(lengths[order[done]]))))
            portion = order[done : done + size]
            batch = tokenizer(
                rows.text_at(asked[portion]), padding=True, truncation=True, max_length=longest, return_tensors="pt"
            ).to(device)
            hidden = model(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            vectors[portion] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
            done += len(portion)
            tell(done, 2 * len(order))  # the other half is the comparison
    vectors.flush()


def _allocated(path: Path, texts: int, width: int) -> Any:
    vectors = np.lib.format.open_memmap(path, "w+", STORED, (texts, width))
    if hasattr(os, "posix_fallocate"):  # a disk that fills up under a mapped file would end the process without a word
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
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
