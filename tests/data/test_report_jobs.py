"""A report is made once at a time however often it is asked for, tells how far it is, and hears a stop."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backend.data.choices import first_choices, with_repair
from backend.data.datasets import (
    dataset_of,
    load_profile,
    load_report,
    report_job,
    start_import,
    start_report,
    stop_report,
    wait,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.events import Progressed
from backend.jobs.status import JobState
from backend.settings import Home
from backend.specs import Choices

WAIT_S = 180
SOON_S = 10
PIECES = "the service was slow but food came warm and i would order again maybe not on friday"


@pytest.fixture
def choices(home: Home, tmp_path: Path) -> Choices:
    """Choices for a table whose report takes seconds, of which none has been made."""
    random, table = Random(0), tmp_path / "table.csv"
    lines = [
        f"{'good' if n % 2 else 'bad'},{' '.join(random.choices(PIECES.split(), k=40))} {n}" for n in range(30_000)
    ]
    table.write_text("\n".join(["label,text", *lines]), "utf-8")
    job = start_import(home, table)
    wait(job, WAIT_S)
    return first_choices(load_profile(home, dataset_of(job))).replaced({"split.seed": 7})


def await_state(job: JobDirectory, states: set[JobState], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while job.status().state not in states:
        assert time.monotonic() < deadline, job.status()
        time.sleep(0.05)


@pytest.mark.alone
def test_a_report_is_made_by_one_job_which_a_stop_ends(home: Home, choices: Choices) -> None:
    assert report_job(home, choices) is None
    job = start_report(home, choices)
    assert start_report(home, choices).id == job.id
    found = report_job(home, choices)
    assert found is not None
    assert found.id == job.id
    assert start_report(home, choices.replaced({"split.seed": 8})).id != job.id
    stop_report(home, choices.replaced({"split.seed": 8}))

    await_state(job, {JobState.RUNNING}, SOON_S)
    stop_report(home, choices)
    again = start_report(home, choices)
    assert again.id != job.id, "one that is being stopped leaves no report"
    await_state(job, {JobState.STOPPED}, SOON_S)
    wait(again, WAIT_S)
    assert load_report(home, choices) is not None
    done = [event.done for event in again.events() if isinstance(event, Progressed)]
    assert done
    assert done == sorted(done)
    assert done[-1] == 100


def test_texts_in_two_parts_of_a_split_by_time_are_a_finding_until_they_are_left_out(
    home: Home, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    texts = [f"{'good' if n % 2 else 'bad'} number {n if n < 190 else n - 190}" for n in range(200)]
    lines = [f"{'ab'[n % 2]},{text},2026-01-{1 + n // 8:02d}" for n, text in enumerate(texts)]
    table.write_text("\n".join(["label,text,day", *lines]), "utf-8")
    imported = start_import(home, table)
    wait(imported, WAIT_S)
    profile = load_profile(home, dataset_of(imported))
    asked = first_choices(profile).replaced({"split.method": "time", "split.column": "day"})

    def report_on(choices: Choices) -> dict[str, Any]:
        wait(start_report(home, choices), WAIT_S)
        report = load_report(home, choices)
        assert report is not None
        return report

    (found,) = [f for f in report_on(asked)["findings"] if f["code"] == "texts_in_two_parts"]
    assert (found["severity"], found["count"]) == ("warning", 10)
    repaired = report_on(with_repair(asked, found["repairs"][0], profile))
    assert "texts_in_two_parts" not in {f["code"] for f in repaired["findings"]}
    facts = {note["code"]: note["facts"] for note in repaired["parts"]["notes"]}
    assert facts["overlap_left_out"] == {"train": 10, "validation": 0}
    assert repaired["parts"]["train"]["rows"] + repaired["parts"]["validation"]["rows"] == 170
