"""The generated Space, started as it is and asked as its visitors ask."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from backend.jobs.directory import JobDirectory
from backend.settings import Home
from backend.sharing.package import write_files
from backend.sharing.space import space_files
from tests.processes import free_port
from tests.sharing.conftest import LABELS, SECRET_FOLDER, make_run

START_TIMEOUT_S = 90.0


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """``python app.py`` in the folder; gives its address once it answers."""
    port = free_port()
    environ = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1",
    }
    log = folder.parent / "space.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "app.py"], cwd=folder, env=environ, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while b"Running on local URL" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_space_starts_as_it_is_and_answers_with_every_label(run: JobDirectory, tmp_path: Path):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    folder = tmp_path / "space"
    write_files(space_files(run), folder)
    with started(folder) as address:
        client = Client(address, verbose=False)
        answer = client.predict("饭菜有些咸！", api_name="/classify")
        scores = {entry["label"]: entry["confidence"] for entry in answer["confidences"]}
        long = client.predict("good food " * 500, api_name="/classify")
        with pytest.raises(AppError, match="Type a text first"):
            client.predict("  ", api_name="/classify")
    assert set(scores) == set(LABELS)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-4)
    assert answer["label"] == max(scores, key=lambda label: scores[label])
    assert {entry["label"] for entry in long["confidences"]} == set(LABELS)


def test_space_front_matter_is_what_the_hub_takes(run: JobDirectory):
    files = {file.name: file.content for file in space_files(run, licence="mit", models=["tester/waimai"])}
    readme = files["README.md"]
    assert isinstance(readme, bytes)
    front = yaml.safe_load(readme.decode().split("---\n")[1])
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == version("gradio")
    assert front["app_file"] == "app.py"
    assert front["license"] == "mit"
    assert front["models"] == ["tester/waimai"]
    assert re.fullmatch(r"3\.\d+", front["python_version"])
    assert {front["colorFrom"], front["colorTo"]} <= {
        "red",
        "yellow",
        "green",
        "blue",
        "indigo",
        "purple",
        "pink",
        "gray",
    }
    assert len(front["short_description"]) <= 60


def test_requirements_allow_what_is_installed_and_nothing_of_the_next_major(run: JobDirectory):
    content = next(file.content for file in space_files(run) if file.name == "requirements.txt")
    assert isinstance(content, bytes)
    wanted = [Requirement(line) for line in content.decode().splitlines()]
    assert {requirement.name for requirement in wanted} == {"gradio", "transformers", "torch", "safetensors"}
    for requirement in wanted:
        assert requirement.specifier.contains(version(requirement.name).partition("+")[0])
        major = int(version(requirement.name).partition(".")[0])
        assert not requirement.specifier.contains(f"{major + 1}.0.0")


@pytest.mark.parametrize("name", ['"; import os #', "'''\n", "\\", "${title}", "外卖：评论 🍜"])
def test_any_name_is_only_a_string_in_the_app(home: Home, tiny_model: Path, name: str):
    run = make_run(home, tiny_model, name=name)
    source = next(file.content for file in space_files(run) if file.name == "app.py")
    assert isinstance(source, bytes)
    titles = [
        node.value for node in ast.parse(source).body if isinstance(node, ast.Assign) and node.targets[0].id == "TITLE"
    ]
    assert [ast.literal_eval(title) for title in titles] == [run.name]


def test_space_tells_no_path_and_holds_no_pickle(home: Home, tiny_model: Path):
    run = make_run(home, tiny_model, base=f"{SECRET_FOLDER}/my-bert")
    files = space_files(run)
    assert not [file.name for file in files if file.name.endswith((".bin", ".pt"))]
    texts = b"".join(file.content for file in files if isinstance(file.content, bytes)).decode()
    assert SECRET_FOLDER not in texts
    assert str(home.path) not in texts


def test_a_space_does_to_texts_what_training_did(run: JobDirectory, tmp_path: Path):
    plain = {file.name: file.content for file in space_files(run)}
    assert "text_cleaning.py" not in plain
    (run.path / "model" / "preparing.json").write_text(
        '{"steps": [{"kind": "strip_html", "on": true}], "template": ""}'
    )
    folder = tmp_path / "space"
    write_files(space_files(run), folder)
    program = (
        "import transformers\n"
        "class Classifier:\n"
        "    model = tokenizer = type('M', (), {'config': type('C', (), {'id2label': {}}), 'model_max_length': 9})\n"
        "    def __call__(self, text, **more): print(text); return []\n"
        "transformers.pipeline = lambda *a, **k: Classifier()\n"
        "import app\n"
        "app.classify('<p>good &amp; hot</p>')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["good & hot"], done.stderr


def test_a_space_asks_for_the_columns_that_texts_were_composed_of(run: JobDirectory, tmp_path: Path):
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    recipe = {"steps": [{"kind": "strip_html", "on": True}], "template": "{标题}: {body}"}
    (run.path / "model" / "preparing.json").write_text(json.dumps(recipe))
    folder = tmp_path / "space"
    write_files(space_files(run), folder)
    with started(folder) as address:
        client = Client(address, verbose=False)
        (fields,) = [
            endpoint["parameters"] for endpoint in client.view_api(return_format="dict")["named_endpoints"].values()
        ]
        assert [field["label"] for field in fields] == ["标题", "body"]
        answers = [client.predict(*cells, api_name="/classify") for cells in (("很好", "<b>吃</b>"), ("很好", "吃"))]
        with pytest.raises(AppError, match="Type a text first"):
            client.predict(" ", "", api_name="/classify")
    assert answers[0] == answers[1]
    assert {entry["label"] for entry in answers[0]["confidences"]} == set(LABELS)
