"""Every setting of the schema has a field, and every field reaches the spec."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from backend.recipes import (
    PRETRAINED_RECIPE,
    STARTER_RECIPE,
    open_where_recipe,
    with_recipe,
)
from backend.settings import Home
from backend.spec_files import spec_from_yaml, spec_to_yaml
from backend.specs import (
    ModelSpec,
    RunSpec,
    Setting,
    build_spec,
    settings,
    value_at,
)
from studio.address import Address, Opened
from studio.form import FORM_SECTIONS, TABLE_SECTIONS, build_form, form_document, form_settings, shown_value
from studio.i18n import words
from studio.pages import model_asked
from studio.pages.model_recipe import followed, remembered

FORMS = (FORM_SECTIONS, TABLE_SECTIONS)
ELSEWHERE = {
    "name": "a field of the model page",
    "data.source": "the file that was dropped",
    "data.validation_source": "a file dropped together with it",
    "data.test_source": "a file dropped together with it",
    "data.configuration": "the picker of data sets of the Hub",
    "data.splits": "the picker of data sets of the Hub",
    "data.revision": "pinned when a data set of the Hub is imported",
    "data.template": "a field of the data page",
    "data.label_columns": "found by themselves; by command and file",
    "reading.encoding": "a field of the reading panel",
    "reading.delimiter": "a field of the reading panel",
    "reading.header": "a field of the reading panel",
    "reading.sheet": "a field of the reading panel",
    "prepare.steps": "the list of steps of the data page",
    "data.text_column": "a field of the data page",
    "data.label_column": "a field of the data page",
    "data.label_names": "fields of the data page",
    "data.task": "a field of the data page",
    "data.label_separator": "a field of the data page",
    "model.base": "the model picker",
    "model.revision": "the newest of a Hub model; by command and file only",
}


def other_value(setting: Setting) -> Any:
    """A value that holds and differs from the default and from every recipe."""
    if setting.kind == "choice":
        return next(choice for choice in setting.choices if choice != setting.default)
    if setting.kind == "text":
        return "author"
    if setting.kind == "switch":
        return not setting.default
    if setting.kind == "list":
        return ("one", "two")
    if setting.kind == "mapping":
        return {"good": 2.5}
    if setting.kind == "integer":
        return int(setting.least or 0) + 7
    return ((setting.least or 0) + (setting.most or 1)) / 3


def test_every_setting_has_a_field_somewhere() -> None:
    fields = {s.path for sections in FORMS for s in form_settings(sections)}
    assert {setting.path for setting in settings()} == fields | set(ELSEWHERE)


@pytest.mark.parametrize(
    ("sections", "setting"),
    [pytest.param(sections, s, id=s.path) for sections in FORMS for s in form_settings(sections)],
)
def test_each_field_reaches_the_spec(sections: tuple[str, ...], setting: Setting) -> None:
    other = RunSpec().replaced(**{setting.parameter: other_value(setting)})
    values = [shown_value(s, other) if s == setting else s.default for s in form_settings(sections)]
    spec = RunSpec(**form_document(values, sections))
    assert value_at(spec, setting.path) == value_at(other, setting.path) == other_value(setting)


def test_open_settings_show_what_the_recipe_says() -> None:
    epochs = next(s for s in form_settings() if s.path == "training.epochs")
    assert shown_value(epochs, RunSpec()) == STARTER_RECIPE.epochs
    assert shown_value(epochs, RunSpec(model=ModelSpec(base="hfl/rbt3"))) == PRETRAINED_RECIPE.epochs


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_the_form_builds_in_both_languages(language: Any) -> None:
    with gr.Blocks():
        form = build_form(words(language))
    assert len(form.fields) == len(form_settings())


def test_command_and_yaml_say_the_same_as_the_form() -> None:
    spec = build_spec(
        {
            "data": {"source": "a b.csv", "text_column": "review", "label_names": {"0": "差评"}},
            "training": {"epochs": 3},
        }
    )
    assert model_asked.command_of(spec) == (
        "python -m studio train 'a b.csv' --text review --label-names '0=差评' --epochs 3"
    )
    assert spec_from_yaml(spec_to_yaml(spec), "run.yaml") == spec
    steps = ["drop_blank", "minimum_rows:rows=5", {"kind": "map_labels", "mapping": {"a,b": "c"}}]
    spec = build_spec({"data": {"source": "x.csv"}, "prepare": {"steps": steps}})
    assert model_asked.command_of(spec) == (
        "python -m studio train x.csv --step drop_blank --step minimum_rows:rows=5 "
        """--step '{"kind": "map_labels", "mapping": {"a,b": "c"}}'"""
    )
    assert spec_from_yaml(spec_to_yaml(spec), "run.yaml") == spec


def test_nothing_is_started_without_a_table(home: Home) -> None:
    from backend.errors import DatasetMissing

    with pytest.raises(DatasetMissing):
        model_asked.build_run_spec(Opened(Address()), ("a", "b", "auto", "", ""), (), ("starter", None, "", ""), "", [])


def test_addresses_survive_the_round_trip_and_odd_input() -> None:
    address = Address(run="20260101-000000-abcdef", step="try")
    assert Address.parse(address.query) == address
    assert Address.parse("?step=nonsense&x=1").step == "data"
    assert Address.parse("?run=" + "a" * 5000).run == "a" * 80


def test_another_optimizer_changes_what_stands_as_a_recipe_has_it_and_nothing_that_was_typed() -> None:
    rate, decay = "training.learning_rate", "training.weight_decay"
    plain = {f"training.{name}": value for name, value in vars(STARTER_RECIPE).items()}
    sloping = {**plain, rate: None, decay: None}
    usual, own = remembered("starter", "auto"), remembered("starter", "sgd")
    assert followed("starter", "sgd", plain, usual)[0] == {rate: None, decay: None}
    assert followed("starter", "adamw_8bit", sloping, own)[0] == {rate: 3e-4, decay: 0.01}
    open_rate = {f"training.{name}": value for name, value in vars(PRETRAINED_RECIPE).items()} | {decay: None}
    assert followed("hub", "auto", open_rate, remembered("hub", "sgd"))[0] == {decay: 0.01}, "its rate stays open"
    for typed in (0.0, 0.2):
        assert decay not in followed("starter", "sgd", {**plain, decay: typed}, usual)[0]
        assert decay not in followed("starter", "auto", {**sloping, decay: typed}, own)[0]
    assert not followed("starter", "lion_8bit", plain, usual)[0]


@pytest.mark.parametrize("typed", [7, STARTER_RECIPE.epochs])
def test_another_kind_of_model_changes_what_stands_as_a_recipe_has_it_and_nothing_that_was_typed(typed: int) -> None:
    """Also where what was typed is what the other kind's recipe says."""
    epochs, length = "training.epochs", "training.max_length"
    shown = {f"training.{name}": value for name, value in vars(PRETRAINED_RECIPE).items()} | {epochs: typed}
    changes, known = followed("starter", "auto", shown, remembered("hub", "auto"))
    looked_at = shown | changes
    assert (looked_at[epochs], looked_at[length]) == (typed, 256)
    changes, known = followed("starter", "sgd", looked_at, known)
    looked_at |= changes
    changes, known = followed("folder", "auto", looked_at, known)
    assert looked_at | changes == shown

    emptied = {**shown, epochs: None}
    assert followed("starter", "auto", emptied, known)[0][epochs] == STARTER_RECIPE.epochs


def test_decay_that_a_run_by_sgd_did_without_is_not_taken_for_a_wish() -> None:
    """A run was asked for with everything filled in: its page shows what its recipe leaves open as open."""
    run = with_recipe(RunSpec().replaced(training__optimizer="sgd", model__base="someone/model"))
    assert run.training.weight_decay == 0.0
    shown = {setting.path: shown_value(setting, open_where_recipe(run)) for setting in form_settings()}
    changes, _ = followed("hub", "auto", shown, remembered("hub", "sgd"))
    assert changes["training.weight_decay"] == PRETRAINED_RECIPE.weight_decay


def test_a_way_of_the_lab_with_another_optimizer_brings_its_recipe() -> None:
    """What stood there as SGD's recipe has it, no decay, is not taken for a wish."""
    shown = RunSpec().replaced(training__optimizer="sgd", training__max_steps=7)
    changed = open_where_recipe(with_recipe(shown)).replaced(training__optimizer="auto")
    assert (changed.training.weight_decay, changed.training.learning_rate) == (None, None)
    assert changed.training.max_steps == 7
    values = {setting.path: shown_value(setting, changed) for setting in form_settings()}
    assert (values["training.weight_decay"], values["training.learning_rate"]) == (0.01, 3e-4)
