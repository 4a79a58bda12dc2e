"""Runs that end after so many steps: how long they are, and that what they end with is judged, too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.errors import LossNotFinite
from backend.jobs.directory import JobDirectory
from backend.jobs.events import Evaluated, LossLogged, Noted, Progressed
from backend.jobs.process import JobContext, carry_out
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.training.arguments import build_arguments
from backend.training.callbacks import Evaluating, check_finite
from backend.worker import train
from tests.training.conftest import Workshop, ended, events_of


def best_of(run: JobDirectory) -> int:
    """The step that the kept model is of."""
    return int((read_report(run) or {})["best"]["step"])


def evaluated(run: JobDirectory) -> list[int]:
    """The steps after which the model was asked about the validation texts."""
    return [event.step for event in events_of(run, Evaluated) if event.split == "validation"]


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_run_is_evaluated_after_its_last_step_wherever_that_is(workshop: Workshop, steps: int) -> None:
    # 194 rows are 13 batches of 16: the runs end within the first epoch, or within the second.
    settings = {"training__max_steps": steps, "training__batch_size": 16, "training__learning_rate": 1e-2}
    run, _ = workshop.do_here(workshop.spec("bert", **settings))
    at = evaluated(run)
    assert at[-1] == steps
    assert len(at) == len(set(at))
    assert best_of(run) in at
    progressed = [event for event in events_of(run, Progressed) if event.phase == "training"]
    assert progressed[-1].done == progressed[-1].total == steps
    assert progressed[-1].epochs == math.ceil(steps / 13)


def test_short_run_is_evaluated_often_within_what_it_does_of_an_epoch(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("bert", training__max_steps=80, training__batch_size=2))
    assert len(evaluated(run)) == 2, "80 of 97 steps: each costs a twentieth of them"


def test_long_run_is_not_evaluated_more_often_for_its_epochs_not_being_asked_for(workshop: Workshop) -> None:
    settings = {"training__max_steps": 130, "training__batch_size": 16, "training__epochs": 1}
    run, _ = workshop.do_here(workshop.spec("bert", **settings))
    assert evaluated(run) == list(range(13, 131, 13))


@pytest.mark.parametrize(("steps", "at"), [(1, [1]), (5, [3, 5]), (404, [300, 404])])
def test_steps_of_a_starter_count_from_its_first_part_on(workshop: Workshop, steps: int, at: list[int]) -> None:
    run, _ = workshop.do_here(workshop.spec("starter", "support_tickets", training__max_steps=steps))
    assert evaluated(run)[0] == at[0], "what the first part has reached"
    assert evaluated(run)[-1] == at[-1] == steps
    assert best_of(run) in evaluated(run)
    assert events_of(run, LossLogged)[-1].step == steps
    progressed = [event for event in events_of(run, Progressed) if event.phase == "training"]
    assert {event.total for event in progressed} == {steps}
    assert progressed[-1].done == steps


def test_losses_of_training_that_are_not_those_of_evaluations_are_told(workshop: Workshop) -> None:
    asked: list[dict[str, Any]] = [{}, {"training__loss": "focal"}]
    asked += [{"training__label_smoothing": 0.1}, {"training__label_weights": {"good": 3.0}}]
    told = []
    for settings in asked:
        run, _ = workshop.do_here(workshop.spec("bert", training__max_steps=1, **settings))
        told.append("losses_differ" in {note.code for note in events_of(run, Noted)})
    assert told == [False, True, True, True]


def test_starter_that_was_stopped_takes_as_many_steps_as_were_left(workshop: Workshop) -> None:
    run = workshop.store.create(workshop.spec("starter", "support_tickets", training__max_steps=20))
    context = JobContext(run)
    context.hearers.append(lambda event: run.request_stop() if getattr(event, "step", 0) == 17 else None)
    assert carry_out(context, train) == 3, "stopped, two steps after the first part of 15"
    workshop.store.resume(run.id)
    assert ended(run).status().state is JobState.COMPLETED, run.log_path.read_text()
    assert max(event.step for event in events_of(run, LossLogged)) == 20
    assert evaluated(run)[-1] == 20


def test_evaluations_that_are_asked_for_are_those_of_a_whole_epoch(workshop: Workshop) -> None:
    settings = {"training__max_steps": 5, "training__batch_size": 16, "training__evaluations": 4}
    run, _ = workshop.do_here(workshop.spec("bert", **settings))
    assert evaluated(run) == [3, 5], "after a quarter of 13 steps, and at the end"


def test_run_that_was_stopped_at_its_last_step_takes_no_other_when_it_goes_on(workshop: Workshop) -> None:
    settings = {"training__max_steps": 5, "training__batch_size": 16, "training__scheduler": "constant"}
    run = workshop.store.create(workshop.spec("bert", **settings))
    context = JobContext(run)
    context.hearers.append(lambda event: run.request_stop() if getattr(event, "step", 0) == 4 else None)
    assert carry_out(context, train) == 3, "stopped"
    assert evaluated(run) == []
    workshop.store.resume(run.id)
    assert ended(run).status().state is JobState.COMPLETED, run.log_path.read_text()
    assert max(event.step for event in events_of(run, LossLogged)) == 5
    assert evaluated(run) == [5]
    assert best_of(run) == 5


def test_evaluations_that_are_asked_for_are_made_besides_the_last() -> None:
    evaluating = Evaluating(2, 10, last=13)
    assert [step for step in range(14) if evaluating.due_at(step)] == [5, 10, 13]
    assert not any(Evaluating(1, 10, last=4).due_at(step) for step in (0, 1, 2, 3))


def test_usual_rate_is_that_of_the_model(tmp_path: Path) -> None:
    about: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 8,
        "warmup_share": 0.0,
        "weight_decay": 0.0,
        "seed": 1,
        "precision": "bf16",
    }
    cpu = torch.device("cpu")
    for usual, cause in ((8e-5, "bf16"), (2e-5, "learning_rate")):
        arguments = build_arguments(tmp_path, **about, device=cpu, learning_rate=8e-5, usual_rate=usual)
        with pytest.raises(LossNotFinite) as caught:
            check_finite(math.nan, 7, 1e-6, arguments)
        assert (caught.value.cause, caught.value.highest_rate) == (cause, 8e-5)
