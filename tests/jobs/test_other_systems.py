"""Without what only Unix has: a run goes its whole way as it would on Windows, whose locks and limits stand in here.

The real Windows is not at hand. In every process a ``sitecustomize`` takes ``fcntl`` and ``resource`` away from the
project's modules, and gives them an ``msvcrt`` that locks as it does (bytes, not inherited) and flags that say nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from backend.settings import Home

PROJECT = Path(__file__).resolve().parents[2]
SAMPLE = PROJECT / "assets" / "samples" / "support_tickets_en.csv"
WITHOUT = """
import builtins, fcntl, os, signal, struct, subprocess, sys, types

anyhow = builtins.__import__

def without(name, globals=None, *rest, **named):
    package = str((globals or {}).get("__package__", "")).partition(".")[0]
    if name in ("fcntl", "resource") and package in ("backend", "studio"):
        raise ImportError(name)
    return anyhow(name, globals, *rest, **named)

def locking(descriptor, mode, count):
    kind = {2: fcntl.F_WRLCK, 0: fcntl.F_UNLCK}[mode]
    at = os.lseek(descriptor, 0, os.SEEK_CUR)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, at, count, 0))

sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, LK_UNLCK=0, locking=locking)
builtins.__import__ = without
subprocess.CREATE_NEW_PROCESS_GROUP = subprocess.CREATE_NO_WINDOW = 0
del os.killpg, os.waitid, signal.setitimer, signal.SIGALRM
"""
LOCKS = """
import os, sys
from backend.jobs.platform import POSIX, lock_file, memory_limit, take_over
assert not POSIX and memory_limit() is None
one, other = (os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) for _ in range(2))
assert lock_file(one) and not lock_file(other) and not lock_file(other, shared=True)
heir = os.open(sys.argv[1], os.O_RDWR)
take_over(heir)
os.close(one)
assert not lock_file(other), "it was handed over"
os.close(heir)
assert lock_file(other, wait=True)
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes on such a system."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(WITHOUT, "utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STUDIO_")}
    return {**kept, "PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT)]), "STUDIO_LANG": "en"}


def python(bare: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], env=bare, capture_output=True, text=True, timeout=200)


def test_locks_are_held_by_one_until_it_lets_go(bare: dict[str, str], tmp_path: Path) -> None:
    done = python(bare, "-c", LOCKS, str(tmp_path / "lock"))
    assert done.returncode == 0, done.stderr


def test_every_module_can_be_imported(bare: dict[str, str]) -> None:
    found = [path for package in ("backend", "studio") for path in sorted((PROJECT / package).rglob("*.py"))]
    names = [".".join(path.relative_to(PROJECT).with_suffix("").parts) for path in found]
    names = [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]
    assert len(names) > 150
    done = python(bare, "-c", f"import importlib\nfor name in {names!r}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_run_goes_its_whole_way_and_is_asked(bare: dict[str, str], tmp_path: Path) -> None:
    home = ["--home", str(tmp_path / "home")]
    done = python(bare, "-m", "studio", "train", str(SAMPLE), *home, "--max-steps", "3", "--json")
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    run = RunStore(Home(tmp_path / "home")).get(json.loads(done.stdout)["run"])
    assert run.status().state is JobState.COMPLETED
    assert not run.is_alive
    asked = python(bare, "-m", "studio", "predict", run.id, "The card was declined twice", *home, "--json")
    assert asked.returncode == 0, asked.stderr[-3000:]
    assert json.loads(asked.stdout)[0]["label"] in (read_report(run) or {})["labels"]
