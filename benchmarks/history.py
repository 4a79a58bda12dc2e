"""A long past: the list of many runs, and a curve of many points, as ratios to reading the plain files once.

    python -m benchmarks.history [--runs N] [--points N] [--json]

Makes a home with that many ended runs, the newest of which has that many points of a loss curve, and starts a studio on
it. *list* is the answer of ``/api/runs``, *curve* that of the run's events as its page asks for them, each the first
time and again; *read* is reading all bytes of the same files by a plain loop.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend.jobs.directory import JobDirectory
from backend.jobs.events import EventLog, JobCompleted, LossLogged, PhaseStarted
from backend.jobs.files import write_json
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import StudioProcess


def main() -> None:
    """Make the home, ask, and print."""
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").prepare()
        for number in range(options.runs):
            run = make_run(home, number, options.points if number == options.runs - 1 else 100)
        measured = {
            "read_runs_s": seconds(lambda: read_all(home.runs)),
            "read_curve_s": seconds(lambda: read_all(run.path)),
        }
        studio = StudioProcess(home.path)
        try:
            with httpx.Client(base_url=studio.url, timeout=120) as client:
                for asked, path in (("curve", f"/api/runs/{run.id}/events"), ("list", "/api/runs")):
                    for time_of in ("first", "again"):
                        measured[f"{asked}_{time_of}_s"] = seconds(partial(ask, client, path))
        finally:
            studio.close()
    measured["list_ratio"] = measured["list_first_s"] / measured["read_runs_s"]
    measured["curve_ratio"] = measured["curve_first_s"] / measured["read_curve_s"]
    for name, value in measured.items():
        print(f"{name:16s} {value:.3f}")
    if options.json:
        print(json.dumps({name: round(value, 4) for name, value in measured.items()}))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="A long list of runs and a long curve")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def make_run(home: Home, number: int, points: int) -> JobDirectory:
    """An ended run with the files that every run leaves."""
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=RunSpec(name=f"run {number}").model_dump())
    run.set_name(f"run {number}")
    log = EventLog(run.events_path)
    log.write(PhaseStarted("training"))
    for step in range(points):
        log.write(LossLogged(step, step / points, 1.0 / (1 + step % 1000), 1e-3, 0.5))
    metrics = {"f1": number % 100 / 100, "accuracy": 0.5}
    log.write(JobCompleted({"metrics": metrics}))
    log.close()
    write_json(run.path / "report.json", {"task": "binary", "metrics": metrics})
    end: dict[str, Any] = {"state": "completed", "exit_code": 0, "signal": None, "error": None, "kept": None}
    run.write_exit({**end, "ended": time.time()})
    return run


def read_all(folder: Path) -> None:
    """Every byte of every file."""
    for path in folder.rglob("*"):
        if path.is_file():
            path.read_bytes()


def ask(client: httpx.Client, path: str) -> None:
    """One answer, whole."""
    client.get(path).raise_for_status()


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
