"""Finding a data set on the Hub by clicks: a real studio, the real clients, and a small Hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.hub_data import add_reviews
from tests.hub_standin import HubStandIn, Repository

pytestmark = pytest.mark.browser
READING_MS = 120_000
"""A process of its own reads the rows: on a busy machine it takes its time."""
HOSTILE = "<img src=x onerror=window.stolen=1>"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubStandIn]:
    """A Hub on this machine with a few data sets."""
    with HubStandIn() as found:
        add_reviews(found, "someone/hotel-reviews", downloads=1234, likes=5, about=f"Stars {HOSTILE}")
        add_reviews(found, "someone/private-reviews", private=True)
        add_reviews(found, "someone/gated-reviews", gated=True)
        add_reviews(found, f"{found.user}/own-reviews", private=True)
        script = {"made-reviews.py": b"raise SystemExit", "README.md": b"# made"}
        found.add(Repository("someone/made-reviews", "dataset", files=script, commits=["initial commit"]))
        yield found


@pytest.fixture(scope="module")
def hub_studio(tmp_path_factory: pytest.TempPathFactory, hub: HubStandIn) -> Iterator[StudioProcess]:
    """A studio that knows this Hub and no token."""
    folder = tmp_path_factory.mktemp("hub-data")
    environ = {**hub.environ(), "HF_TOKEN_PATH": str(folder / "no-login"), "HF_HOME": str(folder / "hf")}
    process = StudioProcess(folder / "home", environ=environ)
    yield process
    process.close()


@pytest.fixture
def page(chromium: Browser, hub_studio: StudioProcess) -> Iterator[Page]:
    """The first page, in English."""
    found = chromium.new_page(viewport={"width": 1440, "height": 900})
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.goto(hub_studio.url)
    found.wait_for_selector("body.studio-ready .studio-header")
    yield found
    found.close()
    assert errors == []


def search(page: Page, words: str) -> None:
    """Type into the field as a person does."""
    field = page.locator(".hub-search input")
    field.fill("")
    field.press_sequentially(words, delay=30)


def test_a_data_set_is_found_looked_at_and_imported_with_its_splits_and_names(page: Page, hub: HubStandIn) -> None:
    search(page, "reviews")
    hits = page.locator(".hit")
    expect(hits).to_have_count(3)
    expect(hits.first).to_contain_text("someone/hotel-reviews")
    expect(hits.first).to_contain_text("1,234 downloads")
    expect(page.locator(".hit", has_text="gated-reviews")).to_contain_text("gated")
    assert page.evaluate("window.stolen") is None
    hits.first.click()
    rows = page.locator(".hub table")
    expect(rows).to_contain_text("negative, positive", timeout=READING_MS)
    expect(rows).to_contain_text("a loud street 1")
    expect(page.locator(".hub .slot .banner")).to_have_count(0)
    page.locator("#hub-import-en").click()
    expect(page.locator(".file-head").first).to_contain_text("hub:someone/hotel-reviews", timeout=READING_MS)
    expect(page.locator(".label-grid")).to_contain_text("negative")
    expect(page.locator(".label-grid")).to_contain_text("positive")


def test_what_cannot_be_read_is_said_with_what_to_do(page: Page, hub: HubStandIn) -> None:
    t = words("en")
    banner = page.locator(".hub .banner.bad")
    search(page, "made-reviews")
    page.locator(".hit", has_text="made-reviews").click()
    expect(banner).to_contain_text(
        t("errors.data.hub_script.what", dataset="someone/made-reviews", file="made-reviews.py")
    )
    search(page, "gated-reviews")
    page.locator(".hit", has_text="gated-reviews").click()
    expect(banner).to_contain_text(t("errors.data.hub_gated.next"))
    search(page, "nobody/nothing")
    page.locator(".hub-search input").press("Enter")
    expect(banner).to_contain_text("nobody/nothing")
    expect(page.locator("#hub-import-en")).to_be_hidden()


def test_a_private_data_set_is_found_with_a_token_that_is_written_nowhere(
    page: Page, hub: HubStandIn, hub_studio: StudioProcess
) -> None:
    t = words("en")
    page.get_by_text(t("hub.more")).click()
    token = page.locator("#hub-token-en input")
    token.fill("hf_wrongTokenOfNobody00000000")
    search(page, "own-reviews")
    expect(page.locator(".hub-search p")).to_contain_text("does not accept this token")
    token.fill(hub.read_token)
    search(page, "own-reviews ")
    page.locator(".hit", has_text="own-reviews").click()
    expect(page.locator(".hub table")).to_contain_text("a loud street 1", timeout=READING_MS)
    page.locator("#hub-import-en").click()
    expect(page.locator(".label-grid")).to_contain_text("positive", timeout=READING_MS)
    written = b"".join(path.read_bytes() for path in hub_studio.home.rglob("*") if path.is_file())
    assert hub.read_token.encode() not in written
    assert hub.read_token.encode() not in hub_studio.log.read_bytes()


@pytest.mark.parametrize("path", ["/", "/zh"])
def test_nothing_is_wider_than_a_phone(chromium: Browser, hub_studio: StudioProcess, path: str) -> None:
    narrow = chromium.new_page(viewport={"width": 390, "height": 844})
    narrow.goto(hub_studio.url + path)
    narrow.wait_for_selector("body.studio-ready .studio-header")
    search(narrow, "hotel-reviews")
    narrow.locator(".hit").first.click()
    expect(narrow.locator(".hub table")).to_be_visible(timeout=READING_MS)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
    narrow.close()


def test_a_hub_that_is_not_there_is_said_and_nothing_else_breaks(chromium: Browser, tmp_path: Path) -> None:
    environ = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN_PATH": str(tmp_path / "none")}
    studio = StudioProcess(tmp_path / "home", environ=environ)
    try:
        page = chromium.new_page()
        page.goto(studio.url)
        page.wait_for_selector("body.studio-ready .studio-header")
        search(page, "reviews")
        said = page.locator(".hub-search p")
        expect(said).to_contain_text("http://127.0.0.1:9", timeout=8000)
        page.locator("#sample-support_tickets-en").click()
        expect(page.locator(".label-grid")).to_be_visible()
    finally:
        studio.close()
