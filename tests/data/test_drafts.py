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


@pytest.mark.parametrize("text", ["", "{", '{"training": {"epochs": -1}}', '{"model": {"base": 3}, "gone": 1}'])
def test_draft_that_cannot_be_read_is_none(home: Home, text: str) -> None:
    (home.datasets / "ab12").mkdir(parents=True)
    (home.datasets / "ab12" / FILE).write_text(text, "utf-8")
    assert load_draft(home, "ab12") == RunSpec()
