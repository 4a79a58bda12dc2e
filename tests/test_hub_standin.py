"""The Hub stand-in answers the real client as the Hub does, errors included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub_standin import HubStandIn

FILES = {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 1000, "onnx/model.onnx": b"graph", "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files small and large, one in a folder."""
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub of its own for the test, which speaks LFS and no Xet."""
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with HubStandIn() as standin:
        yield standin


def test_served_folder_is_downloaded_whole(hub: HubStandIn, folder: Path, tmp_path: Path):
    for repository in ("someone/model", "canonical-name"):
        served = hub.serve_folder(repository, folder)
        path = Path(snapshot_download(repository, endpoint=hub.endpoint, cache_dir=tmp_path / "cache", token=False))
        assert {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()} == FILES
        assert path.name == served.sha


def test_data_sets_and_spaces_have_places_of_their_own(hub: HubStandIn, folder: Path, tmp_path: Path):
    hub.serve_folder("someone/data", folder, kind="dataset")
    where = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache", "token": False}
    assert Path(hf_hub_download("someone/data", "config.json", repo_type="dataset", **where)).read_bytes() == b"{}"
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("someone/data", "config.json", **where)


def test_missing_things_are_told_apart(hub: HubStandIn, folder: Path, tmp_path: Path):
    hub.serve_folder("someone/model", folder)
    hub.serve_folder("someone/gated", folder, gated=True)
    hub.serve_folder("someone/hidden", folder, private=True)
    where = {"endpoint": hub.endpoint, "cache_dir": tmp_path / "cache"}
    for token in (False, hub.read_token):
        with pytest.raises(GatedRepoError):
            hf_hub_download("someone/gated", "config.json", token=token, **where)
        for unknown in ("someone/none", "someone/hidden"):
            with pytest.raises(RepositoryNotFoundError) as caught:
                hf_hub_download(unknown, "config.json", token=token, **where)
            assert not isinstance(caught.value, GatedRepoError)
        with pytest.raises(EntryNotFoundError):
            hf_hub_download("someone/model", "none.json", token=token, **where)
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download("someone/model", "config.json", revision="v9", token=token, **where)


def test_what_is_pushed_is_kept_byte_by_byte_and_each_request_is_noted(hub: HubStandIn, folder: Path):
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    assert api.whoami()["name"] == hub.user
    api.create_repo("model", private=True)
    commit = api.upload_folder(repo_id="tester/model", folder_path=folder)
    stored = hub.model("tester/model")
    assert {name: content for name, content in stored.files.items() if name != ".gitattributes"} == FILES
    assert commit.oid == stored.sha == api.model_info("tester/model").sha
    assert stored.private
    assert sorted(api.list_repo_files("tester/model")) == sorted([*FILES, ".gitattributes"])
    api.delete_file("empty", "tester/model")
    assert "empty" not in stored.files
    assert ("POST", "/api/models/tester/model/commit/main") in {(asked.method, asked.path) for asked in hub.asked}


@pytest.mark.parametrize(("token", "status"), [(False, 401), ("hf_unknown", 401), ("read", 403)])
def test_creating_needs_a_token_that_may_write(hub: HubStandIn, token: str | bool, status: int):
    api = HfApi(endpoint=hub.endpoint, token=hub.read_token if token == "read" else token)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("model")
    assert caught.value.response.status_code == status
    assert not hub.repositories


def test_name_in_use_is_a_conflict(hub: HubStandIn):
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    api.create_repo("model")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_repo("model")
    assert caught.value.response.status_code == 409


def test_card_with_broken_front_matter_is_refused(hub: HubStandIn):
    api = HfApi(endpoint=hub.endpoint, token=hub.token)
    api.create_repo("model")
    with pytest.raises(ValueError, match="Invalid YAML"):
        api.create_commit("tester/model", [CommitOperationAdd("README.md", b"---\na: [\n---\n")], commit_message="card")
