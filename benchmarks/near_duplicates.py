"""Near-duplicates among short synthetic texts: ``python -m benchmarks.near_duplicates [--rows N …]``.

Seconds, processor seconds and peak resident memory of the step, each size in a process of its own. A third of the
texts are Chinese of 8 to 60 characters, the others English of 5 to 20 words; one in ten is an earlier one with a letter
added. With ``--pattern`` all are of one pattern and differ in a number, which is the hardest that can be asked.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend.data.near_duplicates import near
from backend.data.report.rows import untold
from backend.data.rows import TextRows
from benchmarks.data_room import CHINESE, ENGLISH

ROWS = (200_000, 1_000_000)
BLOCK_ROWS = 50_000
THRESHOLD = 0.9


def build_rows(rows: int, *, pattern: bool, seed: int = 0) -> TextRows:
    """The rows, in pieces as an imported table has them."""
    rng = np.random.default_rng(seed)
    chinese, english = np.array([*CHINESE]), np.array(ENGLISH.split())
    pieces = []
    for start in range(0, rows, BLOCK_ROWS):
        texts: list[str] = []
        for number in range(start, min(rows, start + BLOCK_ROWS)):
            draw = rng.random()
            if pattern:
                texts.append(f"your order {rng.integers(10**8)} has been sent and will be with you on friday")
            elif draw < 0.1 and texts:
                earlier = texts[rng.integers(len(texts))]
                place = rng.integers(len(earlier))
                texts.append(f"{earlier[:place]}z{earlier[place:]}")
            elif number % 3:
                texts.append(" ".join(rng.choice(english, rng.integers(5, 20))))
            else:
                texts.append("".join(rng.choice(chinese, rng.integers(8, 60))))
        pieces.append(pa.array(texts, pa.string()))
    return TextRows(pa.chunked_array(pieces), pa.chunked_array([pa.nulls(rows, pa.string())]), np.arange(rows))


def measure(rows: int, *, pattern: bool) -> dict[str, object]:
    """One size, in this process."""
    table = build_rows(rows, pattern=pattern)
    before = _peak_bytes()
    began, processor = time.perf_counter(), time.process_time()
    found = near(table, THRESHOLD, untold)
    seconds = time.perf_counter() - began
    return {
        "rows": rows,
        "text_bytes": table.texts.nbytes,
        "seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "left_out": int((~found.keep).sum()),
        "before_bytes": before,
        "peak_bytes": _peak_bytes(),
    }


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure each size in a process of its own; print one JSON document a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--pattern", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for rows in asked.rows:
        if asked.here:
            print(json.dumps(measure(rows, pattern=asked.pattern)))
        else:
            more = ["--pattern"] if asked.pattern else []
            command = [sys.executable, "-m", "benchmarks.near_duplicates", "--here", "--rows", str(rows), *more]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
