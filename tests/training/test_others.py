"""What other programs take of the processors meanwhile, beside what this one does."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from backend.lab.others import WORTH_A_WORD, Others, telling_share

SECONDS = 1.5
BUSY = f"import time; end = time.process_time() + {SECONDS}\nwhile time.process_time() < end: pass"


@pytest.fixture
def stranger() -> Iterator[psutil.Process]:
    """A busy process that is nobody's child here: who started it is gone."""
    forking = f"import os\nif (child := os.fork()): print(child)\nelse:\n    os.close(1)\n    exec({BUSY!r})"
    told = subprocess.run([sys.executable, "-c", forking], stdout=subprocess.PIPE, check=True).stdout
    process = psutil.Process(int(told))
    yield process
    if process.is_running():
        process.kill()


def test_what_a_stranger_takes_is_told(stranger: psutil.Process) -> None:
    others, began, taken = Others(), time.monotonic(), sum(stranger.cpu_times()[:2])
    time.sleep(1)
    took = sum(stranger.cpu_times()[:2]) - taken
    assert took > 0.1
    assert others.share > 0.8 * took / ((time.monotonic() - began) * psutil.cpu_count())


def test_what_this_process_starts_is_its_own() -> None:
    others, began = Others(), time.monotonic()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(psutil.cpu_count())]
    time.sleep(SECONDS / 2)
    half_way = others.share
    taken = sum(sum(psutil.Process(each.pid).cpu_times()[:2]) for each in busy)
    assert half_way < 1.15 - taken / ((time.monotonic() - began) * len(busy))
    for each in busy:
        each.wait()
    assert others.share < 1.15 - SECONDS / (time.monotonic() - began)


def test_what_its_children_have_waited_for_is_its_own() -> None:
    command = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}]); print(flush=True); input()"
    others, began = Others(), time.monotonic()
    started = [
        subprocess.Popen([sys.executable, "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(psutil.cpu_count())
    ]
    for each in started:
        assert each.stdout
        each.stdout.readline()  # its own child has ended, and it lives on
    assert others.share < 1.15 - SECONDS / (time.monotonic() - began)
    for each in started:
        each.communicate(b"\n")


def test_little_is_not_worth_a_word() -> None:
    assert telling_share({"others_share": WORTH_A_WORD / 2}) == telling_share({}) == 0
    assert telling_share({"others_share": 0.4}) == 0.4
