"""Takes the pictures of the READMEs from a running studio: ``python -m tests.browser.pictures FOLDER [TABLE]``.

The table is the made-up Chinese sample unless another is given, so the pictures can be taken anywhere.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from studio.i18n import Language, words
from tests.browser.conftest import launch_chromium
from tests.browser.studio_process import PROJECT, StudioProcess
from tests.browser.test_story import await_state, drop, start_training

SAMPLE = PROJECT / "assets" / "samples" / "takeaway_reviews_zh.csv"
TEXTS = {"en": "饭菜有些咸！\n送得很快，味道也好", "zh-CN": "饭菜有些咸！\n送得很快，味道也好"}


def take(folder: Path, table: Path) -> None:
    """Go through the story once in each language and keep a picture of each page."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, sync_playwright() as playwright:
        studio = StudioProcess(Path(home) / "home")
        browser = launch_chromium(playwright)
        try:
            for language, path, suffix in (("en", "/", ""), ("zh-CN", "/zh", "-zh")):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.goto(studio.url + path)
                page.wait_for_selector("body.studio-ready .studio-header")
                _story(page, language, folder, suffix, table)  # type: ignore[arg-type]
                page.close()
        finally:
            browser.close()
            studio.close()


def _story(page: Page, language: Language, folder: Path, suffix: str, table: Path) -> None:
    t = words(language)

    def picture(name: str) -> None:
        page.wait_for_timeout(1200)
        page.screenshot(path=folder / f"{name}{suffix}.png", full_page=False)

    picture("first")
    drop(page, table)
    picture("data")
    if language == "zh-CN":
        page.locator("[data-theme-switch]").click()
        page.wait_for_timeout(800)
        page.screenshot(path=folder / "data-zh-dark.png")
        page.locator("[data-theme-switch]").click()
    page.locator("#step-model-button").click()
    picture("model")
    start_training(page, t, epochs=8)
    page.wait_for_selector(".chart.metrics .scatterlayer .trace", state="attached", timeout=240_000)
    page.wait_for_timeout(3000)
    picture("train")
    await_state(page, t, "completed")
    for step in ("results", "try", "share", "runs"):
        page.locator(f"#step-{step}-button").click()
        if step == "try":
            page.locator(f"#try-{language} textarea").fill(TEXTS[language])
            page.locator(f"#ask-{language}").click()
            page.wait_for_selector(".answers article", timeout=90_000)
        picture(step)
    assert re.search("step=runs", page.url)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else SAMPLE)
