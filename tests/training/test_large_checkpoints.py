"""Checkpoints that take long to write are written now and then; the best weights always, and nothing is lost."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from safetensors.torch import load_file

from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.events import CheckpointSaved, Evaluated, Resumed
from backend.jobs.process import JobContext, StopRequested
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.training import checkpoints
from backend.worker import train
from tests.processes import until
from tests.training.conftest import Workshop, ended, events_of

EPOCHS, EVALUATIONS = 40, 6


def test_between_dear_checkpoints_the_best_weights_are_written(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = workshop.spec("bert", training__epochs=EPOCHS, training__evaluations=1, training__patience=0)
    whole = workshop.start(spec)
    # As if these little models were large, and to write one took an hour.
    monkeypatch.setattr(checkpoints, "SMALL_BYTES", 0)
    monkeypatch.setattr(checkpoints, "TIMES_ITS_TIME", 1e9)
    run = workshop.store.create(spec)

    def stop() -> None:
        until(lambda: len(events_of(run, Evaluated)) >= EVALUATIONS)
        run.request_stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(StopRequested):
        train(JobContext(run))
    stopping.join()

    evaluated = [event for event in events_of(run, Evaluated) if event.split == "validation"]
    saved = events_of(run, CheckpointSaved)
    found = {checkpoint.step: checkpoint for checkpoint in list_checkpoints(run.path)}
    first, last = evaluated[0].step, saved[-1].step
    assert [step for step, checkpoint in found.items() if checkpoint.complete] == [first, last]
    assert all(event.best for event in saved[1:-1]), "else there was nothing to write"
    assert not any(found[event.step].complete for event in saved[1:-1] if event.step in found)
    assert found[last].position["best"]["step"] in found

    workshop.store.resume(run.id)
    for each in (whole, run):
        assert ended(each).status().state is JobState.COMPLETED, each.log_path.read_text()[-3000:]
    assert events_of(run, Resumed)[0].step == last
    weights = [load_file(each.path / "model" / "model.safetensors") for each in (whole, run)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    reports = [read_report(each) for each in (whole, run)]
    assert reports[0] is not None
    assert reports[1] is not None
    assert reports[0]["metrics"] == reports[1]["metrics"]
    assert reports[0]["best"] == reports[1]["best"]
