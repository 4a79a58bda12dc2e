"""The command that the model page shows says exactly what the page says."""

from __future__ import annotations

import shlex

import pytest

from backend.data.labels import label_order
from backend.errors import ModelNotNamed
from backend.specs import ModelSpec, RunSpec
from studio.address import Address, Opened
from studio.cli_flags import read_pairs
from studio.pages.model_asked import command_of, model_asked
from studio.pages.model_choice import chosen_model


@pytest.mark.parametrize(
    "names",
    [
        {"0": "差评", "1": "好评"},
        {"a,b": "x=y", "c": "{d}"},
        {"a，b": "好，的"},
        {"{": "1"},
        {"it's": '"quoted" $HOME'},
    ],
)
def test_label_names_come_back_from_the_command_as_they_were(names: dict[str, str]) -> None:
    command = command_of(RunSpec().replaced(data__source="a file.csv", data__label_names=names))
    words = shlex.split(command)
    assert words[:5] == ["python", "-m", "studio", "train", "a file.csv"]
    assert read_pairs(words[words.index("--label-names") + 1]) == names


def test_a_label_called_nan_does_not_shuffle_the_others() -> None:
    assert label_order(["nan", "2", "10", "1"]) == label_order(["10", "1", "nan", "2"])
    assert label_order(["10", "2", "1"]) == ["1", "2", "10"]


@pytest.mark.parametrize("kind", ["hub", "folder", "list", "forged"])
def test_an_empty_field_for_the_model_is_said(kind: str) -> None:
    with pytest.raises(ModelNotNamed):
        chosen_model(kind, None, " ", "")


def test_revision_of_a_model_stays_while_it_is_the_same_model() -> None:
    spec = RunSpec().replaced(model__base="someone/model", model__revision="v2")
    opened = Opened(Address(run="a-run"), spec=spec)
    assert model_asked(opened, "hub", None, "someone/model ", None).revision == "v2"
    assert model_asked(opened, "hub", None, "someone/other", None) == ModelSpec(base="someone/other")
    assert model_asked(Opened(Address()), "hub", None, "someone/model", None).revision == ""
