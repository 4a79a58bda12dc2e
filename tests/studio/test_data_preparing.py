"""The preparing panels without a browser: what each change makes of the choices, and what is shown of a report."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from backend.data.choices import first_choices, load_choices, save_changes, save_choices, with_repair
from backend.data.datasets import load_profile, load_report, report_key, start_import, start_report, wait
from backend.data.exporting import start_export
from backend.errors import DatasetMissing, SpecError
from backend.settings import Home
from backend.specs import Choices, PrepareSpec, build_spec
from backend.steps import step_document, step_text
from studio.address import Address, Opened
from studio.form import TABLE_SECTIONS, form_settings
from studio.i18n import words
from studio.markup import problem
from studio.pages import data_preparing as panel

WAIT_S = 120
LINES = [f"{'good' if n % 2 else 'bad'},title {n},a text with number {n},{'abcdef'[n % 6]}" for n in range(60)]


@pytest.fixture
def opened(home: Home, tmp_path: Path) -> Opened:
    """A table of four columns, imported and opened."""
    table = tmp_path / "table.csv"
    table.write_text("\n".join(["label,title,body,author", *LINES, "Good,title 1,a text with number 1,a"]), "utf-8")
    profile = load_profile(home, str(wait(start_import(home, table), WAIT_S)["dataset"]))
    choices = first_choices(profile).replaced({"data.text_column": "body", "data.label_column": "label"})
    save_choices(home, choices)
    return Opened(Address(data=profile["dataset"]), profile=profile, choices=load_choices(home, profile))


def with_(opened: Opened, choices: Choices) -> Opened:
    return Opened(opened.address, profile=opened.profile, choices=choices)


def reported(home: Home, choices: Choices) -> dict[str, Any]:
    wait(start_report(home, choices), WAIT_S)
    report = load_report(home, choices)
    assert report is not None
    return report


def test_a_repair_is_a_step_that_the_report_counts_and_undo_takes_away(home: Home, opened: Opened) -> None:
    t = words("en")
    repair = json.dumps({"repair": {"step": {"kind": "merge_label_variants"}}})
    repaired = panel.repaired(opened, repair)
    assert [step_text(step) for step in repaired.prepare.steps] == ["merge_label_variants"]
    assert panel.repaired(with_(opened, repaired), repair) == repaired, "a second click adds nothing"
    before, after = reported(home, opened.choices), reported(home, repaired)  # type: ignore[arg-type]
    assert [label["value"] for label in before["labels"]] == ["Good", "bad", "good"]
    assert [label["value"] for label in after["labels"]] == ["bad", "good"]
    assert after["task"] == "binary"
    assert after["steps"][0]["touched"] == 1
    value = json.loads(panel.steps_value(t, repaired, after))
    assert value["steps"][0]["said"] == ["61 → 61 rows · 1 touched"]
    counts = panel.parts_counts(t, after)
    for part in ("train", "validation", "test"):
        assert f"{after['parts'][part]['rows']} {part}" in counts
    undone = panel.with_steps(with_(opened, repaired), json.dumps({"change": []}))
    assert report_key(undone) == report_key(repaired.replaced({"prepare.steps": []}))
    off = panel.with_steps(
        with_(opened, repaired), json.dumps({"change": [{**value["steps"][0]["step"], "on": False}]})
    )
    assert [label["value"] for label in reported(home, off)["labels"]] == ["Good", "bad", "good"]


def test_steps_are_changed_as_they_are_typed(opened: Opened) -> None:
    for kind in panel.OFFERED:
        opened = with_(opened, panel.with_step(opened, kind))
        assert panel.with_step(opened, kind) == opened.choices, "told of twice"
    assert opened.choices is not None
    assert panel.with_step(opened, None) == opened.choices
    kinds = [step.kind for step in opened.choices.prepare.steps]
    assert kinds == [step_document(kind)["kind"] for kind in panel.OFFERED]
    steps = [step.model_dump(mode="json") for step in opened.choices.prepare.steps]
    steps[kinds.index("map_labels")]["mapping"] = "Good=good， x = y"
    steps[kinds.index("drop_labels")]["labels"] = "a, b"
    changed = panel.with_steps(opened, json.dumps({"change": steps[::-1]})).prepare.steps
    assert [step_text(step) for step in changed][::-1][5:7] == ["map_labels:Good=good,x=y", "drop_labels:a,b"]
    for language in ("en", "zh-CN"):
        shown = json.loads(panel.steps_value(words(language), opened.choices, None))  # type: ignore[arg-type]
        assert len({entry["name"] for entry in shown["steps"]}) == len(panel.OFFERED)
    steps[0] = {"kind": "minimum_rows", "rows": 0}
    with pytest.raises(SpecError):
        panel.with_steps(opened, json.dumps({"change": steps}))
    for forged in ("", "[]", '{"change": 7}', '{"change": ["rm -rf"]}', "{"):
        with pytest.raises((DatasetMissing, SpecError)):
            panel.with_steps(opened, forged)


def test_sample_and_split_are_fields_of_the_data_page(home: Home, opened: Opened) -> None:
    paths = [setting.path for setting in form_settings(TABLE_SECTIONS)]
    values: list[Any] = [setting.default for setting in form_settings(TABLE_SECTIONS)]
    values[paths.index("split.method")], values[paths.index("split.column")] = "group", "author"
    values[paths.index("split.test_share")] = 0.2
    choices = panel.with_form(opened, values)
    assert (choices.split.method, choices.split.column, choices.split.test_share) == ("group", "author", 0.2)
    assert reported(home, choices)["parts"]["method"] == "group"
    values[paths.index("split.test_share")] = 7
    with pytest.raises(SpecError) as raised:
        panel.with_form(opened, values)
    assert [problem["setting"] for problem in raised.value.problems] == ["split.test_share"]


def test_a_template_is_shown_with_its_texts_and_refused_where_it_tells_the_label(opened: Opened) -> None:
    t = words("en")
    choices = panel.with_template(opened, " {title}: {body} ")
    assert "title 0: a text with number 0" in panel.composed(t, opened, choices)
    assert "banner bad" in panel.composed(t, opened, panel.with_template(opened, "{label} {body}"))
    assert "banner bad" in panel.composed(t, opened, panel.with_template(opened, "{body"))


def test_a_setting_is_repaired_and_what_does_not_hold_is_refused(opened: Opened) -> None:
    assert opened.choices is not None
    assert opened.profile is not None
    repaired = with_repair(opened.choices, {"set": {"split.method": "group", "split.column": "author"}}, opened.profile)
    assert (repaired.split.method, repaired.split.column) == ("group", "author")
    for repair in ({"set": {"split.method": "magic"}}, {"set": {"nothing.here": 1}}, {"step": {"kind": "rm"}}):
        with pytest.raises(SpecError):
            with_repair(opened.choices, repair, opened.profile)


def test_choices_of_an_older_version_are_read(home: Home, opened: Opened) -> None:
    assert opened.profile is not None
    path = home.datasets / opened.dataset / "choices.json"
    path.write_text(json.dumps({"dataset": opened.dataset, "text_column": "title", "label_column": "label"}))
    assert load_choices(home, opened.profile).data.text_column == "title"
    path.write_text("{}")
    assert load_choices(home, opened.profile).prepare == PrepareSpec()


def test_an_export_holds_the_rows_that_the_report_counts(home: Home, opened: Opened) -> None:
    assert opened.choices is not None
    choices = opened.choices.replaced({"prepare.steps": ["merge_label_variants", "drop_duplicates"]})
    result = wait(start_export(home, choices, "parquet"), WAIT_S)
    report = reported(home, choices)
    assert result["rows"] == {part: report["parts"][part]["rows"] for part in ("train", "validation", "test")}
    assert sum(result["rows"].values()) == 60


def test_of_two_edits_that_cross_both_are_kept(home: Home, opened: Opened) -> None:
    assert opened.choices is not None
    assert opened.profile is not None
    before = opened.choices
    save_changes(home, opened.profile, before, before.replaced({"split.test_share": 0.3}))
    kept = save_changes(home, opened.profile, before, before.replaced({"data.label_names": {"bad": "worse"}}))
    assert (kept.split.test_share, kept.data.label_names) == (0.3, {"bad": "worse"})
    assert load_choices(home, opened.profile) == kept


def test_labels_are_replaced_as_people_write_it_and_nonsense_is_refused(opened: Opened) -> None:
    def typed(mapping: str) -> Choices:
        return panel.with_steps(opened, json.dumps({"change": [{"kind": "map_labels", "mapping": mapping}]}))

    for written in ("good=fine, Good=fine", "good->fine,Good -> fine", "good→fine，Good＝fine"):
        (step,) = typed(written).prepare.steps
        assert step.model_dump()["mapping"] == {"good": "fine", "Good": "fine"}
    with pytest.raises(SpecError) as raised:
        build_spec({"prepare": {"steps": ["map_labels:garbage"]}})
    assert raised.value.problems[0]["setting"] == "prepare.steps.0.map_labels.mapping.garbage"
    with pytest.raises(SpecError) as raised:
        typed("garbage")
    shown = problem(words("en"), raised.value)
    assert "Replace labels · garbage = '' (pairs such as 0=negative,1=positive)" in html.unescape(shown)


def test_task_that_was_guessed_is_told_anew_from_the_labels_that_steps_leave(home: Home, opened: Opened) -> None:
    assert opened.choices is not None
    assert opened.choices.data.task == "multiclass"
    change = json.dumps({"change": [{"kind": "map_labels", "mapping": "Good=good"}]})
    changed = panel.with_steps(opened, change)
    assert changed.data.task == "auto"
    assert reported(home, changed)["task"] == "binary"
    by_hand = with_(opened, opened.choices.replaced({"data.task": "multilabel"}))
    assert panel.with_steps(by_hand, change).data.task == "multilabel"


@pytest.mark.parametrize("mapping", [{"a->b": "c"}, {"x": "去→留"}, {"a＝b": "c=d"}, {"a": "b, c"}, {"→": "->"}])
def test_pairs_are_written_as_they_are_read(mapping: dict[str, str]) -> None:
    (step,) = PrepareSpec(steps=({"kind": "map_labels", "mapping": mapping},)).steps  # type: ignore[arg-type]
    assert step_document(step_text(step))["mapping"] == mapping
