"""Trackers: what a real one has been told, and what becomes of a run whose tracker breaks down."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from backend.errors import TrackerFailed
from backend.jobs.directory import JobDirectory
from backend.jobs.events import BaselineMeasured, Evaluated, LossLogged, Noted
from backend.jobs.process import JobContext, StopRequested, carry_out
from backend.jobs.status import JobState
from backend.training.tracking import Trackers, _within, places_of
from tests.training.conftest import Workshop, ended, events_of
from tests.training.little_trainer import arguments_in


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Steps and values by name, as TensorBoard reads them."""
    told = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    told.Reload()
    return {name: [(each.step, each.value) for each in told.Scalars(name)] for name in told.Tags()["scalars"]}


def notes(run: JobDirectory) -> dict[str, dict[str, Any]]:
    return {note.code: note.facts for note in events_of(run, Noted)}


@pytest.mark.parametrize("base", ["starter", "bert"])
def test_tensorboard_shows_what_the_run_tells_and_keeps_it(workshop: Workshop, base: str) -> None:
    run = ended(workshop.start(workshop.spec(base, training__epochs=1, training__trackers=("tensorboard",))))
    assert run.status().state is JobState.COMPLETED
    shown = scalars(run.path / "tensorboard")
    losses = events_of(run, LossLogged)
    assert shown["train/loss"] == [(each.step, pytest.approx(each.loss, rel=1e-5)) for each in losses]
    for split, prefix in (("validation", "eval"), ("test", "test")):
        figures = [each for each in events_of(run, Evaluated) if each.split == split]
        assert figures
        for name, value in {**figures[-1].metrics, "loss": figures[-1].loss}.items():
            assert shown[f"{prefix}/{name}"][-1] == (figures[-1].step, pytest.approx(value, rel=1e-5))
    command = f"tensorboard --logdir {run.path.parent}"
    assert notes(run)["tracker_told"] == {"tracker": "tensorboard", "shown_by": command}


def test_tracker_that_cannot_begin_ends_the_run_with_its_reason(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    spec = workshop.spec("bert", training__epochs=1, training__trackers=("tensorboard",))
    run = ended(workshop.start(spec, TENSORBOARD_LOGGING_DIR=str(tmp_path / "file")))
    status = run.status()
    assert status.state is JobState.FAILED
    assert isinstance(status.error, TrackerFailed)
    assert status.error.facts["tracker"] == "tensorboard"
    assert "NotADirectoryError" in status.error.facts["reason"]
    assert "before" not in {each.name for each in events_of(run, BaselineMeasured)}, "no time went into it"


class Broken(TrainerCallback):
    """A tracker whose connection is lost after its second word."""

    heard = 0

    def on_log(self, *_: Any, **__: Any) -> None:
        Broken.heard += 1
        if Broken.heard == 2:
            raise ConnectionError("the server is gone\nand more that nobody needs")


def test_tracker_that_breaks_down_is_told_no_more_and_the_run_says_so(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "trackio", Broken)
    monkeypatch.setattr(Broken, "heard", 0)
    context = JobContext(workshop.store.create(workshop.spec("bert")))
    Trackers(context, ["trackio", "tensorboard"]).begin(arguments_in(tmp_path), None)
    for step in (1, 2, 3):
        context.emit(LossLogged(step, step / 3, 1 / step, 1e-3))
    context.at_end[0]()
    assert Broken.heard == 2
    assert notes(context.job)["tracker_lost"] == {"tracker": "trackio", "reason": "ConnectionError: the server is gone"}
    assert [step for step, _ in scalars(context.path / "tensorboard")["train/loss"]] == [1, 2, 3]


def test_what_the_environment_says_of_a_place_holds(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "20260101-000000-abcdef"
    usual = places_of({}, run)
    assert usual["MLFLOW_TRACKING_URI"] == f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert usual["TENSORBOARD_LOGGING_DIR"] == str(run / "tensorboard")
    given = {
        "MLFLOW_TRACKING_URI": "http://elsewhere:5000",
        "TENSORBOARD_LOGGING_DIR": "/logs",
        "WANDB_PROJECT": "mine",
    }
    chosen = places_of(given, run)
    assert {name: chosen[name] for name in given} == {**given, "TENSORBOARD_LOGGING_DIR": f"/logs/{run.name}"}


@pytest.fixture
def mlflow_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that MLflow, which is not installed here, would know: a package with the three names that are used."""

    class MlflowException(Exception):
        """There is no such run."""

    known: list[str] = []
    package = ModuleType("mlflow")

    def get_run(run_id: str) -> None:
        if run_id not in known:
            raise MlflowException(run_id)

    vars(package).update(
        get_run=get_run,
        active_run=lambda: SimpleNamespace(info=SimpleNamespace(run_id=known[-1])),
        exceptions=SimpleNamespace(MlflowException=MlflowException),
    )
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(INTEGRATION_TO_CALLBACK, "mlflow", Looking)
    monkeypatch.setattr(Looking, "places", [])
    monkeypatch.setattr(Looking, "begun", known)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    return known


class Looking(TrainerCallback):
    """A tracker that looks up where it writes whenever it is told something, as MLflow does."""

    places: ClassVar[list[str]] = []
    begun: ClassVar[list[str]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.begun.append(os.environ.get("MLFLOW_RUN_ID", f"new {len(self.begun)}"))

    def on_log(self, *_: Any, **__: Any) -> None:
        self.places.append(os.environ["MLFLOW_TRACKING_URI"])

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.places.append("ended")


@pytest.mark.parametrize("end", ["stopped", "failed", "completed"])
def test_tracker_finds_its_place_until_the_job_ends_however_it_does(
    workshop: Workshop, tmp_path: Path, mlflow_runs: list[str], end: str
) -> None:
    context = JobContext(workshop.store.create(workshop.spec("bert")))

    def work(_context: JobContext) -> dict[str, Any]:
        Trackers(context, ["mlflow"]).begin(arguments_in(tmp_path), None)
        context.emit(LossLogged(1, 0.5, 1.0, 1e-3))
        if end == "stopped":
            raise StopRequested
        if end == "failed":
            raise RuntimeError("a fault")
        return {}

    carry_out(context, work)
    place = f"sqlite:///{workshop.store.home.path / 'mlflow.db'}"
    assert Looking.places == [place, "ended"]
    assert mlflow_runs == ["new 0"]
    assert "MLFLOW_TRACKING_URI" not in os.environ
    kinds = [type(event).__name__ for event in context.job.events()]
    assert kinds[-1] == {"stopped": "JobStopped", "failed": "JobFailed", "completed": "JobCompleted"}[end]


def test_what_goes_wrong_at_the_end_is_raised_and_what_hangs_is_left() -> None:
    def fail() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        _within(5, fail)
    over = threading.Event()
    with pytest.raises(TimeoutError):
        _within(0.05, over.wait)
    over.set()
    done: list[int] = []
    _within(5, lambda: done.append(1))
    assert done == [1]


def test_resumed_run_goes_on_in_the_run_that_mlflow_knows(
    workshop: Workshop, tmp_path: Path, mlflow_runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = workshop.store.create(workshop.spec("bert"))

    def begin() -> str:
        context = JobContext(job)
        Trackers(context, ["mlflow"]).begin(arguments_in(tmp_path), None)
        context.at_end[0]()
        return mlflow_runs[-1]

    assert [begin(), begin()] == ["new 0", "new 0"]
    assert "MLFLOW_RUN_ID" not in os.environ
    mlflow_runs.clear()  # it was deleted there
    mlflow_runs.append("another's")
    assert [begin(), begin()] == ["new 1", "new 1"]
    monkeypatch.setenv("MLFLOW_RUN_ID", "mine")
    assert begin() == "mine"
