"""The commands about runs that are there."""

from __future__ import annotations

import re

import pytest

from backend.errors import RunAmbiguous
from backend.jobs.directory import JobDirectory
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from studio.cli_runs import find_run
from studio.i18n import words
from studio.terminal import REFUSED
from tests.cli.conftest import Studio, Trained


def test_the_list_has_each_run_with_its_metrics(trained: Trained) -> None:
    [found] = trained.studio.document("runs")
    assert set(found) == {"run", "name", "state", "created", "metrics", "tags", "notes", "disk_bytes"}
    assert found["disk_bytes"] > 100_000
    assert (found["run"], found["name"], found["state"]) == (trained.id, "外卖评论", "completed")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["created"])
    assert found["metrics"] == trained.document["metrics"]


def test_the_list_for_people_is_in_their_language(trained: Trained) -> None:
    shown = trained.studio.run("runs", "--lang", "zh-CN").stdout
    assert trained.id in shown
    assert "已完成" in shown
    assert "外卖.csv" in shown
    assert "completed" in trained.studio.run("runs").stdout


def test_one_run_is_shown_with_its_status_spec_and_report(trained: Trained) -> None:
    found = trained.studio.document("show", trained.id)
    assert found["state"] == "completed"
    assert found["spec"]["data"]["label_names"] == {"0": "差评", "1": "好评"}
    assert found["report"]["metrics"] == trained.document["metrics"]
    assert found["error"] is None


def test_one_run_is_shown_to_people_with_metrics_baselines_and_labels(trained: Trained) -> None:
    shown = trained.studio.run("show", "外卖评论").stdout
    for word in ("this model", "majority class", "TF-IDF", "before fine-tuning", "差评", "好评", "recall", "Epochs"):
        assert word in shown
    assert str(trained.studio.home) in shown


def test_stopping_an_ended_run_says_so_and_changes_nothing(trained: Trained) -> None:
    assert trained.studio.document("stop", trained.id) == {"run": trained.id, "state": "completed"}
    assert "already ended" in trained.studio.run("stop", trained.id).stderr


def test_a_failed_run_is_shown_with_the_end_of_its_log(studio: Studio) -> None:
    run = _run_that_crashed(studio)
    done = studio.run("show", run.id)
    assert done.returncode == 0
    assert "failed" in done.stdout
    assert "the last line of the log" in done.stdout
    assert "status 7" in done.stderr
    assert studio.document("show", run.id)["error"]["code"] == "run.crashed"


def _run_that_crashed(studio: Studio) -> JobDirectory:
    runs = studio.store.home.runs
    run = JobDirectory.create(runs, kind="train", module="backend.worker", spec=RunSpec().model_dump())
    run.set_name("crashed")
    run.log_path.write_text("one\nthe last line of the log\n")
    error = {"code": "run.crashed", "facts": {"exit_code": 7, "last_lines": ["the last line of the log"]}}
    run.write_exit({"state": "failed", "ended": 1.0, "exit_code": 7, "signal": None, "error": error, "kept": None})
    return run


def test_a_damaged_catalogue_is_rebuilt(trained: Trained) -> None:
    trained.studio.store.home.catalogue.write_bytes(b"no database at all")
    assert trained.studio.document("repair") == {"runs": 1}
    assert trained.studio.document("runs")[0]["metrics"] == trained.document["metrics"]


def test_a_run_is_found_by_id_prefix_name_or_last_and_refused_where_several_fit(home: Home) -> None:
    made = [
        JobDirectory.create(home.runs, kind="train", module="backend.worker", spec=RunSpec().model_dump())
        for _ in range(3)
    ]
    for run, name in zip(made, ("one", "twice", "twice"), strict=True):
        run.set_name(name)
    store = RunStore(home)
    for run in made:
        assert find_run(store, run.id).id == run.id
        assert find_run(store, run.id[:-2]).id == run.id
    assert find_run(store, "one").id == made[0].id
    assert find_run(store, "last").id == max(run.id for run in made)
    for several in ("twice", made[0].id[:6]):
        with pytest.raises(RunAmbiguous) as refused:
            find_run(store, several)
        assert len(refused.value.found) >= 2


def test_doctor_tells_the_machine_and_what_open_options_become(studio: Studio) -> None:
    document = studio.document("doctor")
    decided = {decision["setting"]: decision["value"] for decision in document["decisions"]}
    assert decided["training.precision"] == ("bf16" if document["machine"]["bf16"] else "fp32")
    assert document["versions"]["torch"].startswith("2.")
    shown = studio.run("doctor", "--lang", "zh-CN").stdout
    assert "注意力实现" in shown
    assert "decision." not in shown
    document = studio.document("doctor", "--model", "hfl/rbt3")
    assert document["footprint"]["weights"] == 4 * 38_500_000
    shown = studio.run("doctor", "--model", "hfl/rbt3").stdout
    assert "8-bit AdamW" in shown
    assert "option." not in shown
    phi = "microsoft/Phi-3-mini-4k-instruct"
    fits = studio.document("doctor", "--model", phi)["footprint"]["fits"]
    assert fits != (
        words("en")("option.short", held="", here="").partition(":")[0] in studio.run("doctor", "--model", phi).stdout
    )
    assert "nobody/knows" in studio.run("doctor", "--model", "nobody/knows").stdout
    assert studio.run("doctor", "--model", "./nothing").returncode == REFUSED
