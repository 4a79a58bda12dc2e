"""What was asked for and not started yet: a reload, another tab and the other language show it, too."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from backend.data.choices import first_choices
from backend.data.datasets import load_profile
from backend.errors import ModelNotNamed
from backend.jobs.files import read_json
from backend.jobs.store import RunStore
from backend.recipes import made_up_for, with_recipe
from backend.settings import Home
from backend.specs import build_spec
from studio.i18n import Words, words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import open_options, open_step
from tests.processes import until
from tests.tiny_models import make_tiny
from tests.training.conftest import write_table

pytestmark = pytest.mark.browser


def field(page: Page, t: Words, path: str) -> Locator:
    """A setting's field in the form."""
    return page.locator("label:visible", has_text=t(f"setting.{path}.help")).locator("input, textarea")


def setting(page: Page, t: Words, path: str) -> str:
    """What the form shows."""
    return field(page, t, path).input_value()


def test_options_are_kept_beside_the_table(
    open_page: Callable[..., Page], studio: StudioProcess, tmp_path: Path
) -> None:
    t, zh = words("en"), words("zh-CN")
    folder = make_tiny(tmp_path / "my-bert", "bert", [f"review {n}" for n in range(40)])
    page = open_options(open_page, write_table(tmp_path / "drafted.csv", 70))
    page.get_by_label(t("model.kind.folder")).check()
    page.get_by_role("textbox", name=t("model.folder")).fill(str(folder))
    field(page, t, "training.epochs").fill("2")
    field(page, t, "name").fill("an idea")  # as it is pasted or comes from an input method: without keys
    page.locator(".folded button.label-wrap:visible", has_text=t("model.same")).click()
    expect(page.locator(".cm-content").first).to_contain_text("an idea")
    expect(page.locator(".cm-content").first).to_contain_text("--epochs 2")
    field(page, t, "name").press("End")
    field(page, t, "name").press("Backspace")
    expect(page.locator(".cm-content").first).to_contain_text("'an ide'")
    page.keyboard.insert_text("点子")
    expect(page.locator(".cm-content").first).to_contain_text("an ide点子")

    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(page.get_by_role("textbox", name=t("model.folder"))).to_have_value(str(folder))
    assert [setting(page, t, path) for path in ("training.epochs", "name")] == ["2", "an ide点子"]
    batch = setting(page, t, "training.batch_size")
    assert batch == "64", "what was left open is what the model's recipe says"

    page.locator("a.language").first.click()
    page.wait_for_url(re.compile("/zh"))
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(page.get_by_role("textbox", name=zh("model.folder"))).to_have_value(str(folder))
    assert setting(page, zh, "training.epochs") == "2"

    # What does not hold is said and not kept; the last that held is.
    field(page, zh, "training.epochs").fill("-1")
    expect(page.get_by_role("alert").filter(has_text="-1")).to_be_visible()
    field(page, zh, "training.epochs").fill("2.5")
    expect(page.get_by_role("alert").filter(has_text="2.5")).to_be_visible()
    field(page, zh, "training.max_length").fill("48")  # what is changed besides is kept, and followed
    kept = page.locator(".decisions li", has_text=zh("setting.training.max_length.name")).first
    expect(kept).to_contain_text("48")
    expect(page.get_by_text(zh("model.without_what_fails"))).to_be_visible()
    field(page, zh, "training.batch_size").fill("0")
    expect(page.get_by_role("alert").locator("li")).to_have_count(2)
    field(page, zh, "training.batch_size").fill("64")
    (draft,) = studio.home.glob("datasets/*/draft.json")
    until(lambda: read_json(draft)["training"]["max_length"] == 48, "the draft")
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(page.get_by_role("textbox", name=zh("model.folder"))).to_have_value(str(folder))
    assert [setting(page, zh, f"training.{name}") for name in ("epochs", "max_length")] == ["2", "48"]

    # A run that was started takes its name with it; the settings are where the next one begins.
    table = page.url.partition("?")[2]
    page.locator("#train-zh-CN").click()
    page.wait_for_url(re.compile(r"run=[0-9a-f-]+"), wait_until="commit")
    again = open_page(f"/?{table}", width=390, height=844)
    expect(again.get_by_role("textbox", name=t("model.folder"))).to_have_value(str(folder))
    assert [setting(again, t, path) for path in ("training.epochs", "name")] == ["2", ""]

    # What is changed on a run's page is there when the way leads back to its table.
    expect(page.locator(".live h2")).to_be_visible()
    open_step(page, "model")
    field(page, zh, "training.epochs").fill("4")
    (draft,) = studio.home.glob(f"datasets/{table.partition('data=')[2].partition('&')[0]}/draft.json")
    until(lambda: read_json(draft)["training"]["epochs"] == 4, "the draft")
    again.reload()
    expect(field(again, t, "training.epochs")).to_have_value("4")


def test_what_is_asked_for_in_vain_is_said_before_train_is_clicked(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "in_vain.csv", 78))
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    weights = field(page, t, "training.label_weights")
    weights.fill("7=2")
    alert = page.get_by_role("alert").filter(has_text="7")
    expect(alert).to_be_visible()
    page.locator(".folded button.label-wrap:visible", has_text=t("model.same")).click()
    command = page.locator(".cm-content").first
    expect(command).to_contain_text("# " + t("errors.data.label_weights_unknown.what").partition("{")[0].strip())
    weights.fill("1=2")
    expect(alert).to_have_count(0)
    expect(command).not_to_contain_text("#")

    # All of it at once, also beside a setting that does not hold.
    weights.fill("7=2")
    field(page, t, "training.trackers").fill("nobody")
    field(page, t, "training.epochs").fill("-1")
    for click in (None, "#estimate-en", "#train-en"):
        if click:
            page.locator(click).click()
            expect(page.locator(click)).to_be_enabled()
        for said in ("7", "nobody", "-1"):
            expect(page.get_by_role("alert").filter(has_text=said)).to_be_visible()
    weights.fill("1=-1")  # what was kept of it before stands in no field
    expect(page.get_by_role("alert").filter(has_text="7")).to_have_count(0)


def test_what_was_typed_stays_when_another_kind_of_model_is_looked_at(
    open_page: Callable[..., Page], studio: StudioProcess, tmp_path: Path
) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "looked_at.csv", 79))
    told = page.locator(".start p:visible")
    found = re.search(r"([0-9]+) train", told.inner_text())
    assert found
    rows = int(found[1])
    count = made_up_for(rows, multilabel=False)
    expect(told).to_contain_text(t("model.starter_texts", count=count, together=rows + count))
    epochs, length = field(page, t, "training.epochs"), field(page, t, "training.max_length")
    epochs.fill("3")  # as the recipe of pretrained models has it
    page.locator(".folded button.label-wrap:visible", has_text=t("model.same")).click()
    command = page.locator(".cm-content").first
    expect(command).to_contain_text("--epochs 3")
    page.get_by_label(t("model.kind.list")).check()
    expect(length).to_have_value("")
    expect(epochs).to_have_value("3")
    unnamed, _ = t.error(ModelNotNamed())
    expect(command).to_have_text(f"# {unnamed}")
    expect(told).to_have_text(unnamed)
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    field(page, t, "training.batch_size").fill("48")  # is kept, though nothing can be started yet
    field(page, t, "training.patience").fill("-1")
    expect(page.get_by_role("alert").filter(has_text="-1")).to_be_visible()
    field(page, t, "training.patience").fill("0")
    expect(page.get_by_role("alert")).to_have_count(0)
    draft = studio.home / "datasets" / page.url.partition("data=")[2].partition("&")[0] / "draft.json"
    until(lambda: read_json(draft)["training"]["batch_size"] == 48, "the draft")
    kept = read_json(draft)
    assert (kept["model"]["base"], kept["training"]["warmup_steps"], kept["training"]["epochs"]) == ("starter", 0, None)
    page.get_by_label(t("model.kind.hub")).check()
    page.get_by_label(t("model.kind.starter")).check()
    expect(length).to_have_value("256")
    expect(epochs).to_have_value("3")
    expect(command).to_contain_text("--epochs 3")

    kept = read_json(draft)
    assert (kept["training"]["batch_size"], kept["training"]["epochs"]) == (48, 3)

    # Train stays in sight, with what it says.
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#train-en")).to_be_in_viewport()


def test_table_without_a_draft_begins_with_the_starter(open_page: Callable[..., Page], tmp_path: Path) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "fresh.csv", 74))
    expect(page.get_by_label(t("model.kind.starter"))).to_be_checked()
    assert setting(page, t, "training.epochs") == "1"


def test_another_optimizer_brings_its_own_rate_where_none_was_typed(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    t = words("en")
    page = open_options(open_page, write_table(tmp_path / "slopes.csv", 76))
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    rate, decay = field(page, t, "training.learning_rate"), field(page, t, "training.weight_decay")
    expect(rate).to_have_value("0.0003")
    decay.fill("0.2")

    def choose(name: str) -> None:
        page.get_by_label(t("setting.training.optimizer.name"), exact=True).click()
        page.get_by_role("option", name=t(f"choice.training.optimizer.{name}"), exact=True).click()

    decided = page.locator(".decisions li", has_text=t("setting.training.learning_rate.name")).first
    choose("adamw")
    chosen = page.locator(".decisions li", has_text=t("setting.training.optimizer.name")).first
    expect(chosen).to_contain_text(t("decision.training.optimizer.asked"))
    expect(rate).to_have_value("0.0003")
    assert page.locator(".toast-title").count() == 0, "nothing changes, and nothing fails"
    choose("sgd")
    expect(rate).to_have_value("")
    expect(decided).to_contain_text("0.3")
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    expect(rate).to_have_value("")
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    expect(decay).to_have_value("0.2")
    choose("lion_8bit")
    expect(rate).to_have_value("0.0003")
    expect(decided).to_contain_text("0.0003")
    choose("sgd")
    expect(rate).to_have_value("")
    expect(decided).to_contain_text("0.3")
    rate.fill("0.0003")  # typed, it is asked for
    expect(decided).to_contain_text("0.0003")
    expect(decay).to_have_value("0.2")


def test_options_can_be_gone_through_by_keys(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """Each field that is reached stands above the bar that stays in sight, and leaves no list of options behind."""
    t = words("zh-CN")
    page = open_options(open_page, write_table(tmp_path / "keys.csv", 133), "/zh", width=390, height=844)
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    page.get_by_label(t("setting.training.accumulation.name"), exact=True).focus()
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        field = page.evaluate_handle("document.activeElement").as_element()
        assert field is not None
        reached.append(field.get_attribute("aria-label"))
        bar, box = page.locator(".in-sight").bounding_box(), field.bounding_box()
        assert bar
        assert box
        assert box["y"] + box["height"] <= bar["y"], reached[-1]
    assert t("setting.training.optimizer.name") in reached
    assert t("setting.training.scheduler.name") in reached
    expect(page.locator("ul.options")).to_have_count(0)


def test_page_of_a_run_by_sgd_leaves_open_what_its_recipe_does(
    open_page: Callable[..., Page], studio: StudioProcess, tmp_path: Path
) -> None:
    """The run keeps a decay of 0; to another optimizer that is nobody's wish."""
    t, home = words("en"), Home(studio.home)
    first = open_options(open_page, write_table(tmp_path / "by_sgd.csv", 77))
    dataset = first.url.partition("data=")[2].partition("&")[0]
    choices = first_choices(load_profile(home, dataset))
    asked = build_spec({**choices.model_dump(), "training": {"optimizer": "sgd"}})
    run = RunStore(home).create(with_recipe(asked))
    assert run.spec["training"]["weight_decay"] == 0.0
    page = open_page(f"/?run={run.id}&step=model")
    page.locator("button.label-wrap:visible", has_text=t("model.group.training")).click()
    decay = field(page, t, "training.weight_decay")
    expect(decay).to_have_value("")
    page.get_by_label(t("setting.training.optimizer.name"), exact=True).click()
    page.get_by_role("option", name=t("choice.training.optimizer.auto"), exact=True).click()
    expect(decay).to_have_value("0.01")
