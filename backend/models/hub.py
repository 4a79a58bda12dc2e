"""Models on the Hub."""

from __future__ import annotations
from pathlib import Path
from typing import Any


def fetch(context: Any, model: Any) -> Path:
    raise NotImplementedError
