"""A large synthetic table through the data room, against plain pandas: ``python -m benchmarks.data_room [--rows N]``.

Measures the import and its report as the studio makes them, in a process of their own: rows a second, seconds of each
phase, the process's peak memory, and how long the page's previews take. Beside it `pandas.read_csv` with the same
counts: rows, blank and distinct cells of each column, rows a label, lengths of the texts, repeated texts. Then two
reports by the job that the page starts: on the table as it is, and after steps that rewrite and drop rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend.data.choices import first_choices
from backend.data.datasets import dataset_of, list_datasets, load_profile, load_report, start_import, start_report, wait
from backend.jobs.directory import JobDirectory
from backend.jobs.events import PhaseStarted
from backend.settings import Home
from backend.specs import Choices

ROWS = 3_000_000
BLOCK_ROWS = 50_000
POOL = 20_000
TIMEOUT_S = 3600.0
LABELS = ("billing", "delivery", "quality", "refund", "service", "spam", "praise", "question")
CHINESE = "的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能"
ENGLISH = "the service was slow but food came warm and i would order again maybe not on friday"
STEPS = (
    {"kind": "normalise_text"},
    {"kind": "drop_duplicates", "by": "exact"},
    {"kind": "minimum_rows", "rows": 3},
)
PANDAS = """
import json, resource, sys, time
began = time.perf_counter()
import pandas as pd
started = time.perf_counter()
table = pd.read_csv(sys.argv[1], dtype=str, keep_default_na=False)
read = time.perf_counter()
counts = {c: (int((table[c].str.strip() == "").sum()), int(table[c].nunique())) for c in table}
labels = table["label"].value_counts().to_dict()
lengths = table["text"].str.len().describe([0.5, 0.95, 0.99]).to_dict()
again = int(table["text"].duplicated(keep=False).sum())
done = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"rows": len(table), "read_s": read - started, "counts_s": done - read, "seconds": done - started,
                  "peak_bytes": peak, "repeated": again}))
"""


def write_table(path: Path, rows: int, seed: int = 0) -> None:
    """A CSV with an id, a label, a text of about 380 bytes and an author; some texts with quotes and line breaks."""
    rng = np.random.default_rng(seed)
    words = np.array([*CHINESE])
    english = np.array([*ENGLISH.split()])
    pool = []
    for number in range(POOL):
        if number % 3:
            text = "".join(rng.choice(words, rng.integers(20, 60)))
        else:
            text = " ".join(rng.choice(english, rng.integers(10, 40)))
        pool.append(text)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        stream.write("id,label,text,author\n")
        for start in range(0, rows, BLOCK_ROWS):
            count = min(BLOCK_ROWS, rows - start)
            parts = rng.integers(0, POOL, (count, 3))
            labels, authors, quoted = rng.integers(0, 8, count), rng.integers(0, 99_999, count), rng.random(count)
            lines = []
            for place in range(count):
                a, b, c = parts[place]
                text = f"{pool[a]}，{pool[b]}。{start + place} {pool[c]}"
                if quoted[place] < 0.05:
                    text = f'"{text}, ""{pool[b][:9]}""\n{pool[a][:9]}"'
                lines.append(f"{start + place},{LABELS[labels[place]]},{text},user{authors[place]}\n")
            stream.writelines(lines)


class PeakMemory(threading.Thread):
    """Watches the resident memory of the process that does a job."""

    def __init__(self, job: JobDirectory) -> None:
        super().__init__(daemon=True)
        self.job, self.peak_bytes, self.ended = job, 0, False

    def run(self) -> None:
        """Look ten times a second until `ended`."""
        process = None
        while not self.ended:
            process = process or self._worker()
            if process is not None:
                try:
                    status = Path(f"/proc/{process.pid}/status").read_text()
                except OSError:
                    return
                found = [line for line in status.splitlines() if line.startswith("VmHWM:")]
                self.peak_bytes = max(self.peak_bytes, *(int(line.split()[1]) * 1024 for line in found), 0)
            time.sleep(0.1)

    def _worker(self) -> psutil.Process | None:
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if self.job.description["module"] in line and str(self.job.path) in line:
                return process
        return None


def measure_studio(table: Path, folder: Path) -> dict[str, Any]:
    """Import the table and make its first report, as the page does."""
    home = Home(folder / "home").prepare()
    began = time.perf_counter()
    job = start_import(home, table)
    memory = PeakMemory(job)
    memory.start()
    wait(job, TIMEOUT_S)
    seconds = time.perf_counter() - began
    memory.ended = True
    looked = time.perf_counter()
    profile = load_profile(home, dataset_of(job))
    preview_ms = 1000 * (time.perf_counter() - looked)
    phases: dict[str, float] = {}
    last = job.ended_event()
    assert last is not None
    events = [event for event in job.events() if isinstance(event, PhaseStarted)]
    for event, following in zip(events, [*events[1:], None], strict=True):
        end = following.time if following else last.time
        phases[event.phase] = round(end - event.time, 1)
    return {
        "rows": profile["rows"],
        "seconds": round(seconds, 1),
        "rows_per_second": round(profile["rows"] / seconds),
        "phases": phases,
        "peak_bytes": memory.peak_bytes,
        "preview_ms": round(preview_ms, 1),
        "progress_events": sum(type(event).__name__ == "Progressed" for event in job.events()),
    }


def measure_report(home: Home, choices: Choices) -> dict[str, Any]:
    """One report by the job that the page starts for it."""
    began = time.perf_counter()
    job = start_report(home, choices)
    memory = PeakMemory(job)
    memory.start()
    wait(job, TIMEOUT_S)
    seconds = time.perf_counter() - began
    memory.ended = True
    report = load_report(home, choices)
    assert report is not None
    touched = {done["step"]["kind"]: done["touched"] for done in report["steps"]}
    return {"seconds": round(seconds, 1), "peak_bytes": memory.peak_bytes, "rows": report["rows"], "touched": touched}


def measure_reports(folder: Path) -> dict[str, Any]:
    """The report on the imported table without steps (another seed, or it would be there already) and with them."""
    home = Home(folder / "home")
    choices = first_choices(load_profile(home, list_datasets(home)[0]))
    plain = choices.replaced({"split.seed": 1})
    return {
        "plain": measure_report(home, plain),
        "with_steps": measure_report(home, plain.replaced({"prepare.steps": STEPS})),
    }


def measure_pandas(table: Path) -> dict[str, Any]:
    """The same counts by pandas, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", PANDAS, str(table)], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    found["rows_per_second"] = round(found["rows"] / found["seconds"])
    return found


def main() -> None:
    """Write the table, measure both, print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", type=Path, help="where the table is written; a temporary folder by default")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        table = Path(folder) / "table.csv"
        write_table(table, asked.rows)
        size = table.stat().st_size
        studio, pandas = measure_studio(table, Path(folder)), measure_pandas(table)
        reports = measure_reports(Path(folder))
    ratio = round(studio["rows_per_second"] / pandas["rows_per_second"], 2)
    print(json.dumps({"bytes": size, "studio": studio, "pandas": pandas, "ratio": ratio, "reports": reports}, indent=1))


if __name__ == "__main__":
    main()
