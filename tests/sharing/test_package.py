"""The zip of a run: what is in it, what is not, and that it can be used."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from backend.errors import RunNotFinished
from backend.jobs.directory import JobDirectory
from backend.settings import Home
from backend.sharing.package import package_name, stream_zip
from tests.sharing.conftest import LABELS, make_run

LIGHT_MODULES = "backend.sharing.package, backend.sharing.publishing, backend.sharing.tokens"


def zip_of(run: JobDirectory) -> bytes:
    return b"".join(stream_zip(run))


def test_zip_holds_one_folder_with_the_model_and_its_card_and_no_pickle(run: JobDirectory):
    before = sorted(path for path in run.path.parent.rglob("*"))
    with zipfile.ZipFile(io.BytesIO(zip_of(run))) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        for name in names - {"waimai-test/README.md"}:
            assert archive.read(name) == (run.path / "model" / name.partition("/")[2]).read_bytes()
    expected = {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert names == {f"waimai-test/{name}" for name in expected}
    assert sorted(path for path in run.path.parent.rglob("*")) == before


def test_unzipped_model_answers_in_a_plain_pipeline(run: JobDirectory, tmp_path: Path):
    zipfile.ZipFile(io.BytesIO(zip_of(run))).extractall(tmp_path)
    script = (
        "import json; from transformers import pipeline\n"
        "answers = pipeline('text-classification', model='waimai-test')(['饭菜有些咸！', 'good food'], top_k=None)\n"
        "print(json.dumps([[answer['label'] for answer in row] for row in answers]))"
    )
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [sorted(row) for row in json.loads(done.stdout)] == [sorted(LABELS)] * 2


def test_zip_is_the_same_bytes_each_time_and_comes_in_pieces(run: JobDirectory):
    first = list(stream_zip(run))
    os.utime(run.path / "model" / "config.json", (1, 1))
    assert b"".join(first) == zip_of(run)
    assert max(len(piece) for piece in first) < 2 << 20


def test_run_without_a_model_is_refused_before_the_first_piece(run: JobDirectory):
    (run.path / "model" / "config.json").unlink()
    with pytest.raises(RunNotFinished):
        stream_zip(run)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("waimai_10k · rbt3", "waimai_10k-rbt3"),
        ("外卖 waimai · test", "waimai-test"),
        ("Crème brûlée", "Creme-brulee"),
        ("../../etc/passwd", "etc-passwd"),
        ("a--b..c", "a-b-c"),
        ("name.git", "name"),
        ("x" * 200, "x" * 60),
    ],
)
def test_name_is_one_that_folders_and_the_hub_take(run: JobDirectory, name: str, expected: str):
    run.set_name(name)
    assert package_name(run) == expected


@pytest.mark.parametrize("name", ["外卖评论", "2024", "", "___", "…"])
def test_name_without_letters_falls_back_to_one_of_the_run(run: JobDirectory, name: str):
    run.set_name(name)
    assert package_name(run) == f"text-classifier-{run.id[-6:]}"


def test_package_names_pass_the_rules_of_the_hub(home: Home, run: JobDirectory):
    from huggingface_hub.utils import validate_repo_id

    from backend.sharing.publishing import check_repository

    for name in ("外卖评论", "waimai_10k · rbt3", "-.-a-.-", "a" * 59 + ".b", "a\u200bb", "weird | name * <b>.git"):
        run.set_name(name)
        validate_repo_id(package_name(run))
        check_repository(package_name(run))
        check_repository(f"{package_name(run)}-demo")


def test_screens_can_import_sharing_without_torch_or_the_hub_client():
    script = (
        f"import sys; import {LIGHT_MODULES}\n"
        "print([m for m in ('torch', 'transformers', 'huggingface_hub', 'gradio', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_stopped_run_is_packed_too(home: Home, tiny_model: Path):
    kept = {"step": 4, "epoch": 0.5, "metrics": {"accuracy": 0.8, "f1": 0.7}}
    run = make_run(home, tiny_model, state="stopped", metrics=None, per_label=[], confusion=None, kept=kept)
    with zipfile.ZipFile(io.BytesIO(zip_of(run))) as archive:
        assert "stopped" in archive.read("waimai-test/README.md").decode()
