"""The flags of ``train`` are the schema: each setting has its flag, its help, and reaches the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from safetensors.torch import save_file

from backend.jobs.files import read_json
from backend.specs import Setting, build_spec, settings
from studio.cli import app
from studio.cli_flags import apply_flags, read_pairs
from tests.cli.conftest import Studio
from tests.tiny_models import make_tiny

SETTINGS = list(settings())


def test_train_has_the_flag_of_every_setting_and_no_other_setting_flags() -> None:
    train: Any = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    own = {"--home", "--json", "--lang"}
    flags = {option for p in train.params if p.param_type_name == "option" for option in p.opts}
    assert flags - own == {setting.flag for setting in SETTINGS}


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_help_names_every_flag_with_its_range_in_the_language_of_the_terminal(studio: Studio, language: str) -> None:
    done = studio.run("train", "--help", "--lang", language)
    assert done.returncode == 0
    assert all(setting.flag in done.stdout for setting in SETTINGS)
    assert ("0.01 to 0.5" if language == "en" else "0.01 到 0.5") in " ".join(done.stdout.split())
    assert ("用法" in done.stdout) == (language == "zh-CN")
    assert "…" not in done.stdout


ELSEWHERE = {
    "reading.sheet": "Sheet 2",
    "data.configuration": "plain",
    "data.revision": "main",
    "data.splits": ["train", "test"],
    "data.label_columns": ["a", "b"],
    "compute.processes": 4,
    "compute.machines": 2,
    "compute.machine": 1,
    "compute.rendezvous": "10.0.0.5:29500",
}
"""Settings of workbooks, of the Hub, of tables without a label column, and of several machines."""
IN_SHARDS = {"model.base": "bert-base-uncased", "compute.processes": 4, "compute.fsdp": True}


def test_every_setting_given_by_flag_reaches_the_spec_of_the_run(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    # There are weights of no layer: the run fails before it learns, with everything in its spec.
    base = make_tiny(tmp_path / "base", "bert", ["an ordinary review"])
    save_file({"other": torch.zeros(1)}, base / "model.safetensors")
    validation, test = (tmp_path / name for name in ("validation.csv", "test.csv"))
    for file in (validation, test):
        file.write_bytes(reviews.read_bytes())
    fixed = {
        "name": "全部设置",
        "reading.encoding": "utf-8",
        "reading.delimiter": ",",
        "reading.header": "yes",
        "data.source": str(reviews),
        "data.validation_source": str(validation),
        "data.test_source": str(test),
        "data.text_column": "review",
        "data.template": "{review}!",
        "data.label_column": "label",
        "data.label_separator": "|",
        "prepare.steps": ["drop_blank"],
        "sample.rows": 200,
        "sample.cap": 100,
        "split.method": "stratified",
        "split.column": "review",
        "split.folds": 3,
        "split.fold": 2,
        "model.base": str(base),
        "model.revision": "v2",
        # Some of the options exclude each other.
        "training.label_weights": {"好评": 1.5},
        "training.trackers": ["tensorboard"],
        "training.layer_decay": 1.0,
        "training.label_smoothing": 0.0,
        "training.metric": "mcc",
        "speed.padding": "dynamic",
        "adapting.freeze": "none",
        "adapting.lora_targets": ["query", "value"],
    }
    asked = [s for s in SETTINGS if s.path not in ELSEWHERE and s.path != "compute.fsdp"]
    expected: dict[str, Any] = {s.path: fixed[s.path] if s.path in fixed else _another_value(s) for s in asked}
    arguments = [part for s in asked for part in _as_arguments(s, expected[s.path])]
    failed = studio.document("train", *arguments, status=10)
    assert failed["state"] == "failed"
    assert failed["error"]["code"].startswith("model.")
    spec = read_json(studio.newest_run().path / "spec.json")
    found = {s.path: _at(spec, s.path) for s in asked}
    assert [step["kind"] for step in found.pop("prepare.steps")] == expected.pop("prepare.steps")
    assert found == expected


@pytest.mark.parametrize("asked", [ELSEWHERE, IN_SHARDS], ids=["elsewhere", "in_shards"])
def test_settings_of_other_kinds_of_runs_reach_the_spec(asked: dict[str, Any]) -> None:
    given = {path.replace(".", "__"): value for path, value in asked.items()}
    spec = build_spec(apply_flags({}, given)).model_dump(mode="json")
    assert {path: _at(spec, path) for path in asked} == asked


def _another_value(setting: Setting) -> Any:
    """A value that holds and is not the default."""
    if setting.kind == "choice":
        return next(choice for choice in reversed(setting.choices) if choice != setting.default)
    if setting.kind == "mapping":
        return {"0": "差评", "1": "好评"}
    if setting.kind == "switch":
        return not setting.default
    assert setting.least is not None
    assert setting.most is not None
    return int(setting.least) + 7 if setting.kind == "integer" else round((setting.least + setting.most) / 3, 4)


def _as_arguments(setting: Setting, value: Any) -> list[str]:
    if setting.kind == "switch":
        return [setting.flag if value else f"--no-{setting.flag.removeprefix('--')}"]
    return [setting.flag, _as_text(value)]


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in value.items())
    return ",".join(value) if isinstance(value, list) else str(value)


def _at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("0=bad,1=good", {"0": "bad", "1": "good"}),
        ("0 = 差评， 1 = 好评", {"0": "差评", "1": "好评"}),
        ("差评＝1，好评=2.5", {"差评": "1", "好评": "2.5"}),
        ('{"a,b": "x=y"}', {"a,b": "x=y"}),
        ("nonsense", "nonsense"),
        ("0=", "0="),
        ("{broken", "{broken"),
    ],
)
def test_label_names_are_pairs_or_an_object_and_anything_else_is_left_for_the_schema(text: str, pairs: Any) -> None:
    assert read_pairs(text) == pairs


def test_a_flag_at_its_default_overrides_what_stood_before() -> None:
    document = apply_flags({"split": {"seed": 7, "test_share": 0.2}}, {"split__seed": "42", "split__test_share": None})
    assert document == {"split": {"seed": "42", "test_share": 0.2}}
