"""``predict``: texts in, the user's own labels out."""

from __future__ import annotations

import pytest

from backend.jobs.directory import JobDirectory
from backend.specs import RunSpec
from tests.cli.conftest import Studio, Trained


def test_texts_get_their_label_and_the_scores_of_all_labels(trained: Trained) -> None:
    found = trained.studio.document("predict", trained.id, "味道不错，强烈推荐", "非常难吃，已经凉了")
    assert [answer["text"] for answer in found] == ["味道不错，强烈推荐", "非常难吃，已经凉了"]
    for answer in found:
        assert set(answer) == {"text", "label", "scores"}
        assert set(answer["scores"]) == {"差评", "好评"}
        assert sum(answer["scores"].values()) == pytest.approx(1, abs=1e-3)
        assert answer["label"] == max(answer["scores"], key=answer["scores"].__getitem__)
    assert found[0]["scores"]["好评"] > found[1]["scores"]["好评"]


def test_lines_of_standard_input_are_texts_and_before_shows_the_model_before_fine_tuning(trained: Trained) -> None:
    found = trained.studio.document("predict", "外卖评论", "--before", stdin="\ufeff很好吃\n\n   \n太咸了\r\n")
    assert [answer["text"] for answer in found] == ["很好吃", "太咸了"]
    for answer in found:
        assert set(answer) == {"text", "label", "scores", "before"}
        assert set(answer["before"]["scores"]) == {"差评", "好评"}
        assert answer["before"]["scores"] != answer["scores"]


def test_people_read_a_table_and_the_command_itself_imports_nothing_heavy(trained: Trained) -> None:
    shown, heavy = trained.studio.probe("predict", "last", "--before", "--lang", "zh-CN", "[b]太咸了[/b]")
    for word in ("[b]太咸了[/b]", "微调前", "差评", "好评", "%"):
        assert word in shown
    assert heavy == "nothing heavy"


def test_no_text_at_all_is_refused(trained: Trained) -> None:
    assert trained.studio.document("predict", "last", status=2)["error"]["code"] == "predict.text_missing"


def test_a_run_without_a_model_is_refused(studio: Studio) -> None:
    runs = studio.store.home.runs
    JobDirectory.create(runs, kind="train", module="backend.worker", spec=RunSpec().model_dump())
    assert studio.document("predict", "last", "text", status=2)["error"]["code"] == "run.not_finished"
