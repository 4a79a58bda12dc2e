"""The curated list, and what makes a folder a model's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from backend.errors import FolderIsAdapter, ModelNotNamed, ModelUnknown, NotAModelFolder, WeightsDamaged
from backend.models.catalogue import catalogue, suggested
from backend.models.folder import check_base, check_folder, names_a_folder, settled

WEIGHTS = save({"encoder.layer.0.weight": np.zeros((2, 3), dtype=np.float32)})
Files = dict[str, str | bytes]
WHOLE: Files = {"config.json": '{"model_type": "bert"}', "tokenizer.json": "{}", "model.safetensors": WEIGHTS}
INDEX = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}})
IN_PARTS: Files = {
    **{name: content for name, content in WHOLE.items() if name != "model.safetensors"},
    "model.safetensors.index.json": INDEX,
    "model-1.safetensors": WEIGHTS,
    "model-2.safetensors": WEIGHTS,
}


def write(folder: Path, files: Files) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
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
    assert (found.model_type, found.bytes, found.encoder_alone) == ("bert", len(WEIGHTS), False)
    assert check_folder(write(tmp_path / "parts", IN_PARTS)).bytes == 2 * len(WEIGHTS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", WEIGHTS[:-1]),
        ("model.safetensors", b""),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1"),
        ("model-2.safetensors", WEIGHTS[:20]),
    ],
)
def test_weights_that_are_not_there_to_their_end_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    files = WHOLE if name == "model.safetensors" else IN_PARTS
    with pytest.raises(WeightsDamaged) as caught:
        check_folder(write(tmp_path / "m", {**files, name: content}))
    assert caught.value.file == name


def test_encoder_of_an_encoder_decoder_that_is_alone_is_told(tmp_path: Path) -> None:
    config: Files = {"config.json": '{"model_type": "t5"}'}
    assert check_folder(write(tmp_path / "m", WHOLE | config)).encoder_alone
    decoder = {"model.safetensors": save({"decoder.final_layer_norm.weight": np.zeros(2, dtype=np.float32)})}
    assert not check_folder(write(tmp_path / "m", decoder)).encoder_alone


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({**IN_PARTS, "model.safetensors.index.json": "{}"}, ["model.safetensors.index.json: weight_map"]),
        ({name: each for name, each in IN_PARTS.items() if "-2" not in name}, ["model-2.safetensors"]),
        ({}, ["config.json", "tokenizer.json", "model.safetensors"]),
        ({"config.json": "{}", "tokenizer.json": "{}", "pytorch_model.bin": ""}, ["model.safetensors"]),
        ({"config.json": "{}", "model.safetensors": "", "merges.txt": ""}, ["tokenizer.json"]),
        ({**WHOLE, "config.json": "not json"}, ["config.json: model_type"]),
        ({**WHOLE, "config.json": "{}"}, ["config.json: model_type"]),
    ],
)
def test_folder_that_lacks_something_names_it(tmp_path: Path, files: Files, missing: list[str]) -> None:
    with pytest.raises(NotAModelFolder) as caught:
        check_folder(write(tmp_path / "m", files))
    assert caught.value.missing == missing


def test_folder_with_an_adapter_alone_says_so_and_one_beside_weights_is_no_matter(tmp_path: Path) -> None:
    adapter: Files = {"adapter_config.json": "{}", "adapter_model.safetensors": "", "tokenizer.json": "{}"}
    with pytest.raises(FolderIsAdapter) as caught:
        check_folder(write(tmp_path / "adapter", adapter))
    assert caught.value.missing == ["config.json", "model.safetensors"]
    assert check_folder(write(tmp_path / "both", adapter | WHOLE)).model_type == "bert"


def test_what_can_be_no_model_is_said_without_asking_the_hub() -> None:
    for base in ("starter", "gpt2", "hfl/rbt3", "microsoft/deberta-v3-base", "01-ai/Yi-6B", "a_b/c.d-e"):
        check_base(base)
    for base in ("中文 模型", "a b", "owner/", "/", "-x"):
        with pytest.raises((ModelUnknown, NotAModelFolder)):
            check_base(base)
    for base in ("", "  "):
        with pytest.raises(ModelNotNamed):
            check_base(base)


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
