"""What the user asks of the next run of an imported table, besides what it learns from: kept beside the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from backend.jobs.files import read_json, write_json
from backend.settings import Home
from backend.specs import Choices, RunSpec

FILE = "draft.json"
LEARNED_FROM = frozenset(Choices.model_fields)
"""Kept by `backend.data.choices`."""


def load_draft(home: Home, dataset: str) -> RunSpec:
    """What was kept for the table, with no data; the defaults where nothing was.

    A section that holds no longer, as one that another version has written may, is at its defaults: the log says so.
    """
    file = home.datasets / dataset / FILE
    try:
        document = dict(read_json(file))
    except FileNotFoundError:
        return RunSpec()
    except (ValueError, TypeError) as error:
        _left_out(file, error)
        return RunSpec()
    kept: dict[str, Any] = {}
    for name, section in document.items():
        try:
            RunSpec(**{name: section})
        except ValueError as error:
            _left_out(file, error)
        else:
            kept[name] = section
    return RunSpec(**kept)


def _left_out(file: Path, error: Exception) -> None:
    print(f"{file} is left out, or a section of it: {error}", file=sys.stderr)


def save_draft(home: Home, dataset: str, spec: RunSpec) -> None:
    """Keep all of ``spec`` but what it learns from."""
    document = spec.model_dump(mode="json", exclude=set(LEARNED_FROM))
    write_json(home.datasets / dataset / FILE, document)
