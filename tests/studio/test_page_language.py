"""The language of a page is in its HTML, before any script: Gradio's own words follow the address, not the browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from backend.settings import Home
from studio import server
from studio.page_language import with_language


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A client of the whole application on an empty home."""
    app = server.build_server(Home(tmp_path_factory.mktemp("home")))
    with TestClient(app, base_url="http://127.0.0.1:7860") as found:
        yield found
    app.state.services.predictors.close()


@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/zh", "zh-CN")])
def test_the_page_says_its_language_before_any_script(client: TestClient, path: str, language: str) -> None:
    page = client.get(path, headers={"accept-language": "fr", "accept-encoding": "gzip, br"})
    assert f'lang="{language}"' in page.text[: page.text.index("<head>")]
    first = page.text[page.text.index("<script>") :].partition("</script>")[0]
    assert f'["language", "{language}"]' in first
    assert len(page.content) == int(page.headers["content-length"])


def test_other_answers_are_left_as_they_are(client: TestClient) -> None:
    assert "navigator" not in client.get("/api/runs").text
    assert with_language(b"{}", "zh-CN") == b"{}"
