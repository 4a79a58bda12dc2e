"""The curated list of base models on the Hub: ``assets/models.json``. Facts only, nothing is asked of a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MODELS_FILE = Path(__file__).resolve().parents[2] / "assets" / "models.json"
MULTILINGUAL = "multilingual"


@dataclass(frozen=True)
class CatalogueModel:
    """One entry of the list."""

    id: str
    languages: tuple[str, ...]
    """``zh``, ``en``, ``multilingual``."""
    parameters: int
    shape: tuple[int, int, int]
    """Width, layers, attention heads."""
    licence: str
    download_mb: int
    advice: dict[str, str]
    """One line a language of the screens: ``en``, ``zh-CN``."""


@cache
def catalogue() -> tuple[CatalogueModel, ...]:
    """All entries, for each language from small to large."""
    entries = json.loads(MODELS_FILE.read_text("utf-8"))
    return tuple(
        CatalogueModel(**{**entry, "languages": tuple(entry["languages"]), "shape": tuple(entry["shape"])})
        for entry in entries
    )


def suggested(language: str) -> list[CatalogueModel]:
    """The entries for texts in ``zh`` or ``en``; for any other language those that know many."""
    wanted = language if language in ("zh", "en") else MULTILINGUAL
    return [model for model in catalogue() if wanted in model.languages]
