"""Looking models up on a Hub: what is told, what is refused, and how long it may take."""

from __future__ import annotations

import socket
import time

import pytest
from huggingface_hub import constants

from backend.errors import HubUnreachable, ModelGated, ModelUnknown
from backend.models.hub import CONVERTER, cached_folder, download, look_up
from tests import hub_standin
from tests.hub_standin import HubStandIn

TINY = {"config.json": b'{"model_type": "bert"}', "tokenizer.json": b"{}", "model.safetensors": b"weights"}
SOON_S = 3.5


def add(hub: HubStandIn, name: str, files: dict[str, bytes], **about: bool) -> hub_standin.Repository:
    """A model repository with these files."""
    return hub.add(hub_standin.Repository(name, "model", files=dict(files), commits=["initial commit"], **about))


def test_known_model_is_described(hub: HubStandIn) -> None:
    repository = add(hub, "someone/tiny", TINY)
    found = look_up("someone/tiny")
    assert (found.id, found.sha, found.has_safetensors) == ("someone/tiny", repository.sha, True)
    assert (found.gated, found.cached, found.reachable) == (False, None, True)


@pytest.mark.parametrize("name", ["someone/nothing", "no such name!", "a/b/c", "", "../../etc"])
def test_name_of_no_model_is_unknown(hub: HubStandIn, name: str) -> None:
    with pytest.raises(ModelUnknown):
        look_up(name)


def test_model_without_safetensors_says_so(hub: HubStandIn) -> None:
    add(hub, "someone/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    assert not look_up("someone/old").has_safetensors


def test_conversion_that_waits_as_a_pull_request_is_found(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    old = add(hub, "someone/old", {"config.json": b"{}", "pytorch_model.bin": b"pickle"})
    converted = add(hub, "someone/converted", TINY)
    request = {
        "num": 4,
        "title": "Adding `safetensors` variant of this model",
        "author": {"name": CONVERTER},
        "createdAt": "2024-01-01T00:00:00.000Z",
        "status": "open",
        "isPullRequest": True,
        "repo": {"name": "someone/old", "type": "model"},
    }
    discussions = {"discussions": [request], "count": 1, "start": 0}
    routes = [
        ("GET", r"/api/models/someone/old/discussions", lambda hub, request: discussions),
        ("GET", r"/api/models/someone/old/revision/refs%2Fpr%2F4", lambda hub, r: hub.info(r, "model", converted.id)),
        ("GET", r"/api/models/someone/old/revision/refs/pr/4", lambda hub, r: hub.info(r, "model", converted.id)),
    ]
    monkeypatch.setattr(hub_standin, "_ROUTES", routes + hub_standin._ROUTES)
    found = look_up("someone/old")
    assert (found.has_safetensors, found.sha) == (True, converted.sha)
    assert found.sha != old.sha


def test_downloaded_model_is_found_in_the_cache_without_a_network(
    hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = add(hub, "someone/tiny", {**TINY, "onnx/model.onnx": b"x" * 100, "pytorch_model.bin": b"pickle"})
    told: list[tuple[float, float]] = []
    folder = download(look_up("someone/tiny"), step=lambda done, total: told.append((done, total)))
    assert {file.name for file in folder.iterdir()} == set(TINY), "neither pickles nor other formats"
    assert told
    assert cached_folder("someone/tiny") == folder
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    found = look_up("someone/tiny")
    assert (found.cached, found.sha, found.reachable) == (folder, repository.sha, False)


def test_half_downloaded_model_does_not_count_as_cached(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    add(hub, "someone/tiny", TINY)
    folder = download(look_up("someone/tiny"))
    (folder / "model.safetensors").unlink()
    assert cached_folder("someone/tiny") is None
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachable):
        look_up("someone/tiny")


def test_download_ends_when_the_step_raises(hub: HubStandIn) -> None:
    class Enough(Exception):
        pass

    def step(done: float, total: float) -> None:
        raise Enough

    add(hub, "someone/tiny", TINY)
    with pytest.raises(Enough):
        download(look_up("someone/tiny"), step=step)


def test_gated_model_is_refused_without_leave(hub: HubStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(hub: HubStandIn, request: object) -> None:
        raise hub_standin.Refusal(403, "Access to model someone/secret is restricted.", "GatedRepo")

    add(hub, "someone/secret", TINY, gated=True)
    route = ("GET", r"/api/models/someone/secret/auth-check", refuse)
    monkeypatch.setattr(hub_standin, "_ROUTES", [route, *hub_standin._ROUTES])
    with pytest.raises(ModelGated):
        look_up("someone/secret")


@pytest.mark.alone
def test_refused_connection_is_told_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(HubUnreachable) as caught:
        look_up("someone/tiny-that-nobody-has", endpoint="http://127.0.0.1:9")
    assert time.monotonic() - started < SOON_S
    assert caught.value.endpoint == "http://127.0.0.1:9"


@pytest.mark.alone
def test_hub_that_swallows_everything_is_told_within_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(HubUnreachable):
            look_up("someone/tiny-that-nobody-has", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - started < SOON_S


@pytest.mark.alone
def test_name_lookup_that_hangs_is_told_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(*_: object, **__: object) -> None:
        time.sleep(30)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    with pytest.raises(HubUnreachable):
        look_up("someone/tiny-that-nobody-has", endpoint="http://hub.invalid", timeout_s=1.0)
    assert time.monotonic() - started < 2.0
