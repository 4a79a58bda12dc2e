"""What the user asks of the next run of an imported table, besides what it learns from: kept beside the table."""

from __future__ import annotations

from backend.jobs.files import read_json, write_json
from backend.settings import Home
from backend.specs import Choices, RunSpec

FILE = "draft.json"
LEARNED_FROM = frozenset(Choices.model_fields)
"""Kept by `backend.data.choices`."""


def load_draft(home: Home, dataset: str) -> RunSpec:
    """What was kept for the table, with no data; the defaults where nothing was, or what holds no longer."""
    try:
        return RunSpec(**read_json(home.datasets / dataset / FILE))
    except (FileNotFoundError, ValueError):
        return RunSpec()


def save_draft(home: Home, dataset: str, spec: RunSpec) -> None:
    """Keep all of ``spec`` but what it learns from."""
    document = spec.model_dump(mode="json", exclude=set(LEARNED_FROM))
    write_json(home.datasets / dataset / FILE, document)
