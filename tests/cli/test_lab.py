"""``lab`` in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from studio.i18n import size
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


def test_figures_of_a_run_stand_beside_what_the_lab_measured_ahead(studio: Studio, tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "reviews.csv")
    flags = ["--batch-size", "16", "--max-length", "24"]
    ahead = studio.document("lab", str(table), "--try", "chosen", "--try-steps", "2", *flags)
    assert studio.run("train", str(table), *flags).returncode == 0
    shown = studio.run("show", "last").stdout
    assert shown.count("(estimated before: ") == 2, shown
    assert not {"False", "True", "length_grouped", "adamw_fused", "[]"} & set(shown.split()), "values have words"
    memory = size(ahead["tried"][0]["figures"]["peak_bytes"])
    assert f"(estimated before: {memory})" in " ".join(shown.split())
    assert studio.run("train", str(table), "--batch-size", "8").returncode == 0
    assert "estimated before" not in studio.run("show", "last").stdout
