"""A base model in a folder of the user's: what must lie there. Reads what its files begin with, no weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from backend.architectures import T5
from backend.errors import FolderIsAdapter, FolderMissing, ModelNotNamed, ModelUnknown, NotAModelFolder
from backend.models.weight_files import WEIGHTS, tensor_sizes, weight_files
from backend.specs import STARTER

CONFIG, ADAPTER = "config.json", "adapter_config.json"
TOKENIZERS: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("tokenizer.model",),
    ("spiece.model",),
    ("spm.model",),
    ("sentencepiece.bpe.model",),
)
"""Any one of these sets is a tokenizer. Without one, Transformers makes up a tokenizer that knows no word at all."""
HUB_ID = re.compile(r"([A-Za-z0-9_][\w.-]*/)?[A-Za-z0-9_][\w.-]*", re.ASCII)
"""How ids of the Hub look: an owner and a name, or an old name alone."""
_PATH_BEGINNINGS = ("/", "./", "../", "~", ".\\", "..\\", "\\\\")


@dataclass(frozen=True)
class FolderModel:
    """A folder that holds a base model."""

    path: Path
    model_type: str
    """The architecture as Transformers names it: ``bert``."""
    bytes: int
    """Of the weights."""
    encoder_alone: bool
    """Of an encoder-decoder it holds the encoder alone, as people keep T5 for its hidden states."""


def names_a_folder(base: str) -> bool:
    """Whether this names a folder, rather than the starter or a model on the Hub."""
    looks_like_a_path = base.startswith(_PATH_BEGINNINGS) or base[1:3] in (":\\", ":/") or base.count("/") > 1
    return base not in (STARTER, "") and (looks_like_a_path or Path(base).expanduser().is_dir())


def settled(base: str) -> str:
    """The base as a run keeps it: a folder by its full path, so that it means the same from anywhere."""
    return str(Path(base).expanduser().resolve()) if names_a_folder(base) else base


def check_base(base: str) -> None:
    """Look at the folder that a base names, or whether it can be an id of the Hub, which is not asked.

    Raises:
        ModelNotNamed: nothing is named.
        ModelUnknown: no model of the Hub can be called so.
        NotAModelFolder, WeightsDamaged, FolderIsAdapter: as `check_folder`.
    """
    if not base.strip():
        raise ModelNotNamed
    if names_a_folder(base):
        check_folder(base)
    elif not HUB_ID.fullmatch(base):
        raise ModelUnknown(model=base)


def check_folder(path: str | Path) -> FolderModel:
    """What the folder holds.

    Raises:
        NotAModelFolder: naming each file that is missing; weights as ``.bin`` count as missing, since such a file
            can run code when it is opened.
        WeightsDamaged: weights are not there to their end.
        FolderMissing: there is no such folder.
        FolderIsAdapter: it holds an adapter alone. One beside whole weights is not looked at.
    """
    folder = Path(path).expanduser()
    missing = []
    if not (folder / CONFIG).is_file():
        missing.append(CONFIG)
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        missing.append(TOKENIZERS[0][0])
    if not any((folder / name).is_file() for name in WEIGHTS):
        missing.append(WEIGHTS[0])
    if not folder.is_dir():
        raise FolderMissing(folder=str(folder), missing=missing)
    if missing and (folder / ADAPTER).is_file():
        raise FolderIsAdapter(folder=str(folder), missing=missing)
    if missing:
        raise NotAModelFolder(folder=str(folder), missing=missing)
    try:
        model_type = str(json.loads((folder / CONFIG).read_bytes())["model_type"])
    except (ValueError, KeyError, TypeError) as error:
        raise NotAModelFolder(folder=str(folder), missing=[f"{CONFIG}: model_type"]) from error
    tensors = [name.split(".") for name, _ in tensor_sizes(folder)]
    alone = model_type in T5 and not any("decoder" in parts for parts in tensors)
    return FolderModel(folder.resolve(), model_type, sum(file.stat().st_size for file in weight_files(folder)), alone)
