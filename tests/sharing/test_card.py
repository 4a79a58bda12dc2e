"""The model card: true figures, sound front matter, and nothing of the machine it was made on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from backend.data.datasets import report_key
from backend.jobs.directory import JobDirectory
from backend.jobs.files import write_json
from backend.settings import Home
from backend.sharing.card import escaped, model_card
from backend.specs import RunSpec
from tests.sharing.conftest import LABELS, SECRET_FOLDER, make_run


def front_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def rendered(text: str) -> str:
    """What CommonMark shows for text whose punctuation may be escaped by backslashes."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text)


def cells(card: str, first: str) -> list[str]:
    """The cells of the table row that begins with this."""
    row = next(line for line in card.splitlines() if rendered(line).startswith(f"| {first} |"))
    return [rendered(cell.strip()) for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def test_front_matter_says_what_the_hub_needs(run: JobDirectory):
    front = front_of(model_card(run, licence="mit"))
    assert front["license"] == "mit"
    assert front["library_name"] == "transformers"
    assert front["pipeline_tag"] == "text-classification"
    assert "base_model" not in front
    assert front["metrics"] == ["accuracy", "f1", "matthews_correlation", "precision", "recall"]


def test_results_are_read_by_the_hub_client(run: JobDirectory):
    from huggingface_hub import ModelCard

    results = ModelCard(model_card(run)).data.eval_results
    assert results is not None
    found = {(result.metric_type, result.metric_name): result.metric_value for result in results}
    assert found["accuracy", "Accuracy"] == 0.9125
    assert found["f1", "Macro F1"] == 0.9
    assert found["matthews_correlation", "Matthews correlation"] == 0.8
    assert {result.dataset_name for result in results} == {"waimai_10k.csv"}
    assert {result.dataset_split for result in results} == {"test"}


def test_figures_stand_beside_those_of_the_baselines(run: JobDirectory):
    card = model_card(run)
    ours = cells(card, "**this model**")
    assert ours[1:] == ["**0.912**", "**0.871**", "**0.900**", "**0.800**", "**0.880**", "**0.862**"]
    for name in ("the same model before training", "TF-IDF + logistic regression", "always the most frequent label"):
        assert cells(card, name)[1] == "0.456"


def test_label_names_show_as_they_are(run: JobDirectory):
    card = model_card(run)
    assert cells(card, LABELS[0]) == [LABELS[0], "400", "0.900", "0.800", "0.850"]
    row = next(line for line in card.splitlines() if line.startswith("| good"))
    assert rendered(re.split(r"(?<!\\)\|", row)[1].strip()) == LABELS[1]


@pytest.mark.parametrize(
    "text",
    [
        "a|b",
        "*bold*",
        "_x_",
        "`code`",
        "<script>",
        "[a](https://b.c)",
        "$x$",
        "~~s~~",
        "&lt;",
        "# t",
        "www.a.b",
        "a@b.c",
    ],
)
def test_escaping_starts_no_markup_and_loses_nothing(text: str):
    assert rendered(escaped(text)) == text
    assert not re.search(r"(?<!\\)[|*_`<\[$~&#@:]|www\.", escaped(text))


def test_line_breaks_cannot_end_a_table(home: Home, tiny_model: Path):
    labels = ["one\n\n## Injected", "two\r\n| x |"]
    card = model_card(make_run(home, tiny_model, labels=labels, per_label=[]))
    assert "\n## Injected" not in card
    assert cells(card, "one ## Injected")[0] == "one ## Injected"


@pytest.mark.parametrize(
    "name", ["a: b", "- x", '"quoted"', "---", "{x}", "# no", "$title $model", "null", "外卖：评论"]
)
def test_any_name_gives_sound_front_matter(home: Home, tiny_model: Path, name: str):
    run = make_run(home, tiny_model, name=name)
    assert front_of(model_card(run))["model-index"][0]["name"] == name


def test_no_path_of_this_machine_is_told(home: Home, tiny_model: Path):
    run = make_run(home, tiny_model, base=f"{SECRET_FOLDER}/my-bert")
    card = model_card(run)
    assert "waimai" in card
    assert "a local model (my-bert)" in card
    assert SECRET_FOLDER not in card
    assert str(home.path) not in card
    assert "base_model" not in front_of(card)


def test_windows_path_of_the_table_is_cut_to_its_name(home: Home, tiny_model: Path):
    run = make_run(home, tiny_model)
    run.spec["data"]["source"] = r"C:\Users\somebody\reviews.csv"
    assert front_of(model_card(run))["model-index"][0]["results"][0]["dataset"]["name"] == "reviews.csv"


def test_base_model_on_the_hub_is_named(home: Home, tiny_model: Path):
    card = model_card(make_run(home, tiny_model, base="hfl/rbt3"))
    assert front_of(card)["base_model"] == "hfl/rbt3"
    assert "It is hfl/rbt3, fine-tuned." in card


def test_language_is_that_of_the_texts(home: Home, run: JobDirectory):
    dataset = home.datasets / run.spec["data"]["dataset"]
    (dataset / "reports").mkdir(parents=True)
    write_json(dataset / "profile.json", {})
    shares = {"zh": 0.7, "en": 0.25, "other": 0.05}
    write_json(dataset / "reports" / f"{report_key(RunSpec(**run.spec).choices)}.json", {"language": shares})
    assert front_of(model_card(run))["language"] == ["zh", "en"]


def test_stopped_run_claims_no_test_figures(home: Home, tiny_model: Path):
    kept = {"step": 4, "epoch": 0.5, "metrics": {"accuracy": 0.8, "f1": 0.7}}
    card = model_card(
        make_run(home, tiny_model, state="stopped", metrics=None, per_label=[], confusion=None, kept=kept)
    )
    assert "model-index" not in front_of(card)
    assert "stopped before its test" in card
    assert cells(card, "**this model**")[1:] == ["**0.800**", "**0.700**"]
    assert "TF-IDF" not in card


def test_limits_speak_of_a_small_test_and_of_a_missing_licence(home: Home, tiny_model: Path, run: JobDirectory):
    small = model_card(run)
    assert "tested on 120 texts only" in small
    assert "No licence was chosen" in small
    large = model_card(make_run(home, tiny_model, rows={"train": 9, "validation": 9, "test": 5000}), licence="mit")
    assert "texts only" not in large
    assert "No licence" not in large
