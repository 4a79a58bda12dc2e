"""The files with a base model's weights, and what they begin with: which tensors they hold. Loads none of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

from safetensors import SafetensorError, safe_open

from backend.errors import NotAModelFolder, WeightsDamaged

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHTS = (WHOLE, INDEX)
"""One of them is there: all weights in one file, or which file has which of them."""


def weight_files(folder: Path) -> list[Path]:
    """Those that the model is loaded from, in order of their names; none where there are no weights.

    Raises:
        NotAModelFolder: the index cannot be read, or names files that are not there.
    """
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        return []
    try:
        names = sorted(set(json.loads((folder / INDEX).read_bytes())["weight_map"].values()))
        missing = [name for name in names if not (folder / name).is_file()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotAModelFolder(folder=str(folder), missing=[f"{INDEX}: weight_map"]) from error
    if missing:
        raise NotAModelFolder(folder=str(folder), missing=missing)
    return [folder / name for name in names]


def tensor_sizes(folder: Path) -> list[tuple[str, int]]:
    """Names and numbers of elements of the weights in a model's folder.

    Raises:
        NotAModelFolder: as `weight_files`.
        WeightsDamaged: a file is not whole, or no safetensors file.
    """
    return [size for file in weight_files(folder) for size in _tensor_sizes(file)]


def _tensor_sizes(file: Path) -> list[tuple[str, int]]:
    try:
        with safe_open(file, "numpy") as weights:  # compares the file's size with what its tensors take
            names = weights.keys()
            return [(name, math.prod(weights.get_slice(name).get_shape())) for name in names]
    except (SafetensorError, OSError) as error:
        raise WeightsDamaged(folder=str(file.parent), file=file.name, detail=str(error)[:300]) from error
