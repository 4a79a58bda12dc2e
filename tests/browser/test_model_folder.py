"""A base model from a folder of one's own, in the browser: what it is, how long the texts are in it, what is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.i18n import words
from tests.browser.test_story import drop, open_step
from tests.tiny_models import make_tiny
from tests.training.conftest import write_table

pytestmark = pytest.mark.browser


@pytest.mark.parametrize(("path", "language", "width"), [("/", "en", 1440), ("/zh", "zh-CN", 390)])
def test_a_folder_is_looked_at_and_what_is_wrong_is_said_once(
    open_page: Callable[..., Page], tmp_path: Path, path: str, language: str, width: int
) -> None:
    t, folder = words(language), make_tiny(tmp_path / "my-bert", "bert", [f"review {n}" for n in range(40)])
    page = open_page(path, width=width, height=900)
    drop(page, write_table(tmp_path / f"folder {language}.csv", width // 10))  # a table of its own: without a draft
    open_step(page, "model")
    page.get_by_label(t("model.kind.folder")).check()
    field = page.get_by_role("textbox", name=t("model.folder"))
    tokens = page.locator(".token-line:visible p")
    field.fill(str(folder))
    field.press("Enter")
    expect(page.get_by_text(t("model.folder_good"), exact=True)).to_be_visible()
    expect(tokens.first).to_be_visible()
    expect(tokens.first).not_to_contain_text(t("model.counting_tokens"), timeout=60_000)

    # The mouse still lies on what was chosen, and the mark is seen.
    chosen, other = (page.get_by_label(t(f"model.kind.{kind}")).first for kind in ("folder", "hub"))
    colours = [each.evaluate("radio => getComputedStyle(radio).backgroundColor") for each in (chosen, other)]
    assert chosen.evaluate("radio => radio.matches(':hover')")
    assert colours[0] != colours[1]

    expect(page.get_by_text(t("option.title")).first).to_be_visible()
    config, weights = (folder / name for name in ("config.json", "model.safetensors"))
    asked, whole = config.read_text(), weights.read_bytes()
    config.write_text(json.dumps(json.loads(asked) | {"model_type": "t5"}))
    field.press("Enter")
    expect(page.get_by_text(t("model.encoder_alone"))).to_be_visible()
    config.write_text(asked)
    weights.write_bytes(whole[:-1])  # as a download that was cut short
    field.press("Enter")
    expect(page.get_by_text(t("errors.model.weights_damaged.next"), exact=False).first).to_be_visible()
    expect(page.get_by_text(t("model.encoder_alone"))).to_have_count(0)
    expect(tokens).to_have_count(0)
    page.screenshot(path=str(tmp_path / "damaged.png"), full_page=True)
    shutil.copy(folder / "config.json", folder / "adapter_config.json")
    weights.unlink()
    field.press("Enter")
    expect(page.get_by_text(str(folder), exact=False).first).to_be_visible()
    expect(page.get_by_text(t("model.folder_good"), exact=True)).to_be_hidden()
    expect(tokens).to_have_count(0)
    expect(page.get_by_text(t("option.title"))).to_have_count(0)  # nothing is estimated of weights that are not there
    page.screenshot(path=str(tmp_path / "adapter.png"), full_page=True)
    field.fill(str(tmp_path / "nothing"))
    field.press("Tab")  # as it is left
    expect(page.get_by_text(t("errors.model.folder_missing.what", folder=str(tmp_path / "nothing")))).to_be_visible()
    field.fill("relative/model")  # no id of the Hub: it was said that it is a folder
    page.locator(f"#train-{language}").click()
    said = t("errors.model.folder_missing.what", folder=str(Path("relative/model").absolute()))
    expect(page.get_by_role("alert").filter(has_text=said).last).to_be_visible()
    field.fill("")
    field.press("Tab")
    expect(page.get_by_text(t("errors.model.folder_missing.what", folder=str(tmp_path / "nothing")))).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
