"""``resume`` and ``queue`` in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from studio.terminal import REFUSED, STOPPED
from tests.cli.conftest import Studio, write_reviews
from tests.processes import SUPERVISOR, WORKER, held, processes_of, until
from tests.tiny_models import make_tiny

FLAGS = ("--epochs", "20", "--batch-size", "16", "--evaluations", "2")


def begun(studio: Studio, process_count: int) -> list[JobDirectory]:
    """So many runs, oldest first, when they are there."""

    def found() -> list[JobDirectory]:
        runs = [studio.store.get(summary.id) for summary in studio.store.summaries()]
        return runs if len(runs) == process_count else []

    return sorted(until(found), key=lambda run: float(run.description["created"]))


def test_a_stopped_run_is_resumed_and_what_waits_is_listed_moved_and_cancelled(studio: Studio, tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "reviews.csv")
    base = make_tiny(tmp_path / "bert", "bert", table.read_text("utf-8").splitlines())
    command = ("train", str(table), "--model", str(base), *FLAGS)
    first = studio.start(*command, "--name", "first")
    (run,) = begun(studio, 1)
    assert until(lambda: len(list_checkpoints(run.path)) > 1)
    (working,) = processes_of(run, WORKER)
    with held(working):  # until the others have waited for it long enough
        second = studio.start(*command, "--name", "second")
        waits = begun(studio, 2)[1]
        (waiter,) = until(lambda: processes_of(waits, SUPERVISOR))
        waiter.kill()
        waiter.wait(5)
        assert until(lambda: waits.is_alive), "who waits for it in a terminal has it wait again"
        third = studio.start(*command, "--name", "third")
        begun(studio, 3)
        assert until(lambda: len(studio.store.queued()) == 2)
        assert [each["name"] for each in studio.document("queue")] == ["second", "third"]
        assert [each["name"] for each in studio.document("queue", "third")] == ["third", "second"]
        assert "second" in studio.run("queue", "third", "--to", "2", "--lang", "zh-CN").stdout
        assert studio.run("queue", "first").returncode == REFUSED

        assert studio.document("stop", "third")["run"]
        assert third.wait(60) == STOPPED
        studio.run("stop", "first")
    shown, _ = first.communicate(timeout=120)
    assert first.returncode == STOPPED
    assert f"resume {run.id}" in shown
    studio.run("stop", waits.id)
    _, told = second.communicate(timeout=120)
    assert second.returncode == STOPPED
    assert "first before it" in told

    known = [c.step for c in list_checkpoints(run.path) if c.complete]
    missing = studio.run("resume", run.id, "--from", "999999", "--json")
    assert missing.returncode == REFUSED
    assert json.loads(missing.stdout)["error"]["facts"]["steps"] == known
    resumed = studio.run("resume", run.id, "--from", str(known[0]))
    assert resumed.returncode == 0, resumed.stderr
    assert f"Resumed from step {known[0]}." in resumed.stderr
    assert run.status().state is JobState.COMPLETED
    refused = studio.run("resume", run.id, "--lang", "zh-CN")
    assert refused.returncode == REFUSED
    assert "已完成" in refused.stderr
