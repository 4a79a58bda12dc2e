"""Mutated files of every format: each is answered with a table or a worded refusal, in time and within its memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import selectors
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.data import datasets
from backend.errors import StudioError
from backend.settings import Home
from tests.data.test_reading_formats import packed
from tests.data.workbooks import ods, xlsx

PROJECT = Path(__file__).resolve().parents[2]
MEMORY_BYTES = 4 << 30
ANSWER_S = 10.0
"""Processor time that an answer may take."""
LOADED_MACHINE = 30
"""How many times slower a machine that is shared may be, to a process that lets others go first, before slowness counts
as a hang."""
ROWS = [["label", "text"], *([str(n % 3), f'第{n}条评论, "味道" 不错\nreview {n}'] for n in range(40))]
SEASONING = (b"", b'"', b"\0", b"\xff\xfe", b"]", b",,", b"\n", b"\r", b"{", b"<", b"&#0;", b"\x80" * 9, b"9" * 400)


def written() -> dict[str, bytes]:
    """A small whole file of each format."""
    buffer = io.StringIO()
    csv.writer(buffer).writerows(ROWS)
    plain = buffer.getvalue()
    records = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
    columns = io.BytesIO()
    pq.write_table(pa.table({"label": [r["label"] for r in records], "tags": [["a", "b"]] * len(records)}), columns)
    lines = "".join(f"{'DESC:manner' if n % 2 else 'ENTY:animal'} what is number {n} ?\n" for n in range(40))
    parts = {"s/train.csv": plain, "s/test.csv": plain, "s/labels.txt": "a\nb\nc\n"}
    texts = {f"s/{part}/{c}/{n}.txt": f"text {n}" for part in ("train", "test") for c in ("a", "b") for n in range(4)}
    return {
        "plain.csv": plain.encode(),
        "chinese.csv": plain.encode("gb18030"),
        "wide.csv": plain.encode("utf-16"),
        "tab.tsv": plain.replace(",", "\t").encode(),
        "lines.label": lines.encode(),
        "array.json": json.dumps(records).encode(),
        "lines.jsonl": "\n".join(json.dumps(r) for r in records).encode(),
        "table.parquet": columns.getvalue(),
        "book.xlsx": xlsx({"one": ROWS, "two": ROWS}),
        "book.ods": ods({"one": ROWS}),
        "book.xls": (Path(__file__).parent / "files" / "reviews.xls").read_bytes(),
        "plain.csv.gz": gzip.compress(plain.encode()),
        "parts.zip": packed(parts),
        "folders.zip": packed(texts),
    }


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with a few of its bytes lost, doubled, moved or replaced, or with its end cut off."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(changed) or 1)
        length = rng.choice((0, 1, 4, 200))
        match rng.randrange(5):
            case 0:
                changed[at : at + length] = rng.choice(SEASONING)
            case 1:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                changed[at:at] = changed[at : at + 300] * rng.choice((1, 2, 50))
            case 3:
                there = rng.randrange(len(changed) or 1)
                changed[there : there + length] = changed[at : at + length]
            case 4 if rng.random() < 0.3:
                del changed[at:]
    return bytes(changed)


class Reader:
    """The process that reads; started anew only when a test is over."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.data.fuzz_reader", str(MEMORY_BYTES)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def outcome(self, path: Path) -> str:
        """What became of the file; fails when there is no answer in time, or the process is gone."""
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        before = self._processor_seconds()
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            assert ready.select(ANSWER_S * LOADED_MACHINE), f"no answer within {ANSWER_S * LOADED_MACHINE:g} s"
        line = self._process.stdout.readline()
        assert line, f"the reader is gone: {self._process.stderr.read()[-2000:]}"
        assert self._processor_seconds() - before < ANSWER_S
        return line.strip()

    def _processor_seconds(self) -> float:
        try:
            return sum(psutil.Process(self._process.pid).cpu_times()[:4])
        except psutil.NoSuchProcess:  # what its output says is told by the caller
            return 0.0

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reading process for the test."""
    process = Reader()
    yield process
    process.close()


def fuzz(reader: Reader, folder: Path, mutations: int, seed: int) -> Counter[str]:
    """The outcomes of so many mutations, the formats in turn. A file that is not answered is left in ``folder``."""
    rng = random.Random(seed)
    files = list(written().items())
    outcomes = Counter[str]()
    for number in range(mutations):
        name, content = files[number % len(files)]
        path = folder / name
        path.write_bytes(mutated(content, rng))
        outcomes[reader.outcome(path).partition(" ")[0]] += 1
    return outcomes


def test_whole_files_of_every_format_are_tables(reader: Reader, tmp_path: Path) -> None:
    for name, content in written().items():
        path = tmp_path / name
        path.write_bytes(content)
        assert reader.outcome(path).startswith("table "), name


def test_two_hundred_mutated_files_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    outcomes = fuzz(reader, tmp_path, 200, seed=11)
    assert set(outcomes) == {"table", "refused"}
    assert min(outcomes.values()) > 30


def test_mutated_files_end_a_real_import_with_a_dataset_or_a_worded_error(home: Home, tmp_path: Path) -> None:
    rng = random.Random(12)
    files = written()
    for name in ("plain.csv", "book.xlsx", "table.parquet", "parts.zip"):
        path = tmp_path / name
        path.write_bytes(mutated(files[name], rng))
        job = datasets.start_import(home, path)
        try:
            outcome = str(datasets.wait(job, ANSWER_S * LOADED_MACHINE)["dataset"])
        except StudioError as refusal:
            outcome = refusal.code
        assert len(outcome) == 16 or outcome.startswith("data."), (name, outcome)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_ten_thousand_mutated_files_are_read_or_refused(reader: Reader, tmp_path: Path) -> None:
    outcomes = fuzz(reader, tmp_path, 10_000, seed=13)
    assert set(outcomes) == {"table", "refused"}
