"""The curated list, and what makes a folder a model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.errors import FolderIsAdapter, NotAModelFolder
from backend.models.catalogue import catalogue, suggested
from backend.models.folder import check_folder, names_a_folder, settled

WHOLE = {"config.json": '{"model_type": "bert"}', "tokenizer.json": "{}", "model.safetensors": "1234"}


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content)
    return folder


def test_every_listed_model_has_its_facts_in_both_languages() -> None:
    models = catalogue()
    assert len({model.id for model in models}) == len(models) >= 12
    for model in models:
        assert model.parameters > 1_000_000
        assert model.download_mb > 10
        assert model.licence in ("apache-2.0", "mit")
        assert all(model.advice[language].strip() for language in ("en", "zh-CN"))
        assert model.id.count("/") == 1


def test_suggestions_fit_the_language_of_the_texts() -> None:
    assert suggested("zh")[0].id == "hfl/rbt3"
    assert all("en" in model.languages for model in suggested("en"))
    assert {model.id for model in suggested("other")} >= {"FacebookAI/xlm-roberta-base"}
    assert suggested("sw") == suggested("other")


def test_whole_folder_is_described(tmp_path: Path) -> None:
    found = check_folder(write(tmp_path / "m", WHOLE))
    assert (found.model_type, found.bytes) == ("bert", 4)


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, ["config.json", "tokenizer.json", "model.safetensors"]),
        ({"config.json": "{}", "tokenizer.json": "{}", "pytorch_model.bin": ""}, ["model.safetensors"]),
        ({"config.json": "{}", "model.safetensors": "", "merges.txt": ""}, ["tokenizer.json"]),
        ({**WHOLE, "config.json": "not json"}, ["config.json: model_type"]),
        ({**WHOLE, "config.json": "{}"}, ["config.json: model_type"]),
    ],
)
def test_folder_that_lacks_something_names_it(tmp_path: Path, files: dict[str, str], missing: list[str]) -> None:
    with pytest.raises(NotAModelFolder) as caught:
        check_folder(write(tmp_path / "m", files))
    assert caught.value.missing == missing


def test_folder_with_an_adapter_alone_says_so_and_one_beside_weights_is_no_matter(tmp_path: Path) -> None:
    adapter = {"adapter_config.json": "{}", "adapter_model.safetensors": "", "tokenizer.json": "{}"}
    with pytest.raises(FolderIsAdapter) as caught:
        check_folder(write(tmp_path / "adapter", adapter))
    assert caught.value.missing == ["config.json", "model.safetensors"]
    assert check_folder(write(tmp_path / "both", adapter | WHOLE)).model_type == "bert"


def test_folder_that_is_not_there_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(NotAModelFolder):
        check_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("base", "folder"),
    [("starter", False), ("hfl/rbt3", False), ("gpt2", False), ("/models/x", True), ("./x", True), ("~/x", True),
     ("a/b/c", True), ("C:\\models\\x", True)],
)  # fmt: skip
def test_folders_are_told_from_names_on_the_hub(base: str, folder: bool) -> None:
    assert names_a_folder(base) is folder


def test_folder_is_kept_by_its_full_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine", WHOLE)
    monkeypatch.chdir(tmp_path)
    assert settled("mine") == str(tmp_path / "mine")
    assert settled("hfl/rbt3") == "hfl/rbt3"
    assert settled("starter") == "starter"
