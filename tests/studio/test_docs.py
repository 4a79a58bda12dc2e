"""The documentation is checked against the code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from studio.cli import app
from studio.docs import file_of, settings_page
from studio.i18n import LANGUAGES, Language, words

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_table_of_settings_is_current(language: Language) -> None:
    t = words(language)
    assert file_of(t).read_text("utf-8") == settings_page(t), "run: python -m studio.docs"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_names_every_command_and_its_pictures_exist(name: str) -> None:
    text = (PROJECT / name).read_text("utf-8")
    for command in app.registered_commands:
        assert command.callback is not None
        if command.callback.__name__ != "serve":  # the same as no command
            assert f"python -m studio {command.callback.__name__}" in text
    for line in text.splitlines():
        for part in line.split("](")[1:]:
            target = part.partition(")")[0]
            if not target.startswith("http"):
                assert (PROJECT / target).exists(), target


def test_the_repository_is_a_gradio_space() -> None:
    text = (PROJECT / "README.md").read_text("utf-8")
    front = yaml.safe_load(text.split("---")[1])
    assert front["sdk"] == "gradio"
    assert (PROJECT / front["app_file"]).exists()
    required = (PROJECT / "requirements.txt").read_text("utf-8")
    assert f"gradio>={front['sdk_version'].rpartition('.')[0]}" in required
