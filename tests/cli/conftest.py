"""Real processes of ``python -m studio``, a small table, and one finished run that the tests share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.store import RunStore
from backend.settings import Home
from tests.processes import until

PROJECT = Path(__file__).resolve().parents[2]
GOOD = ("很好吃", "味道不错", "送得很快", "分量十足", "强烈推荐", "包装精美")
BAD = ("太咸了", "非常难吃", "送得太慢", "已经凉了", "不会再买", "缺斤少两")
TIMEOUT_S = 240.0
PROBE = """
import sys
from studio.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code or 0
heavy = {"torch", "gradio", "transformers", "pandas", "sklearn", "datasets", "pyarrow"} & set(sys.modules)
print(" ".join(sorted(heavy)) or "nothing heavy", file=sys.stderr)
sys.exit(status)
"""
SETTINGS_FILE = """
name: 外卖评论
data: {source: 外卖.csv, label_names: {0: 差评, 1: 好评}}
training: {epochs: 5, max_length: 32, batch_size: 16}
"""


def write_reviews(path: Path, rows: int = 160) -> Path:
    """A table ``label,review`` in which the words tell the label: 1 is praise, 0 is blame."""
    lines = ["label,review"]
    for number in range(rows):
        words = GOOD if number % 2 else BAD
        first, second = words[number // 2 % 6], words[number // 12 % 6]
        lines.append(f"{number % 2},{first}，{second}，第{number}单")
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@dataclass
class Studio:
    """The commands of one home, each call a process of its own."""

    home: Path

    def start(self, *arguments: str, program: tuple[str, ...] = ("-m", "studio"), **more: Any) -> subprocess.Popen[str]:
        """A command left running."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith(("STUDIO_", "LC_", "LANG", "HF_TOKEN"))}
        # One thread each: on a busy machine the waiting threads of several processes stand in each other's way.
        environ = {**outside, "STUDIO_HOME": str(self.home), "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *program, *arguments]
        pipe = subprocess.PIPE
        streams = {"stdin": pipe, "stdout": pipe, "stderr": pipe, "encoding": "utf-8", **more}
        return subprocess.Popen(command, cwd=PROJECT, env=environ, **streams)

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(stdin, timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def document(self, *arguments: str, status: int = 0, stdin: str = "") -> Any:
        """What the command prints with ``--json``; fails unless that is all of standard output."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == status, done.stderr + done.stdout
        return json.loads(done.stdout)

    def probe(self, *arguments: str) -> tuple[str, str]:
        """Standard output of a command that succeeds, and which heavy modules its process imported."""
        process = self.start(*arguments, program=("-c", PROBE))
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, err
        return out, err.splitlines()[-1]

    @property
    def store(self) -> RunStore:
        """The runs of the home, seen from this process."""
        return RunStore(Home(self.home).prepare())

    def newest_run(self) -> JobDirectory:
        """The run that was started last, once it is there."""
        until(self.store.summaries)
        return self.store.get(self.store.summaries()[0].id)


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    """The commands of a fresh home."""
    return Studio(tmp_path / "home")


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A small table of reviews."""
    return write_reviews(tmp_path / "reviews.csv")


@dataclass(frozen=True)
class Trained:
    """A finished run made by ``train run.yaml --epochs 3 --json``."""

    studio: Studio
    document: dict[str, Any]
    stdout: str
    stderr: str
    data: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.document["run"])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One finished run for all tests that only look at it."""
    folder = tmp_path_factory.mktemp("cli")
    studio = Studio(folder / "home")
    data = write_reviews(folder / "外卖.csv")
    settings = folder / "run.yaml"
    settings.write_text(SETTINGS_FILE, "utf-8")
    done = studio.run("train", str(settings), "--epochs", "3", "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return Trained(studio, json.loads(done.stdout), done.stdout, done.stderr, data)
