"""``lab`` in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from studio.terminal import REFUSED
from tests.cli.conftest import Studio, write_reviews


def test_lab_prints_figures_and_flags(studio: Studio, tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "reviews.csv")
    flags = ["--try", "plain,length_grouped", "--try-steps", "2", "--batch-size", "16"]
    done = studio.run("lab", str(table), *flags)
    assert done.returncode == 0, done.stderr
    assert "no optimization" in done.stdout
    assert "--padding longest" in done.stdout
    document = json.loads(studio.run("lab", str(table), *flags, "--json").stdout)
    assert [each["code"] for each in document["tried"]] == ["plain", "length_grouped"]
    assert all(each["figures"]["examples_per_second"] > 0 for each in document["tried"])
    assert studio.run("lab", str(table), "--try", "turbo").returncode == REFUSED
