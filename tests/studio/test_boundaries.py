"""The boundaries of the house: what the pages' process never does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FORBIDDEN = ("torch", "transformers", "datasets", "sklearn", "evaluate", "backend.data.reading", "backend.training")
RESIDENT_LIMIT_BYTES = 400e6


def run_python(program: str) -> str:
    """What a fresh interpreter prints for the program."""
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_building_the_app_imports_no_torch_and_stays_small(tmp_path: Path) -> None:
    program = f"""
import pathlib, sys, psutil
from backend.settings import Home
from studio.server import build_server
build_server(Home(pathlib.Path({str(tmp_path)!r})))
print([name for name in {FORBIDDEN!r} if name in sys.modules])
print(psutil.Process().memory_info().rss)
"""
    loaded, resident = run_python(program).splitlines()[-2:]
    assert loaded == "[]"
    assert int(resident) < RESIDENT_LIMIT_BYTES


def test_importing_the_app_does_nothing(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, sys
sys.path.insert(0, os.getcwd())
os.chdir({str(tmp_path)!r})
before = dict(os.environ)
import studio.app, studio.build, studio.server, studio.cli, backend.jobs.store
changed = {{k for k in os.environ if os.environ[k] != before.get(k)}}
print(sorted(changed), list(pathlib.Path('.').iterdir()))
"""
    # matplotlib and tqdm may be told their defaults by gradio; the studio's own names are never set on import
    output = run_python(program).strip()
    assert "GRADIO_ANALYTICS_ENABLED" not in output
    assert output.endswith("[]")


def test_the_root_app_is_a_space_entry_of_three_lines() -> None:
    lines = (PROJECT / "app.py").read_text("utf-8").splitlines()
    assert lines == ["from studio.app import main", "", "main()"]


@pytest.mark.parametrize(
    "module", ["data.importer", "data.describer", "data.hub_importer", "inference.table_predictor", "lab.laboratory"]
)
def test_jobs_on_tables_load_no_scikit_learn(module: str) -> None:
    """Two thirds of the time that an import took before it read anything."""
    program = f"import sys, backend.{module}; print(*[name for name in ('sklearn', 'scipy') if name in sys.modules])"
    assert run_python(program).strip() == ""


def test_the_process_that_answers_texts_loads_no_scikit_learn() -> None:
    program = "import sys, backend.inference.answering; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    assert run_python(program).split() == ["True", "False"]


def test_a_run_without_an_adapter_loads_neither_peft_nor_bitsandbytes() -> None:
    program = """
import sys
from backend.specs import build_spec
from backend.environment import prepare_environment
data = {"source": "s", "dataset": "d", "text_column": "text", "label_column": "label"}
asked = {"data": data, "model": {"base": "./base"}, "adapting": {"adapter": "none"}}
prepare_environment(build_spec(asked))
import backend.training.finishing, backend.training.setup, transformers.trainer
print(*[name for name in ("peft", "bitsandbytes") if sys.modules.get(name)])
"""
    assert run_python(program).strip() == ""
