"""What all tests share: a fresh home, and the real data sets where they are present."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.settings import Home

# As every process that the studio starts (`backend.jobs.launch`): it must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home of its own for the test."""
    return Home(tmp_path / "home").prepare()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets; a test that needs them is skipped by name where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real data sets are not here ({SHARED_DATA.name} beside the repository)")
    return SHARED_DATA
