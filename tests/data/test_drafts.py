"""What is kept of the next run of a table: all but what it learns from; what holds no longer is left out."""

from __future__ import annotations

import pytest

from backend.data.drafts import FILE, load_draft, save_draft
from backend.settings import Home
from backend.specs import DataSpec, RunSpec


def test_draft_is_what_was_asked_for_without_the_data(home: Home) -> None:
    (home.datasets / "ab12").mkdir(parents=True)
    assert load_draft(home, "ab12") == RunSpec()
    asked = RunSpec().replaced(
        name="点子", model__base="hfl/rbt3", training__epochs=7, speed__batching="random", data__text_column="review"
    )
    save_draft(home, "ab12", asked)
    assert load_draft(home, "ab12") == asked.model_copy(update={"data": DataSpec()})


@pytest.mark.parametrize("text", ["", "{", "3", '{"training": {"epochs": -1}}', '{"model": {"base": 3}, "gone": 1}'])
def test_draft_that_cannot_be_read_is_none_and_the_log_says_so(
    home: Home, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (home.datasets / "ab12").mkdir(parents=True)
    (home.datasets / "ab12" / FILE).write_text(text, "utf-8")
    assert load_draft(home, "ab12") == RunSpec()
    assert FILE in capsys.readouterr().err


def test_section_that_holds_no_longer_takes_no_other_with_it(home: Home) -> None:
    (home.datasets / "ab12").mkdir(parents=True)
    text = '{"training": {"epochs": -1}, "speed": {"batching": "random"}, "gone": {"a": 1}}'
    (home.datasets / "ab12" / FILE).write_text(text, "utf-8")
    assert load_draft(home, "ab12") == RunSpec().replaced(speed__batching="random")
