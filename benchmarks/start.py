"""How quickly the studio is there: first page, memory of its process, and the wait from Train to the first loss.

``python benchmarks/start.py [TABLE] [--repeats 5] [--json]``: the start is given as a ratio to ``import gradio``, and
the first loss as one to ``from transformers import Trainer``, with which every script begins, in the same run, since
machines differ; the table is the made-up Chinese sample unless another is given. A run's processes are forked from one
that has loaded the libraries, as in a studio that is open, and ordinary ones, as without it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, start_import, wait
from backend.jobs.events import LossLogged
from backend.jobs.launch import fork_server
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import StudioProcess

SAMPLE = PROJECT / "assets" / "samples" / "takeaway_reviews_zh.csv"
POLL_S = 0.02


def seconds_of(program: str) -> float:
    """A fresh interpreter that only does this."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return time.monotonic() - started


def seconds_to_first_page(home: Path) -> tuple[float, int]:
    """From starting the command until its page has been served whole; and the resident bytes of its process then."""
    started = time.monotonic()
    studio = StudioProcess(home)
    try:
        while httpx.get(studio.url + "/").status_code != 200:
            time.sleep(POLL_S)
        seconds = time.monotonic() - started
        return seconds, studio.resident_bytes()
    finally:
        studio.close()


@contextmanager
def forking() -> Iterator[int]:
    """Runs' processes are forked within the block, as in an open studio; the bytes of the one they are forked from, 0
    where this machine forks none."""
    with fork_server() as server:
        while server is not None and not server.is_ready and server.is_alive:
            time.sleep(POLL_S)
        yield psutil.Process(server.process_id).memory_info().rss if server is not None and server.is_ready else 0


def seconds_to_first_loss(home: Home, table: Path) -> float:
    """From what a click on Train does until the first training loss can be drawn; the run is stopped then."""
    profile = load_profile(home, str(wait(start_import(home, table))["dataset"]))
    store = RunStore(home)
    started = time.monotonic()
    run = store.start_new(RunSpec().with_choices(first_choices(profile)))
    while not any(isinstance(event, LossLogged) for event in run.events()):
        if run.status().state.is_final:
            raise RuntimeError(f"the run ended before its first loss: {run.status()}")
        time.sleep(POLL_S)
    seconds = time.monotonic() - started
    store.stop(run.id)
    while not run.status().state.is_final:
        time.sleep(POLL_S)
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", type=Path, default=SAMPLE)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    imports, starts, resident = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.repeats):
            imports.append(seconds_of("import gradio"))
            seconds, size = seconds_to_first_page(Path(folder) / f"home{turn}")
            starts.append(seconds)
            resident.append(size)
        home = Home(Path(folder) / "training").prepare()
        trainers, ordinary, forked = [], [], []
        for _ in range(max(1, arguments.repeats // 2)):
            trainers.append(seconds_of("from transformers import Trainer"))
            ordinary.append(seconds_to_first_loss(home, arguments.table))
            with forking() as waiting:
                forked.append(seconds_to_first_loss(home, arguments.table))
    figures = {
        "ratio": statistics.median(starts) / statistics.median(imports),
        "import_gradio_s": statistics.median(imports),
        "first_page_s": statistics.median(starts),
        "resident_mb": max(resident) / 1e6,
        "import_trainer_s": statistics.median(trainers),
        "first_loss_ordinary_s": statistics.median(ordinary),
        "first_loss_s": statistics.median(forked),
        "first_loss_ratio": statistics.median(forked) / statistics.median(trainers),
        "fork_server_mb": waiting / 1e6,
    }
    print(f"first page          {figures['first_page_s']:.1f} s, {figures['ratio']:.2f} × `import gradio`")
    print(f"resident memory     {figures['resident_mb']:.0f} MB")
    print(
        f"Train to first loss {figures['first_loss_s']:.1f} s ({arguments.table.name}), "
        f"{figures['first_loss_ratio']:.2f} × `from transformers import Trainer`; "
        f"{figures['first_loss_ordinary_s']:.1f} s by ordinary processes"
    )
    print(f"the waiting process {figures['fork_server_mb']:.0f} MB" if waiting else "no process can be forked here")
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
