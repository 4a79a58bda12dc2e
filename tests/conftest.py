"""What all tests share: a fresh home, and the real data sets where they are present."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from backend.jobs.launch import fork_server
from backend.settings import Home
from tests.hub_standin import HubStandIn
from tests.processes import until

# As every process that the studio starts (`backend.jobs.launch`): it must be set before torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Tests look at several runs side by side; those of the queue ask for one at a time themselves.
os.environ.setdefault("STUDIO_RUNS_AT_ONCE", "20")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def runs_begin_at_once() -> Iterator[bool]:
    """Runs of these tests are forked from a process that has loaded the libraries, as a user's are; whether they are.

    Those of the command line, whose environment tests strip of such things, are ordinary processes.
    """
    with fork_server(read_late=["PYTEST_CURRENT_TEST"]) as server:
        if server is not None:
            until(lambda: server.is_ready or not server.is_alive)
        yield server is not None and server.is_ready


@pytest.fixture(scope="module", autouse=True)
def same_environment() -> Iterator[None]:
    """What tests train or serve in this process sets variables of libraries, with which the processes of later tests
    would load otherwise than the one from which they are forked."""
    before = _others_environment()
    yield
    for name in _others_environment().keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


def _others_environment() -> dict[str, str]:
    """The variables that are not the studio's own, which last as long as the fixtures that set them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}


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


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub of this test's own with an empty cache, for the client in this process.

    It is set where the client keeps what it read from the environment when it was imported.
    """
    with HubStandIn() as stand_in:
        template = stand_in.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        yield stand_in
