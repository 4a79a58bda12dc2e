"""Runs by two processes of one machine: the same as by one, and one story told of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.torch import load_file

from backend.errors import (
    LabelWeightsUnknown,
    LossNotFinite,
    MachineGone,
    MachinesDiffer,
    ProcessesLost,
    StudioError,
    TooManyProcesses,
    TrackerFailed,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.events import Evaluated, JobCompleted, LossLogged, Noted, PhaseStarted
from backend.jobs.process import JobContext
from backend.jobs.ranks import Rank, rank_of
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from backend.machine import most_processes, this_machine
from backend.settings import Home
from backend.specs import RunSpec, conflicts
from backend.training.arguments import LONGEST_WAIT_S
from backend.training.rows import DividedBatches, LengthGroupedOrder, RandomOrder
from backend.worker import divide, learned_from, read
from tests.processes import free_port, processes_of, rank_in, until
from tests.tiny_models import UNCLIPPED, make_enormous, make_tiny
from tests.training.conftest import BAD, GOOD, Workshop, ended, events_of

pytestmark = pytest.mark.skipif(most_processes(this_machine()) < 2, reason="one card: a run cannot be shared among two")
TWO = {"compute__processes": 2}
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def steady(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny BERT without dropout, whose random numbers would be others in each process."""
    folder = tmp_path_factory.mktemp("steady")
    for file in workshop.models["bert"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return str(folder)


def workers_in(run: JobDirectory) -> list[psutil.Process]:
    """The processes that train."""
    return [process for process in processes_of(run) if rank_in(process) is not None]


@pytest.mark.parametrize("batching", ["random", "length_grouped"])
def test_batches_divided_among_processes_are_those_of_one(batching: str) -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=131)
    kind = RandomOrder if batching == "random" else LengthGroupedOrder
    whole = list(kind(lengths, 16, seed=3))
    parts = [DividedBatches(kind(lengths, 16, seed=3), 16, processes=4, process=p) for p in range(4)]
    assert len({len(part) for part in parts}) == 1
    # 131 rows: 8 batches of 16, and three rows that are too few for four processes and join the last batch.
    together = [sorted(row for rows in batch for row in rows) for batch in zip(*parts, strict=True)]
    assert together == [sorted(whole[i : i + 16]) for i in range(0, 112, 16)] + [sorted(whole[112:])]


def test_two_processes_learn_what_one_learns(workshop: Workshop, steady: str) -> None:
    """Rows, accumulation, class weights and clipping included: the same curve, figures and weights to rounding."""
    settings: dict[str, Any] = {
        "training__batch_size": 10,  # of which 194 rows make an incomplete last batch
        "training__accumulation": 2,
        "training__class_weights": "balanced",
        "training__precision": "fp32",
        "training__evaluations": 2,
        "training__metric": "accuracy",
    }
    alone = workshop.start(workshop.spec(steady, **settings))
    both = workshop.start(workshop.spec(steady, **settings, **TWO))
    for run in (alone, both):
        assert ended(run).status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
        notes = {note.code: note.facts for note in events_of(run, Noted)}
        assert notes["vocabulary_in_use"]["used"] < notes["vocabulary_in_use"]["size"]
    curves = [[(e.step, e.loss, e.gradient_norm) for e in events_of(run, LossLogged)] for run in (alone, both)]
    assert len(curves[0]) == 20
    assert np.allclose(curves[0], curves[1], rtol=2e-4, atol=1e-5)
    losses = [[e.loss for e in events_of(run, Evaluated)] for run in (alone, both)]
    assert np.allclose(losses[0], losses[1], rtol=1e-3)
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (alone, both)]
    assert all(np.allclose(weights[0][name], weights[1][name], atol=2e-3) for name in weights[0])
    # One of them tells: nothing stands twice.
    phases = [event.phase for event in events_of(both, PhaseStarted)]
    assert len(phases) == len(set(phases)) == 7
    assert len(events_of(both, JobCompleted)) == 1
    assert read_report(both)["rows"] == read_report(alone)["rows"]  # type: ignore[index]
    assert read_report(both)["device"] == f"{read_report(alone)['device']} × 2"  # type: ignore[index]


def test_token_budget_batches_and_the_starter_go_on_two_processes(workshop: Workshop) -> None:
    spec = workshop.spec("starter", "support_tickets", training__max_steps=4, speed__batching="token_budget", **TWO)
    run = ended(workshop.start(spec))
    assert run.status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
    assert all(np.isfinite(event.loss) for event in events_of(run, LossLogged))


def test_stop_is_heard_by_all_processes_at_the_same_step(workshop: Workshop, steady: str) -> None:
    run = workshop.start(workshop.spec(steady, training__epochs=500, training__batch_size=8, **TWO))
    until(lambda: events_of(run, Evaluated))
    run.request_stop()
    assert ended(run).status().state is JobState.STOPPED, run.log_path.read_text()[-3000:]
    assert (run.path / "model" / "model.safetensors").exists()
    until(lambda: not processes_of(run), patience_s=10)


@pytest.mark.parametrize("number", [0, 1])
def test_process_that_is_killed_fails_the_run_and_leaves_none(workshop: Workshop, steady: str, number: int) -> None:
    run = workshop.start(workshop.spec(steady, training__epochs=500, training__batch_size=8, **TWO))
    until(lambda: len(events_of(run, LossLogged)) > 3)
    killed = next(process for process in workers_in(run) if rank_in(process) == number)
    killed.send_signal(signal.SIGKILL)
    status = ended(run).status()
    assert status.state is JobState.FAILED
    assert isinstance(status.error, ProcessesLost), status.error
    until(lambda: not processes_of(run), patience_s=40)


def test_more_processes_than_the_machine_can_share_are_refused_before_there_is_a_run(workshop: Workshop) -> None:
    most, before = most_processes(this_machine()), len(workshop.store.summaries())
    if most >= 64:
        pytest.skip("this machine can share a run among as many as may be asked for")
    with pytest.raises(TooManyProcesses) as caught:
        workshop.start(workshop.spec("starter", compute__processes=most + 1))
    assert (caught.value.asked, caught.value.most) == (most + 1, most)
    assert len(workshop.store.summaries()) == before


def test_processes_whose_parent_is_gone_end_themselves(workshop: Workshop, steady: str) -> None:
    run = workshop.start(workshop.spec(steady, training__epochs=500, training__batch_size=8, **TWO))
    until(lambda: len(events_of(run, LossLogged)) > 3)
    for process in processes_of(run, "torch.distributed.run"):
        process.send_signal(signal.SIGKILL)
    until(lambda: not processes_of(run), patience_s=15)
    assert run.status().state.is_final
    assert run.status().state is not JobState.COMPLETED


@pytest.mark.parametrize("fsdp", [False, True])
def test_loss_that_is_no_number_ends_all_processes_and_keeps_the_best(
    workshop: Workshop, tmp_path: Path, fsdp: bool
) -> None:
    base = make_enormous(tmp_path, [*GOOD, *BAD])
    run = ended(
        workshop.start(workshop.spec(str(base), training__evaluations=7, compute__fsdp=fsdp, **UNCLIPPED, **TWO))
    )
    status = run.status()
    assert isinstance(status.error, LossNotFinite), (status, run.log_path.read_text()[-3000:])
    assert status.error.kept == "best"
    assert read_report(run)["state"] == "failed"  # type: ignore[index]
    until(lambda: not processes_of(run), patience_s=10)


def test_processes_of_a_processor_wait_as_long_for_each_other_as_those_of_cards(tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environ = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [*launch, "-m", "tests.training.waiting", str(tmp_path)]
    done = subprocess.run(command, env=environ, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    waits = [json.loads((tmp_path / f"waits-{rank}.json").read_text()) for rank in range(2)]
    assert waits == [[2, float(LONGEST_WAIT_S)]] * 2


def test_what_fails_in_another_process_is_what_the_run_says(tmp_path: Path) -> None:
    job = JobDirectory.create(tmp_path, kind="train", module="none", spec={})
    assert job.rank_error() is None
    told = LossNotFinite(step=3, learning_rate=0.1).to_dict()
    (job.path / "rank-1.json").write_text(json.dumps(told), "utf-8")
    assert isinstance(StudioError.from_dict(job.rank_error() or {}), LossNotFinite)


def test_two_machines_meet_and_each_keeps_the_run(workshop: Workshop, steady: str, tmp_path: Path) -> None:
    runs = run_on_two_machines(workshop, workshop.spec(steady, training__max_steps=6), tmp_path, {})
    for run in runs:
        assert run.status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
        first = next(iter(run.events()))
        assert isinstance(first, Noted)
        assert (first.code, first.facts["machines"]) == ("machines_awaited", 2)
    curves = [[(e.step, e.loss) for e in events_of(run, LossLogged)] for run in runs]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 6
    weights = [load_file(run.path / "model" / "model.safetensors") for run in runs]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ({"training__learning_rate": 1e-4}, "settings"),
        ({"model__base": "other"}, "model"),
    ],
)
def test_machines_that_would_not_do_the_same_are_told_so(
    workshop: Workshop, steady: str, tmp_path: Path, values: dict[str, Any], changed: str
) -> None:
    if "model__base" in values:  # of the same size, with another vocabulary
        values = {"model__base": str(make_tiny(tmp_path / "other", "bert", [*BAD, *GOOD[::-1], "and", "others"]))}
    runs = run_on_two_machines(workshop, workshop.spec(steady, training__max_steps=6), tmp_path, values)
    for run in runs:
        error = run.status().error
        assert isinstance(error, MachinesDiffer), (error, run.log_path.read_text()[-3000:])
        assert error.changed == changed


def test_what_machines_compare_tells_one_table_from_another(workshop: Workshop) -> None:
    """Each would be told by its name, as settings and model are by runs above."""

    def told(**values: Any) -> dict[str, Any]:
        spec = workshop.spec("bert", **values)
        context = JobContext(workshop.store.create(spec))
        labelled, splits = divide(context, *read(context, spec), spec)
        return learned_from(labelled, splits)

    usual = told()
    assert usual == told()
    assert [name for name, value in told(split__seed=7).items() if value != usual[name]] == ["texts"]
    assert [name for name, value in told(sample__rows=200).items() if value != usual[name]] == ["rows", "texts"]


@pytest.mark.parametrize("machine", [0, 1])
def test_machine_that_fails_before_all_have_met_does_not_leave_the_other_waiting(
    workshop: Workshop, steady: str, tmp_path: Path, machine: int
) -> None:
    spec = workshop.spec(steady, training__max_steps=6)
    unknown = {"training__label_weights": {"excellent": 2.0}}
    first, second = (unknown, {"training__label_weights": {}}) if machine == 0 else ({}, unknown)
    runs = run_on_two_machines(workshop, spec.replaced(**first), tmp_path, second)
    errors = [run.status().error for run in runs]
    assert isinstance(errors[machine], LabelWeightsUnknown), errors
    other = errors[1 - machine]
    assert isinstance(other, MachineGone), (errors, runs[1 - machine].log_path.read_text()[-3000:])
    assert other.machine == machine


def test_stop_while_the_other_machine_is_awaited_is_heard_by_both(
    workshop: Workshop, steady: str, tmp_path: Path
) -> None:
    stores, specs = two_machines(workshop, workshop.spec(steady, training__max_steps=6), tmp_path, {})
    runs = [store.start_new(spec) for store, spec in zip(stores, specs, strict=True)]
    until(lambda: events_of(runs[1], PhaseStarted))
    stores[1].stop(runs[1].id)
    first, second = (ended(run).status() for run in runs)
    assert second.state is JobState.STOPPED
    assert isinstance(first.error, MachineGone), (first, runs[0].log_path.read_text()[-3000:])
    assert first.error.machine == 1


def test_machine_that_is_killed_before_all_have_met_does_not_leave_the_other_waiting(
    workshop: Workshop, steady: str, tmp_path: Path
) -> None:
    stores, specs = two_machines(workshop, workshop.spec(steady, training__max_steps=6), tmp_path, {})
    first, second = (store.start_new(spec) for store, spec in zip(stores, specs, strict=True))
    until(lambda: events_of(second, PhaseStarted))
    for process in workers_in(second):
        process.send_signal(signal.SIGKILL)
    assert isinstance(ended(second).status().error, ProcessesLost)
    error = ended(first).status().error
    assert isinstance(error, MachineGone), (error, first.log_path.read_text()[-3000:])
    assert error.machine == 1


def test_tracker_that_cannot_begin_on_the_first_machine_ends_the_run_on_both(
    workshop: Workshop, steady: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    spec = workshop.spec(steady, training__max_steps=6, training__trackers=("tensorboard",))
    stores, specs = two_machines(workshop, spec, tmp_path, {"training__trackers": ()})
    environ = {"TENSORBOARD_LOGGING_DIR": str(tmp_path / "file")}
    runs = [store.start_new(each, environ=environ) for store, each in zip(stores, specs, strict=True)]
    errors = [ended(run).status().error for run in runs]
    assert isinstance(errors[0], TrackerFailed), errors
    assert isinstance(errors[1], MachineGone), (errors, runs[1].log_path.read_text()[-3000:])
    assert errors[1].machine == 0


def test_tracker_that_cannot_begin_is_what_both_processes_of_a_machine_say(
    workshop: Workshop, steady: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    spec = workshop.spec(steady, training__max_steps=6, training__trackers=("tensorboard",), **TWO)
    run = ended(workshop.start(spec, TENSORBOARD_LOGGING_DIR=str(tmp_path / "file")))
    assert isinstance(run.status().error, TrackerFailed), run.log_path.read_text()[-3000:]
    assert isinstance(StudioError.from_dict(run.rank_error() or {}), TrackerFailed)


def test_two_processes_of_each_machine_do_not_take_their_own_for_another(
    workshop: Workshop, steady: str, tmp_path: Path
) -> None:
    unknown = {"training__label_weights": {"excellent": 2.0}}
    spec = workshop.spec(steady, training__max_steps=6, training__batch_size=8, **TWO)
    runs = run_on_two_machines(workshop, spec, tmp_path, unknown)
    errors = [run.status().error for run in runs]
    assert isinstance(errors[0], MachineGone), errors
    assert errors[0].machine == 1
    assert isinstance(errors[1], LabelWeightsUnknown), errors


def run_on_two_machines(
    workshop: Workshop, spec: RunSpec, folder: Path, of_the_second: Mapping[str, Any]
) -> list[JobDirectory]:
    """The ended runs of two machines."""
    stores, specs = two_machines(workshop, spec, folder, of_the_second)
    return [ended(run) for run in [store.start_new(each) for store, each in zip(stores, specs, strict=True)]]


def two_machines(
    workshop: Workshop, spec: RunSpec, folder: Path, of_the_second: Mapping[str, Any]
) -> tuple[list[RunStore], list[RunSpec]]:
    """Two homes on one host, as two machines would have them, with the same tables in both; and each one's run."""
    spec = spec.replaced(compute__machines=2, compute__rendezvous=f"127.0.0.1:{free_port()}")
    other = Home(folder / "home").prepare()
    (other.datasets).rmdir()
    (other.datasets).symlink_to(workshop.store.home.datasets)
    return [workshop.store, RunStore(other)], [spec, spec.replaced(compute__machine=1, **of_the_second)]


def test_settings_of_processes_that_do_not_hold_are_refused() -> None:
    def rules(**values: object) -> list[str]:
        return [problem["rule"] for problem in conflicts(RunSpec().replaced(**values))]

    assert rules(compute__processes=3, training__batch_size=64) == ["conflict.batch_not_divided"]
    assert rules(compute__processes=3) == []
    assert rules(compute__machines=2, compute__rendezvous="here") == ["conflict.rendezvous_needed"]
    assert rules(compute__machines=2, compute__rendezvous="here:29500", compute__machine=2) == [
        "conflict.no_such_machine"
    ]
    assert rules(compute__machines=2, compute__rendezvous="here:29500", compute__machine=1) == []
    assert rank_of({}) == Rank()


def test_gradient_that_one_process_lacks_counts_as_zero_there(tmp_path: Path) -> None:
    """As where its part of a batch does not reach a weight: else the processes would average other weights."""
    subprocess.run([sys.executable, "-m", "tests.training.little_gradients", str(tmp_path)], cwd=PROJECT, check=True)
    found = [(tmp_path / f"found-{number}").read_text("utf-8") for number in range(2)]
    assert found == [repr([[3.0, 3.0], [4.0, 4.0], None, None])] * 2
