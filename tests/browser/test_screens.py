"""What holds on every screen: nothing wider than the window, both languages, both themes, a studio that comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from studio.address import STEPS
from studio.i18n import words
from tests.browser.studio_process import StudioProcess
from tests.browser.test_story import drop, open_step, start_training

pytestmark = pytest.mark.browser
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def wide_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table with 42 labels and texts of 1,000 characters without a space."""
    path = tmp_path_factory.mktemp("tables") / "forty_two_labels.csv"
    lines = ["message,category,a column with quite a long name,id"]
    lines += [f"{'x' * 990}{n},label number {n % 42} of many,<img src=x onerror=alert(1)>,{n}" for n in range(420)]
    path.write_text("\n".join(lines), "utf-8")
    return path


@pytest.mark.parametrize("path", ["/", "/zh"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_no_step_is_wider_than_the_window(
    open_page: OpenPage, wide_table: Path, path: str, width: int, height: int
) -> None:
    page = open_page(path, width=width, height=height)
    drop(page, wide_table)
    address, _, data = page.url.partition("?")
    page.goto(f"{address}?{data.partition('&')[0]}&__theme=dark")
    page.wait_for_selector("body.studio-ready .studio-header")
    for step in STEPS:
        open_step(page, step)
        expect(page.locator(f"#step-{step}-button")).to_have_attribute("aria-selected", "true")
        page.wait_for_timeout(600)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, step
        assert page.evaluate("document.body.classList.contains('dark')")


def test_the_open_step_is_seen_in_a_narrow_window(open_page: OpenPage) -> None:
    for step in ("share", "runs"):
        page = open_page(f"/?step={step}", width=390, height=844)
        expect(page.locator(f"#step-{step}-button")).to_be_in_viewport(ratio=1)


def test_the_options_before_there_is_a_table_say_so_and_no_error(open_page: OpenPage) -> None:
    t = words("en")
    page = open_page("/?step=model")
    expect(page.get_by_text(t("model.nothing"))).to_be_visible()
    page.locator("#step-data-button").click()
    expect(page.locator("#step-data-button")).to_have_attribute("aria-selected", "true")
    with page.expect_response("**/queue/join*"):
        page.locator("#step-model-button").click()
    page.wait_for_timeout(5000)
    assert page.locator(".toast-title").count() == 0  # at once: one that is there would go by itself


def test_the_title_of_an_error_is_in_the_language_of_the_page(open_page: OpenPage, samples: Path) -> None:
    t = words("zh-CN")
    page = open_page("/zh")
    drop(page, samples / "takeaway_reviews_zh.csv")
    page.locator("#add-step-zh-CN input").click()
    page.get_by_role("option", name=t("steps.map_labels"), exact=True).click()
    mapping = page.locator("input[data-field=mapping]")
    mapping.fill("garbage")
    mapping.press("Enter")
    expect(page.locator(".toast-title")).to_contain_text(t("error.title"))
    expect(page.locator(".toast-body")).to_contain_text("garbage")


def test_what_does_not_hold_of_sample_and_split_is_said_in_its_place(open_page: OpenPage, samples: Path) -> None:
    t = words("zh-CN")
    page = open_page("/zh")
    drop(page, samples / "support_tickets_en.csv")
    page.locator(".division > button").click()
    share = page.get_by_label(t("setting.split.test_share.name"), exact=False).first
    right = share.input_value()
    share.fill("3")
    share.blur()
    said = page.locator(".parts [role=alert]")
    expect(said).to_contain_text(t("setting.split.test_share.name"))
    expect(page.locator(".toast-title")).to_have_count(0)
    share.fill(right)
    share.blur()
    expect(said).to_have_count(0)
    expect(page.locator(".parts .parts-counts")).to_be_visible()


def test_markup_in_a_table_stays_text(open_page: OpenPage, wide_table: Path) -> None:
    page = open_page("/")
    drop(page, wide_table)
    expect(page.locator(".rows tbody tr").first).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator(".rows img").count() == 0


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "data.not_a_table"),
        ("empty.csv", b"", "data.file_empty"),
    ],
)
@pytest.mark.parametrize(("path", "language"), [("/", "en"), ("/zh", "zh-CN")])
def test_a_file_that_is_no_table_is_said_in_words(
    open_page: OpenPage, tmp_path: Path, name: str, content: bytes, code: str, path: str, language: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    page = open_page(path)
    page.set_input_files("input[type=file]", str(file))
    words_of = words(language)  # type: ignore[arg-type]
    following = words_of(f"errors.{code}.next")
    expect(page.locator(".problem")).to_contain_text(name)
    expect(page.locator(".problem")).to_contain_text(following)


def test_unreachable_hub_is_said_and_nothing_else_breaks(open_page: OpenPage, samples: Path) -> None:
    t = words("en")
    page = open_page("/")
    drop(page, samples / "support_tickets_en.csv")
    page.locator("#step-model-button").click()
    page.get_by_label(t("model.kind.hub")).check()
    page.get_by_role("textbox", name=t("model.hub_id")).fill("hfl/rbt3")
    page.get_by_role("button", name=t("model.check")).click()
    expect(page.locator(".banner.bad")).to_contain_text("cannot be reached", timeout=8000)
    page.locator("#train-en").click()
    expect(page.locator(".banner.bad").last).to_contain_text("starter", timeout=8000)
    assert "run=" not in page.url


def test_settings_out_of_range_are_all_named(open_page: OpenPage, samples: Path) -> None:
    t = words("zh-CN")
    page = open_page("/zh")
    drop(page, samples / "takeaway_reviews_zh.csv")
    page.locator("#step-model-button").click()
    for path in ("training.epochs", "training.batch_size"):
        page.get_by_label(t(f"setting.{path}.name")).first.fill("-3")
    page.locator("#train-zh-CN").click()
    banner = page.locator(".banner.bad")
    expect(banner).to_contain_text(t("setting.training.epochs.name"))
    expect(banner).to_contain_text(t("setting.training.batch_size.name"))


@pytest.fixture
def own_studio(tmp_path: Path) -> Iterator[StudioProcess]:
    """A studio that the test may kill."""
    process = StudioProcess(tmp_path / "home")
    yield process
    process.close()


def test_open_page_survives_a_restart_of_the_studio(
    chromium: object, own_studio: StudioProcess, samples: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import Browser

    assert isinstance(chromium, Browser)
    page = chromium.new_page()
    page.goto(own_studio.url)
    page.wait_for_selector("body.studio-ready .studio-header")
    drop(page, samples / "support_tickets_en.csv")
    t = words("en")
    start_training(page, t, epochs=100)
    expect(page.locator(".live-line")).to_contain_text("epoch", timeout=240_000)
    own_studio.kill()
    expect(page.locator(".ending")).to_contain_text("does not answer")
    again = StudioProcess(own_studio.home, port=own_studio.port)
    try:
        expect(page.locator(".ending")).not_to_contain_text("does not answer", timeout=60_000)
        page.locator("button.stop").click()
        expect(page.locator(".live-head .state")).to_have_text(t("state.stopped"), timeout=120_000)
    finally:
        page.close()
        again.close()
