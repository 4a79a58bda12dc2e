"""The commands stay light: no torch, no Gradio, no parser of tables in their process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.conftest import Studio, Trained


@pytest.mark.parametrize("command", [("runs",), ("show", "last"), ("train", "--help")])
def test_a_command_imports_nothing_heavy(trained: Trained, command: tuple[str, ...]) -> None:
    _shown, heavy = trained.studio.probe(*command)
    assert heavy == "nothing heavy"


def test_a_reader_that_goes_away_is_no_error(studio: Studio) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = studio.start("runs", "--json", stdout=writing)
    finally:
        os.close(writing)
    _out, err = process.communicate(timeout=60)
    assert err == ""


def test_the_home_may_stand_before_or_after_the_command(studio: Studio, tmp_path: Path) -> None:
    for arguments in (("--home", str(tmp_path / "one"), "runs"), ("runs", "--home", str(tmp_path / "two"))):
        assert studio.document(*arguments) == []
    assert (tmp_path / "one" / "runs").is_dir()
    assert (tmp_path / "two" / "runs").is_dir()
    assert not studio.home.exists()
