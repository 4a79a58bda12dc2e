"""Data sets of the Hub by command: the same import as on the page, pinned, with the parts that the data set has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Studio
from tests.hub_data import NAMES, SPLITS, add_reviews
from tests.hub_standin import HubStandIn


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub, and an empty cache for the processes that read from it."""
    with HubStandIn() as standin:
        caches = {"HF_HOME": str(tmp_path / "hf"), "HF_TOKEN_PATH": str(tmp_path / "no-login")}
        for name, value in {**standin.environ(), **caches}.items():
            monkeypatch.setenv(name, value)
        yield standin


def test_prepare_writes_the_parts_of_a_data_set_and_pins_its_commit(hub: HubStandIn, studio: Studio, tmp_path: Path):
    repository = add_reviews(hub, "someone/reviews")
    out = tmp_path / "out"
    document = studio.document("prepare", "hub:someone/reviews", "--out", str(out))
    assert document["rows"] == SPLITS
    assert document["labels"] == NAMES
    data = yaml.safe_load((out / "run.yaml").read_text("utf-8"))["data"]
    assert (data["source"], data["revision"]) == ("hub:someone/reviews", repository.sha)
    hub.repositories.clear()
    again = studio.document("prepare", str(out / "run.yaml"), "--out", str(tmp_path / "again"))
    assert again["rows"] == SPLITS, "what is pinned and imported needs the Hub no more"


def test_what_the_hub_refuses_is_worded_before_anything_is_started(hub: HubStandIn, studio: Studio):
    add_reviews(hub, "someone/gated", gated=True)
    for source, code in (("hub:someone/gated", "data.hub_gated"), ("hub:a/b/c", "data.hub_unknown")):
        error = studio.document("train", source, status=2)["error"]
        assert (error["code"], bool(error["what"]), bool(error["next"])) == (code, True, True)
    assert not studio.store.summaries()
