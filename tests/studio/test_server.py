"""The web application without a browser: who may ask, what is answered, and what an error looks like."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backend.errors import PortTaken
from backend.jobs.directory import JobDirectory
from backend.settings import Home
from backend.specs import RunSpec
from studio import server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the whole application on an empty home."""
    app = server.build_server(Home(tmp_path_factory.mktemp("home")))
    with TestClient(app, base_url="http://127.0.0.1:7860") as found:
        yield found
    app.state.services.predictors.close()


@pytest.mark.parametrize("path", ["/", "/zh"])
def test_pages_are_served_without_naming_another_machine(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_foreign_host_is_refused(client: TestClient) -> None:
    assert client.get("/api/runs", headers={"host": "evil.example"}).status_code == 400
    assert client.get("/api/runs", headers={"host": "localhost:7860"}).status_code == 200
    assert client.get("/api/runs", headers={"host": "[::1]:7860"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/api/runs/20260101-000000-abcdef/stop", "/gradio_api/upload", "/gradio_api/queue/join"]
)
def test_a_change_asked_for_by_another_page_is_refused(client: TestClient, path: str) -> None:
    assert client.post(path, headers={"origin": "http://evil.example"}).status_code == 403
    assert client.post(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post(path, headers={"origin": "null"}).status_code == 403
    assert client.post(path, headers={"origin": "http://127.0.0.1:7860"}).status_code != 403


@pytest.mark.parametrize("run", ["20260101-000000-abcdef", "..%2f..%2fetc", "nothing"])
def test_an_unknown_run_is_said_in_the_users_language(client: TestClient, run: str) -> None:
    answer = client.get(f"/api/runs/{run}/events?lang=zh-CN")
    assert answer.status_code == 404
    if "error" in answer.json():
        assert answer.json()["error"]["code"] == "run.missing"
        assert "没有运行" in answer.json()["error"]["what"]


def test_plotly_comes_from_the_studio_itself(client: TestClient) -> None:
    script = client.get("/plotly.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert len(script.content) > 1_000_000
    assert '"zh-CN"' in client.get("/words.js").text


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listener = server._listen("127.0.0.1", port)
        try:
            assert port < listener.getsockname()[1] < port + server.PORTS_TRIED
        finally:
            listener.close()


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken):
            server._listen("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("since", ["999999999999999999999999", "-5", "abc", "1e9"])
def test_a_forged_count_of_events_is_no_fault_of_the_studio(client: TestClient, a_run: str, since: str) -> None:
    assert client.get(f"/api/runs/{a_run}/events?since={since}").status_code in (200, 422)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"null", b'"x"', b'{"name": 5}', b'{"name": ["a"]}', b"\xff\xfe", b'{"name": "\\ud800"}'),
        *(b'{"name": "a\\u0000b"}', b'{"name": "' + b"a" * 200 + b'"}', b"[" * 100_000),
    ],
)
def test_a_forged_name_is_refused_in_words_and_changes_nothing(client: TestClient, a_run: str, body: bytes) -> None:
    before = client.get("/api/runs").json()["runs"][0]["name"]
    answer = client.post(f"/api/runs/{a_run}/name?lang=zh-CN", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "run.name_invalid"
    assert client.get("/api/runs").json()["runs"][0]["name"] == before


@pytest.fixture(scope="module")
def a_run(client: TestClient) -> str:
    """A run that was made and never started."""
    services = client.app.state.services  # type: ignore[attr-defined]
    run = JobDirectory.create(services.home.runs, kind="train", module="none", spec=RunSpec().model_dump())
    run.set_name("kept")
    return run.id


def test_a_living_run_is_not_deleted(client: TestClient, a_run: str) -> None:
    services = client.app.state.services  # type: ignore[attr-defined]
    run = services.store.get(a_run)
    with run.locked():
        assert client.delete(f"/api/runs/{a_run}").status_code == 409
        assert run.path.exists()


def test_an_error_of_the_system_is_worded(client: TestClient, a_run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JobDirectory, "set_name", full)
    answer = client.post(f"/api/runs/{a_run}/name?lang=en", json={"name": "new"})
    assert answer.status_code == 507
    assert answer.json()["error"]["code"] == "run.disk_full"
