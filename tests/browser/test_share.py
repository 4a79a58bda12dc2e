"""Publishing by clicks, with the real Hub client against a small Hub on this machine, and words for what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import await_state, drop, open_step, start_training
from tests.hub_standin import HubStandIn

pytestmark = pytest.mark.browser
WRONG_TOKEN = "hf_wrongTokenOfNobody00000000"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubStandIn]:
    """A Hub on this machine."""
    with HubStandIn() as found:
        yield found


@pytest.fixture(scope="module")
def hub_studio(tmp_path_factory: pytest.TempPathFactory, hub: HubStandIn) -> Iterator[StudioProcess]:
    """A studio that knows this Hub and no token."""
    folder = tmp_path_factory.mktemp("hub-studio")
    environ = {**hub.environ(), "HF_TOKEN_PATH": str(folder / "no-login"), "HF_HOME": str(folder / "hf")}
    process = StudioProcess(folder / "home", environ=environ)
    yield process
    process.close()


@pytest.fixture(scope="module")
def shared_page(chromium: Browser, hub_studio: StudioProcess, samples: Path) -> Iterator[Page]:
    """The Share page of a finished run."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.goto(hub_studio.url)
    page.wait_for_selector("body.studio-ready .studio-header")
    drop(page, samples / "support_tickets_en.csv")
    start_training(page, words("en"), epochs=1)
    await_state(page, words("en"), "completed")
    open_step(page, "share")
    yield page
    page.close()


def publish(page: Page, target: str, name: str, token: str) -> None:
    """Fill the card and click."""
    page.locator("#token-en input").fill(token)
    page.locator(f"#{target}-name-en textarea, #{target}-name-en input").first.fill(name)
    page.locator(f"#{target}-publish-en").click()


def test_without_a_token_the_page_says_what_to_do(shared_page: Page) -> None:
    publish(shared_page, "model", "tickets", "")
    expect(shared_page.locator(".banner.bad")).to_contain_text("HF_TOKEN")


def test_a_wrong_token_is_said(shared_page: Page) -> None:
    publish(shared_page, "model", "tickets", WRONG_TOKEN)
    what = words("en")("errors.share.token_rejected.next")
    expect(shared_page.locator(".component-job-progress .problem").first).to_contain_text(what)


def test_model_and_space_are_published_private_and_seen_after_a_reload(
    shared_page: Page, hub: HubStandIn, hub_studio: StudioProcess
) -> None:
    publish(shared_page, "model", "tickets", hub.token)
    link = shared_page.locator(".component-job-progress a", has_text=f"{hub.user}/tickets")
    expect(link).to_be_visible()
    assert {"config.json", "model.safetensors", "README.md"} <= set(hub.model(f"{hub.user}/tickets").files)
    assert hub.model(f"{hub.user}/tickets").private
    publish(shared_page, "space", "tickets-demo", hub.token)
    expect(shared_page.locator(".component-job-progress a", has_text="tickets-demo")).to_be_visible()
    assert {"app.py", "requirements.txt", "README.md"} <= set(hub.space(f"{hub.user}/tickets-demo").files)

    shared_page.reload()
    expect(shared_page.locator(".component-job-progress a", has_text="tickets-demo")).to_be_visible()
    expect(shared_page.locator("#token-en input")).to_have_value("")
    written = b"".join(path.read_bytes() for path in hub_studio.home.rglob("*") if path.is_file())
    assert hub.token.encode() not in written
    assert hub.token.encode() not in hub_studio.log.read_bytes()


def test_a_taken_name_is_said_and_can_be_replaced(shared_page: Page, hub: HubStandIn) -> None:
    t = words("en")
    publish(shared_page, "model", "tickets", hub.token)
    expect(shared_page.locator(".component-job-progress .problem").first).to_contain_text("allow replacing")
    shared_page.get_by_label(t("share.replace")).first.check()
    shared_page.locator("#model-publish-en").click()
    expect(shared_page.locator(".component-job-progress a", has_text=f"{hub.user}/tickets").first).to_be_visible()
