"""The commands about runs of the past: compare them, note something, throw them away and put them back."""

from __future__ import annotations

import time

import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.events import Evaluated, EventLog, JobCompleted, LossLogged
from backend.jobs.files import write_json
from backend.specs import RunSpec
from studio.terminal import REFUSED
from tests.cli.conftest import Studio, Trained


@pytest.fixture
def runs(studio: Studio) -> list[JobDirectory]:
    """Two ended runs."""
    made = []
    second = {"training__epochs": 4, "speed__batching": "length_split", "model__base": "hfl/rbt3"}
    for name, f1, asked in (("first try", 0.5, {"training__epochs": 2}), ("second try", 0.75, second)):
        spec = RunSpec().replaced(data__source="reviews.csv", **asked)
        run = JobDirectory.create(studio.store.home.runs, kind="train", module="none", spec=spec.model_dump())
        run.set_name(name)
        log = EventLog(run.events_path)
        log.write(LossLogged(1, 0.5, 0.9, 1e-3))
        log.write(Evaluated("validation", 1, 1.0, 0.8, {"f1": f1}))
        log.write(JobCompleted({"metrics": {"f1": f1}}))
        log.close()
        write_json(run.path / "report.json", {"task": "binary", "metrics": {"f1": f1}})
        end = {"state": "completed", "exit_code": 0, "signal": None, "error": None, "kept": None}
        run.write_exit({**end, "ended": time.time()})
        made.append(run)
    return made


def test_runs_are_compared_in_their_metrics_and_in_what_differs(studio: Studio, runs: list[JobDirectory]) -> None:
    document = studio.document("compare", *(run.id for run in runs))
    assert document["differences"] == {
        "model.base": ["starter", "hfl/rbt3"],
        "training.epochs": [2, 4],
        "speed.batching": ["auto", "length_split"],
    }
    assert [run["metrics"]["f1"] for run in document["runs"]] == [0.5, 0.75]
    shown = studio.run("compare", "first try", "second try", "--lang", "zh-CN").stdout
    for words in ("first try", "second try", "0.750", "轮数", "随机，不填充", "起步模型"):
        assert words in shown
    assert "learning" not in shown
    refused = studio.run("compare", "first try")
    assert refused.returncode == REFUSED
    assert "2" in refused.stderr


def test_what_is_noted_about_a_run_is_found_again(studio: Studio, runs: list[JobDirectory]) -> None:
    noted = studio.document("note", "first try", "--tags", "baseline, 外卖", "--notes", "too short")
    assert noted == {"run": runs[0].id, "name": "first try", "tags": ["baseline", "外卖"], "notes": "too short"}
    assert studio.document("note", "first try", "--name", "short try")["tags"] == ["baseline", "外卖"]
    assert [run["name"] for run in studio.document("runs", "--find", "外卖")] == ["short try"]
    assert [run["name"] for run in studio.document("runs", "--sort", "name")] == ["second try", "short try"]
    assert studio.document("runs", "--state", "failed") == []
    refused = studio.run("note", "last", "--tags", ",".join(["t" * 200]))
    assert refused.returncode == REFUSED
    assert "Traceback" not in refused.stderr


def test_deleted_runs_lie_in_the_trash_until_it_is_emptied(studio: Studio, runs: list[JobDirectory]) -> None:
    missing = studio.run("delete", "first try", "no such run")
    assert missing.returncode == REFUSED
    assert len(studio.document("runs")) == 2, "all that are named, or none"
    assert studio.document("delete", "first try", "second try") == {"deleted": [run.id for run in runs]}
    assert studio.document("runs") == []
    thrown = studio.document("trash")
    assert [run["name"] for run in thrown["runs"]] == ["second try", "first try"]
    assert thrown["freed_bytes"] is None
    assert [run["name"] for run in studio.document("trash", "--restore", runs[0].id)["runs"]] == ["second try"]
    assert [run["name"] for run in studio.document("runs")] == ["first try"]
    assert "second try" in studio.run("trash", "--lang", "zh-CN").stdout
    emptied = studio.document("trash", "--empty")
    assert emptied["runs"] == []
    assert emptied["freed_bytes"] > 1000
    assert studio.run("trash", "--restore", runs[1].id).returncode == REFUSED


def test_a_copy_of_a_run_differs_in_what_was_said_only(trained: Trained) -> None:
    studio = trained.studio
    copied = studio.run("clone", trained.id, "--epochs", "1", "--name", "a copy", "--json")
    try:
        assert copied.returncode == 0, copied.stderr
        document = studio.document("compare", trained.id, "a copy")
        assert document["differences"] == {"training.epochs": [3, 1]}
        assert document["runs"][1]["metrics"].keys() == document["runs"][0]["metrics"].keys()
        refused = studio.run("clone", trained.id, "--epochs", "0")
        assert refused.returncode == REFUSED
        assert "0" in refused.stderr
        for flags in (("--label-weights", "9=2"), ("--metric", "jaccard"), ("--model", str(studio.home))):
            assert studio.run("clone", trained.id, *flags).returncode == REFUSED
        assert studio.run("retry", trained.id).returncode == REFUSED
        assert studio.document("runs")[0]["name"] == "a copy"
    finally:
        studio.run("delete", "a copy")
        studio.run("trash", "--empty")


def test_a_run_that_is_at_work_is_not_deleted(studio: Studio, runs: list[JobDirectory]) -> None:
    (runs[1].path / "exit.json").unlink()
    (runs[1].path / "events.jsonl").unlink()
    with runs[1].locked():
        refused = studio.run("delete", "first try", "second try")
    assert refused.returncode == REFUSED
    assert "second try" in refused.stderr
    assert len(studio.document("runs")) == 2
