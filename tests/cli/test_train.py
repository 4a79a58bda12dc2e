"""``train``: one document, a truthful exit status, a run that everybody sees while it lives."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path

import pytest
from rich.console import Console

from backend.jobs.directory import JobDirectory
from backend.jobs.events import LossLogged, Noted, PhaseStarted, Progressed
from backend.jobs.status import JobState
from studio import cli_progress
from studio.cli_progress import LineWatcher, LiveWatcher
from studio.cli_train import show_end
from studio.i18n import words
from studio.terminal import Terminal
from tests.cli.conftest import TIMEOUT_S, Studio, Trained
from tests.processes import WORKER, kill, processes_of, until

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


def test_a_settings_file_names_its_table_beside_it_and_flags_win(trained: Trained) -> None:
    spec = trained.studio.store.get(trained.id).spec
    assert spec["data"]["source"] == str(trained.data)
    assert spec["data"]["label_names"] == {"0": "差评", "1": "好评"}
    assert (spec["training"]["epochs"], spec["training"]["max_length"]) == (3, 32)
    assert (spec["data"]["text_column"], spec["data"]["label_column"]) == ("review", "label")


def test_the_end_for_people_compares_with_the_baselines_and_says_what_to_type_next(trained: Trained) -> None:
    run = trained.studio.store.get(trained.id)
    stream = io.StringIO()
    console = Console(file=stream, width=100, markup=False)
    show_end(Terminal(words("zh-CN"), as_json=False, out=console, err=console), run, run.status(), Path("/a home"))
    shown = stream.getvalue()
    for word in ("准确率", "宏平均 F1", "MCC", "TF-IDF", "本模型", str(run.path / "model")):
        assert word in shown
    assert f"python -m studio predict {run.id} --home '/a home'" in shown


def _losses(run: JobDirectory) -> list[LossLogged]:
    return [event for event in run.events() if isinstance(event, LossLogged)]


def test_a_run_is_seen_live_from_outside_and_stopped_by_another_command(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS, "--json")
    run = studio.newest_run()
    until(lambda: _losses(run))
    summary = studio.store.summaries()[0]
    assert summary.state is JobState.RUNNING
    assert summary.phase == "training"
    assert studio.document("show", "last")["state"] == "running"
    assert studio.document("stop", run.id)["run"] == run.id
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3, err
    document = json.loads(out)
    assert document["state"] == "stopped"
    assert document["metrics"] is None
    assert set(document["kept"]) >= {"step", "epoch", "metrics"} if document["kept"] else document["model"] is None


def _begun(studio: Studio) -> JobDirectory:
    """The newest run, once its worker is at work."""
    run = studio.newest_run()
    until(lambda: run.status().phase)
    return run


def test_ctrl_c_stops_the_run_and_says_so(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS)
    run = _begun(studio)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3, err
    assert "Stopping at the next step" in err
    assert "The run was stopped." in out
    assert run.status().state is JobState.STOPPED


def test_ctrl_c_twice_leaves_without_waiting(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS, "--json")
    run = _begun(studio)
    (worker,) = processes_of(run, WORKER)
    worker.suspend()  # so that it cannot hear the stop before the second Ctrl-C
    try:
        process.send_signal(signal.SIGINT)
        until(lambda: run.stop_requested)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        worker.resume()
    assert process.returncode == 130, err
    assert json.loads(out)["state"] == "stopping"
    assert f"python -m studio show {run.id}" in err
    assert until(lambda: run.status().state.is_final)
    assert run.status().state is JobState.STOPPED


def test_a_killed_worker_ends_the_command_as_interrupted(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS, "--json")
    run = _begun(studio)
    kill(run, WORKER)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 4, err
    document = json.loads(out)
    assert document["state"] == "interrupted"
    assert document["error"]["code"] == "run.killed"
    assert document["error"]["facts"] == {"signal": "SIGKILL"}


def test_a_closed_terminal_leaves_the_run_alive(studio: Studio, reviews: Path) -> None:
    process = studio.start("train", str(reviews), *ENDLESS)
    run = _begun(studio)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == -signal.SIGHUP
    assert run.is_alive
    assert not run.stop_requested
    run.request_stop()
    assert until(lambda: run.status().state.is_final)
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


def test_what_is_left_of_training_is_what_training_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_progress, "LINE_INTERVAL_S", 0.0)
    chosen, stream = words("en"), io.StringIO()
    console = Console(file=stream, width=200, markup=False)
    watcher = LineWatcher(Terminal(chosen, as_json=False, out=console, err=console))
    watcher.show(PhaseStarted("training"))
    watcher.show(Progressed("training", 300, 400, "steps"))
    watcher.show(Progressed("training", 310, 400, "steps", left_s=90.0))
    _, unknown, told = stream.getvalue().splitlines()
    assert "75%" in unknown
    assert "left" not in unknown, "nobody knows yet"
    assert "1:30 left" in told


@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_notes_that_count_are_told_as_others_are(language: str) -> None:
    chosen, stream = words(language), io.StringIO()  # type: ignore[arg-type]
    console = Console(file=stream, width=200, markup=False)
    watcher = LineWatcher(Terminal(chosen, as_json=False, out=console, err=console))
    facts = {"step": 24, "steps": 64, "count": 3}
    watcher.show(Noted("ended_early", facts))
    assert stream.getvalue().strip() == chosen("note.ended_early", **facts)
