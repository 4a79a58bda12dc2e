"""The flags of ``train`` are the schema: each setting has its flag, its help, and reaches the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from backend.jobs.files import read_json
from backend.specs import Setting, settings
from studio.cli import app
from studio.cli_flags import apply_flags, read_pairs
from tests.cli.conftest import Studio

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


def test_every_setting_given_by_flag_reaches_the_spec_of_the_run(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    # The model folder holds no model: the run fails at once, with everything in its spec.
    no_model = tmp_path / "no_model"
    no_model.mkdir()
    fixed = {
        "name": "全部设置",
        "data.source": str(reviews),
        "data.text_column": "review",
        "data.label_column": "label",
        "data.label_separator": "|",
        "data.label_columns": ["a", "b"],
        "data.template": "{review}!",
        "prepare.steps": ["drop_duplicates"],
        "model.base": str(no_model),
        "model.revision": "v2",
    }
    expected: dict[str, Any] = {s.path: fixed[s.path] if s.path in fixed else _another_value(s) for s in SETTINGS}
    arguments = [part for s in SETTINGS for part in (s.flag, _as_text(expected[s.path]))]
    failed = studio.document("train", *arguments, status=1)
    assert failed["state"] == "failed"
    assert failed["error"]["code"] == "model.not_a_folder"
    spec = read_json(studio.newest_run().path / "spec.json")
    assert {s.path: _at(spec, s.path) for s in SETTINGS} == expected


def _another_value(setting: Setting) -> Any:
    """A value that holds and is not the default."""
    if setting.kind == "choice":
        return next(choice for choice in reversed(setting.choices) if choice != setting.default)
    if setting.kind == "mapping":
        return {"0": "差评", "1": "好评"}
    assert setting.least is not None
    assert setting.most is not None
    return int(setting.least) + 7 if setting.kind == "integer" else round((setting.least + setting.most) / 3, 4)


def _as_text(value: Any) -> str:
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


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
