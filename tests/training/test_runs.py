"""Whole runs by the real processes: what they leave behind, however they end."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import pipeline

from backend.errors import ProcessKilled
from backend.evaluation.metrics import compute
from backend.jobs import phases
from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.events import (
    BaselineMeasured,
    CheckpointSaved,
    DataSplit,
    Evaluated,
    JobCompleted,
    LossLogged,
    ModelDescribed,
    Noted,
    PhaseStarted,
    Progressed,
)
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from tests.training.conftest import BackgroundRuns, Workshop, events_of


def test_completed_run_goes_through_every_phase_in_order(runs: BackgroundRuns) -> None:
    assert runs.completed.status().state is JobState.COMPLETED, runs.completed.log_path.read_text()
    assert tuple(event.phase for event in events_of(runs.completed, PhaseStarted)) == phases.TRAINING_PHASES
    assert set(read_report(runs.completed)["seconds"]) == set(phases.TRAINING_PHASES)


def test_completed_run_tells_its_split_and_what_it_left_out(runs: BackgroundRuns) -> None:
    (split,) = events_of(runs.completed, DataSplit)
    assert (split.train, split.validation, split.test) == (194, 22, 24)
    assert split.labels == ["bad", "good"]
    assert sum(split.counts["train"].values()) == split.train
    notes = {note.code: note.facts for note in events_of(runs.completed, Noted)}
    assert notes["blank_texts"] == {"rows": 3}
    assert notes["blank_labels"] == {"rows": 2}


def test_completed_run_tells_losses_progress_and_evaluations(runs: BackgroundRuns) -> None:
    losses = events_of(runs.completed, LossLogged)
    assert losses[0].step == 1
    assert losses[-1].step == 56
    assert np.mean([e.loss for e in losses[-5:]]) < np.mean([e.loss for e in losses[:5]])
    progress = [e for e in events_of(runs.completed, Progressed) if e.phase == phases.TRAINING]
    assert (progress[-1].done, progress[-1].total, progress[-1].epochs) == (56, 56, 8.0)
    assert progress[-1].rate > 0
    evaluations = [e for e in events_of(runs.completed, Evaluated) if e.split == "validation"]
    assert {7, 14, 56} <= {e.step for e in evaluations}, "at least at the end of each epoch"
    assert all({"accuracy", "f1", "f1_macro", "mcc"} <= e.metrics.keys() for e in evaluations)
    assert events_of(runs.completed, CheckpointSaved)[0].best
    (model,) = events_of(runs.completed, ModelDescribed)
    assert model.parameters > 1000


def test_report_of_a_completed_run_is_complete_and_true(runs: BackgroundRuns) -> None:
    report = read_report(runs.completed)
    assert report["state"] == "completed"
    assert report["run"] == runs.completed.id
    assert (report["task"], report["labels"], report["positive_label"]) == ("binary", ["bad", "good"], "good")
    assert report["kept"] is None
    # A process with its libraries; of a card only what the little model takes.
    assert report["peak_memory_bytes"] > (200e6 if report["device"] == "cpu" else 20e6)
    assert report["rows"] == {"train": 194, "validation": 22, "test": 24}
    assert set(report["baselines"]) == {"majority", "tfidf", "before"}
    assert np.sum(report["confusion"]) == 24
    assert [row["support"] for row in report["per_label"]] == [12, 12]
    predictions = pq.read_table(runs.completed.path / "predictions.parquet").to_pydict()
    truth = np.array([report["labels"].index(label) for label in predictions["true"]])
    again = compute("binary", np.log(np.array(predictions["probabilities"])), truth)
    for name, value in report["metrics"].items():
        assert again[name] == pytest.approx(value, abs=1e-5), name
    told = {event.name: event.metrics for event in events_of(runs.completed, BaselineMeasured)}
    assert told == report["baselines"]
    end = runs.completed.ended_event()
    assert isinstance(end, JobCompleted)
    assert end.result["metrics"] == report["metrics"]
    best = max(
        (e for e in events_of(runs.completed, Evaluated) if e.split == "validation"),
        key=lambda e: (e.metrics["f1_macro"], -e.loss),
    )
    assert report["best"]["step"] == best.step


def test_finished_model_answers_in_a_pipeline_with_the_users_labels(runs: BackgroundRuns) -> None:
    predictions = pq.read_table(runs.completed.path / "predictions.parquet").to_pydict()
    classify = pipeline("text-classification", model=str(runs.completed.path / "model"), top_k=None)
    for text, chances in zip(predictions["text"][:5], predictions["probabilities"][:5], strict=True):
        scores = {answer["label"]: answer["score"] for answer in classify([text])[0]}
        assert scores == pytest.approx({"bad": chances[0], "good": chances[1]}, abs=1e-4)
    assert classify("very long " * 3000, truncation=True)


def test_finished_run_folder_holds_no_pickle_and_no_checkpoint(runs: BackgroundRuns) -> None:
    names = {path.name for path in runs.completed.path.rglob("*") if path.is_file()}
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert not (runs.completed.path / "checkpoints").exists()
    assert {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"} <= names


def test_starter_run_learns_chinese_from_nothing(runs: BackgroundRuns) -> None:
    assert runs.starter.status().state is JobState.COMPLETED, runs.starter.log_path.read_text()
    report = read_report(runs.starter)
    assert report["base"] == "starter"
    assert report["metrics"]["f1"] > report["baselines"]["majority"]["f1"]
    config = json.loads((runs.starter.path / "model" / "config.json").read_text())
    assert config["id2label"] == {"0": "好评", "1": "差评"}


def test_starter_tells_its_steps_from_the_first_one_and_evaluates_before_the_second_stretch(
    runs: BackgroundRuns,
) -> None:
    steps = [e.step for e in events_of(runs.starter, LossLogged)]
    assert steps == list(range(1, len(steps) + 1)), "one curve over both stretches"
    evaluations = [e for e in events_of(runs.starter, Evaluated) if e.split == "validation"]
    assert (evaluations[0].epoch, evaluations[-1].step) == (0.0, steps[-1])
    assert evaluations[0].metrics["f1_macro"] > 0.6, "the first stretch makes a classifier"
    best = max(evaluations, key=lambda e: (e.metrics["f1_macro"], -e.loss))
    assert read_report(runs.starter)["best"]["step"] == best.step


def test_starter_counts_the_steps_of_both_stretches_in_one_and_tells_what_is_left_of_the_second(
    runs: BackgroundRuns,
) -> None:
    progress = [e for e in events_of(runs.starter, Progressed) if e.phase == phases.TRAINING]
    last = max(e.step for e in events_of(runs.starter, LossLogged))
    assert {e.total for e in progress} == {last}, "the chart's last step"
    assert [e.done for e in progress] == sorted(e.done for e in progress)
    first, second = ([e for e in progress if (e.epoch is None) is first] for first in (True, False))
    assert first
    assert all(e.left_s is None for e in first), "its steps are not those that follow"
    assert second[-1].done == last
    assert second[-1].left_s == 0.0


def test_starter_stopped_in_its_first_stretch_keeps_what_it_has_learned(runs: BackgroundRuns) -> None:
    status = runs.stopped_starter.status()
    assert status.state is JobState.STOPPED, runs.stopped_starter.log_path.read_text()
    assert status.kept["step"] == events_of(runs.stopped_starter, LossLogged)[-1].step
    assert not events_of(runs.stopped_starter, Evaluated)
    classify = pipeline("text-classification", model=str(runs.stopped_starter.path / "model"))
    assert classify("好吃")[0]["label"] in {"好评", "差评"}


def test_stopped_run_keeps_its_best_weights_and_says_which(runs: BackgroundRuns) -> None:
    status = runs.stopped.status()
    assert status.state is JobState.STOPPED, runs.stopped.log_path.read_text()
    evaluations = [e for e in events_of(runs.stopped, Evaluated) if e.split == "validation"]
    best = max(evaluations, key=lambda e: (e.metrics["f1_macro"], -e.loss))
    assert status.kept["step"] == best.step
    assert status.kept["metrics"]["f1"] == best.metrics["f1"]
    report = read_report(runs.stopped)
    assert (report["state"], report["metrics"], report["kept"]) == ("stopped", None, status.kept)
    assert pipeline("text-classification", model=str(runs.stopped.path / "model"))("tasty and hot")
    newest = list_checkpoints(runs.stopped.path)[-1]
    assert newest.complete
    assert newest.damage() == []
    assert newest.step >= best.step
    assert not (runs.completed.path / "checkpoints").exists()


def test_run_stopped_before_training_keeps_nothing(runs: BackgroundRuns) -> None:
    status = runs.stopped_early.status()
    assert (status.state, status.kept) == (JobState.STOPPED, None), runs.stopped_early.log_path.read_text()
    assert not (runs.stopped_early.path / "model").exists()


def test_killed_worker_is_known_as_interrupted_after_a_restart(workshop: Workshop, runs: BackgroundRuns) -> None:
    fresh = RunStore(workshop.store.home).get(runs.worker_killed.id)
    assert fresh.status().state is JobState.INTERRUPTED
    assert isinstance(fresh.status().error, ProcessKilled)
    assert fresh.status().error.signal == "SIGKILL"


def test_killed_supervisor_takes_the_worker_along_and_the_end_is_known(
    workshop: Workshop, runs: BackgroundRuns
) -> None:
    fresh = RunStore(workshop.store.home).get(runs.supervisor_killed.id)
    assert fresh.read_exit() is None
    assert fresh.status().state is JobState.INTERRUPTED
    assert not (fresh.path / "model").exists()


def test_list_of_runs_shows_each_end(workshop: Workshop, runs: BackgroundRuns) -> None:
    states = {summary.id: summary for summary in workshop.store.summaries()}
    assert states[runs.completed.id].metrics == read_report(runs.completed)["metrics"]
    assert states[runs.stopped.id].metrics["f1"] == runs.stopped.status().kept["metrics"]["f1"]
    assert states[runs.worker_killed.id].state is JobState.INTERRUPTED
