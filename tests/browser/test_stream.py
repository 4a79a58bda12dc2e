"""The connections that an open page holds: no event is lost on them, and they keep no studio from ending."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from studio.i18n import words
from tests.browser.studio_process import StudioProcess

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Page]

CLOSE_LATE = """
const fetchNow = window.fetch;
window.closedLate = 0;
window.fetch = async (input, init) => {
  const answer = await fetchNow(input, init);
  if (!String(input.url ?? input).includes("/queue/data")) return answer;
  const late = new TransformStream({
    async transform(chunk, controller) {
      const [before, close] = new TextDecoder().decode(chunk, { stream: true }).split('data: {"msg":"close_stream"');
      if (before) controller.enqueue(new TextEncoder().encode(before));
      if (close === undefined) return;
      await new Promise((done) => setTimeout(done, 500));
      window.closedLate += 1;
      controller.enqueue(new TextEncoder().encode('data: {"msg":"close_stream"' + close));
    },
  });
  return new Response(answer.body.pipeThrough(late), { status: answer.status, headers: answer.headers });
};
"""


def test_an_event_that_begins_while_the_stream_is_closed_is_answered(open_page: OpenPage) -> None:
    t = words("en")
    page = open_page("/?step=data")
    page.add_init_script(CLOSE_LATE)
    page.reload()
    page.wait_for_selector("body.studio-ready .studio-header")
    for step in ("model", "train", "runs", "data", "share"):
        page.evaluate(f"Studio.go('?step={step}')")
        # The answer to this one comes half a second before the message that closes the stream, the next event between.
        chosen = page.locator(".steps [role=tab][aria-selected=true]").first
        expect(chosen).to_contain_text(t(f"step.{step}"))
    assert page.evaluate("window.closedLate") >= 1


def test_ctrl_c_ends_a_studio_with_open_pages_at_once_and_prints_no_traceback(
    chromium: Browser, tmp_path: Path
) -> None:
    studio = StudioProcess(tmp_path / "home")
    page = chromium.new_page()
    try:
        page.goto(f"{studio.url}/?step=runs")
        page.wait_for_selector("body.studio-ready .studio-header")
        page.wait_for_event("response", lambda answer: "/api/runs?" in answer.url)
        studio.process.send_signal(signal.SIGINT)
        assert studio.process.wait(15) in (0, 130)
    finally:
        page.close()
        studio.close()
    said = studio.log.read_text("utf-8")
    assert "Traceback" not in said, said
    assert "Error" not in said, said
