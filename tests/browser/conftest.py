"""A real Chromium and a real studio. Every page's errors and foreign requests are collected and fail the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.browser.studio_process import StudioProcess

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


PATIENCE_MS = 30_000
"""Machines are shared: what takes a second alone may take many."""

expect.set_options(timeout=PATIENCE_MS)


def launch_chromium(playwright: Playwright) -> Browser:
    """The machine's Chromium, or the one that playwright brought."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    return playwright.chromium.launch(executable_path=found, args=CHROMIUM_FLAGS)


@dataclass
class Watched:
    """What went wrong on a page without being seen."""

    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests."""
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def studio(runs_begin_at_once: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioProcess]:
    """A studio of its own for each test module."""
    process = StudioProcess(tmp_path_factory.mktemp("studio") / "home")
    yield process
    process.close()


@pytest.fixture
def open_page(chromium: Browser, studio: StudioProcess) -> Iterator[Callable[..., Page]]:
    """Opens pages; at the end none may have failed in a script or asked another machine for anything."""
    watched = Watched()
    contexts = []

    def opened(path: str = "/", *, width: int = 1440, height: int = 900) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(2 * PATIENCE_MS)
        page.on("pageerror", lambda error: watched.errors.append(str(error)))
        page.on("request", lambda request: _note_foreign(watched, request.url, studio.url))
        page.goto(studio.url + path)
        page.wait_for_selector("body.studio-ready .studio-header")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert watched.errors == []
    assert watched.foreign == []


def _note_foreign(watched: Watched, url: str, own: str) -> None:
    if not url.startswith((own, "data:", "blob:", "about:")):
        watched.foreign.append(url)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The tables that come with the studio."""
    return Path(__file__).resolve().parents[2] / "assets" / "samples"
