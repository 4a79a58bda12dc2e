"""``train``: one document, a truthful exit status, a run that everybody sees while it lives."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from backend.jobs.directory import JobDirectory, JobState
from backend.jobs.events import LossLogged
from studio.cli_progress import LineWatcher, LiveWatcher
from studio.i18n import words
from studio.terminal import Terminal
from tests.cli.conftest import Studio, Trained, wait_for

ENDLESS = ("--epochs", "1000", "--patience", "0", "--max-length", "16")
SHAPE = {"run", "state", "task", "labels", "metrics", "baselines", "model", "examples_per_second", "seconds"}


def test_the_document_of_a_completed_run_has_its_promised_shape(trained: Trained) -> None:
    found = trained.document
    assert set(found) == SHAPE
    assert found["state"] == "completed"
    assert found["task"] == "binary"
    assert found["labels"] == ["差评", "好评"]
    assert set(found["baselines"]) == {"majority", "tfidf", "before"}
    for metrics in (found["metrics"], *found["baselines"].values()):
        assert {"accuracy", "f1", "f1_macro", "mcc"} <= set(metrics)
    assert found["metrics"]["accuracy"] > found["baselines"]["majority"]["accuracy"]
    assert found["examples_per_second"] > 0
    assert found["seconds"]["training"] > 0
    folder = Path(found["model"])
    assert folder.is_absolute()
    assert json.loads((folder / "config.json").read_text())["id2label"] == {"0": "差评", "1": "好评"}


def test_standard_output_holds_the_document_alone_and_progress_goes_to_standard_error(trained: Trained) -> None:
    assert trained.stdout.startswith("{")
    assert trained.stdout.endswith("}\n")
    assert "training" in trained.stderr
    assert "accuracy" in trained.stderr
    assert "\x1b" not in trained.stderr


def test_a_settings_file_trains_with_its_own_table_and_flags_win(studio: Studio, reviews: Path) -> None:
    settings = reviews.with_name("run.yaml")
    text = "data: {source: reviews.csv, label_names: {0: 差评, 1: 好评}}\ntraining: {epochs: 5, max_length: 24}\n"
    settings.write_text(text, "utf-8")
    done = studio.run("train", str(settings), "--epochs", "1", "--lang", "zh-CN")
    assert done.returncode == 0, done.stderr
    for word in ("准确率", "宏平均 F1", "MCC", "TF-IDF", "试一试", str(studio.newest_run().path / "model")):
        assert word in done.stdout
    spec = studio.newest_run().spec
    assert spec["data"]["source"] == str(reviews)
    assert (spec["training"]["epochs"], spec["training"]["max_length"]) == (1, 24)


def _losses(run: JobDirectory) -> list[LossLogged]:
    return [event for event in run.events() if isinstance(event, LossLogged)]


def test_a_run_is_seen_live_from_outside_and_stopped_by_another_command(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS, "--json")
    run = studio.newest_run()
    wait_for(lambda: _losses(run))
    summary = studio.store.summaries()[0]
    assert summary.state is JobState.RUNNING
    assert summary.phase == "training"
    assert studio.document("show", "last")["state"] == "running"
    assert studio.document("stop", run.id)["run"] == run.id
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    document = json.loads(out)
    assert document["state"] == "stopped"
    assert document["metrics"] is None
    assert set(document["kept"]) >= {"step", "epoch", "metrics"} if document["kept"] else document["model"] is None


def test_ctrl_c_stops_the_run_and_says_so(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS)
    run = studio.newest_run()
    wait_for(lambda: _losses(run))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert "Stopping at the next step" in err
    assert "The run was stopped." in out
    assert run.status().state is JobState.STOPPED


def test_a_killed_worker_ends_the_command_as_interrupted(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS, "--json")
    run = studio.newest_run()
    wait_for(lambda: _losses(run))
    os.kill(_worker_of(run), signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 4, err
    document = json.loads(out)
    assert document["state"] == "interrupted"
    assert document["error"]["code"] == "run.killed"
    assert document["error"]["facts"] == {"signal": "SIGKILL"}


def _worker_of(run: JobDirectory) -> int:
    command = ["-m", "backend.worker", str(run.path)]
    [found] = [p.pid for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[1:] == command]
    return found


def test_a_closed_terminal_leaves_the_run_alive(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS)
    run = studio.newest_run()
    wait_for(lambda: run.status().phase)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGHUP
    assert run.is_alive
    run.request_stop()
    assert wait_for(lambda: run.status().state.is_final)
    assert run.status().state is JobState.STOPPED


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_both_displays_show_the_phases_and_the_figures_of_a_run(trained: Trained, language: str) -> None:
    run = trained.studio.store.get(trained.id)
    chosen = words("zh-CN" if language == "zh-CN" else "en")
    for kind in (LiveWatcher, LineWatcher):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=kind is LiveWatcher, width=200, markup=False)
        watcher = kind(Terminal(chosen, as_json=False, out=console, err=console))
        for event in run.events():
            watcher.show(event)
        watcher.close()
        shown = stream.getvalue()
        for phase in ("reading", "training", "saving"):
            assert chosen(f"phase.{phase}") in shown
        if kind is LineWatcher:
            assert chosen("metric.accuracy") in shown
            assert chosen("baseline.majority") in shown
