"""Runs that are killed, stopped and damaged, and go on as if nothing had happened."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, samples, start_import, wait
from backend.jobs.checkpoints import MANIFEST, STAGING, list_checkpoints, to_resume
from backend.jobs.directory import JobDirectory
from backend.jobs.events import CheckpointSaved, Evaluated, LossLogged, Noted, Resumed
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from backend.settings import Home
from backend.specs import RunSpec, build_spec
from tests.processes import PATIENCE_S, WORKER, kill, processes_of, until
from tests.tiny_models import make_tiny
from tests.training.conftest import write_table

KILLS, KILLS_IN_SOAK = 20, 200
DAMAGES = 200
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Sums of several threads may differ in the last bit from one run to the next."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunStore, RunSpec]:
    """A store with a table and a base model, and a spec that trains some seconds."""
    folder = tmp_path_factory.mktemp("resume")
    home, table = Home(folder / "home").prepare(), write_table(folder / "reviews.csv", 240)
    other = next(sample.file for sample in samples() if sample.id == "film_blurbs")  # not all is in the table
    known = [line for source in (table, other) for line in source.read_text("utf-8").splitlines()]
    base = make_tiny(folder / "bert", "bert", known, width=128)  # smaller weights would have no moments of 8 bits
    dataset = wait(start_import(home, table), PATIENCE_S)["dataset"]
    spec = build_spec(
        {
            **first_choices(load_profile(home, dataset)).model_dump(),
            "model": {"base": str(base)},
            "training": {"epochs": 8, "batch_size": 16, "learning_rate": 3e-3, "evaluations": 3},
        }
    )
    return RunStore(home), spec


def ended(run: JobDirectory) -> JobDirectory:
    """The run when it has ended."""
    until(lambda: run.status().state.is_final, "the end")
    return run


def weights(run: JobDirectory) -> dict[str, torch.Tensor]:
    """Of its finished model."""
    return load_file(run.path / "model" / "model.safetensors")


def assert_same(run: JobDirectory, other: JobDirectory) -> None:
    """Both have come to the same model and the same figures."""
    assert run.status().state is other.status().state is JobState.COMPLETED, run.log_path.read_text()[-2000:]
    ours, theirs = weights(run), weights(other)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    reports = [read_report(each) for each in (run, other)]
    for name in ("metrics", "best", "labels", "rows", "baselines"):
        assert reports[0][name] == reports[1][name]  # type: ignore[index]


def curve(run: JobDirectory, kind: type[LossLogged] | type[Evaluated]) -> dict[int, float]:
    """The losses by step, without what a later attempt has superseded."""
    points: dict[int, float] = {}
    for event in run.events():
        if isinstance(event, Resumed):
            points = {step: loss for step, loss in points.items() if step <= event.step}
        elif isinstance(event, kind) and getattr(event, "split", "validation") == "validation":
            points[event.step] = event.loss
    return points


def kill_worker(run: JobDirectory, after_s: float, *, in_a_save: bool) -> None:
    """Kill the worker so long after it was started, or while it saves."""
    saving, moment = run.path / "checkpoints" / STAGING, time.monotonic() + after_s
    while run.status().state in (JobState.QUEUED, JobState.STARTING):
        time.sleep(0.01)
    while not run.status().state.is_final:
        if saving.exists() if in_a_save else time.monotonic() > moment:
            break
        time.sleep(0.001)
    for worker in processes_of(run, WORKER):
        worker.kill()
    ended(run)


def killed_until_done(store: RunStore, spec: RunSpec, kills: int, within_s: float) -> tuple[JobDirectory, int]:
    """A run whose worker is killed so often, a quarter of it in a save, and resumed; with how often it was.

    Args:
        within_s: how long a run takes that nobody touches. A worker is killed at any moment of that: it may be
            reading, learning or saving.
    """
    draw, done = random.Random(3), 0
    run = store.start_new(spec, environ=ONE_THREAD)
    while done < kills:
        kill_worker(run, draw.uniform(0, within_s), in_a_save=done % 4 == 0)
        if run.status().state is JobState.COMPLETED:
            break
        assert run.status().state is JobState.INTERRUPTED, run.log_path.read_text()[-2000:]
        done += 1
        store.resume(run.id, environ=ONE_THREAD)
    return ended(run), done


def check_kills(shop: tuple[RunStore, RunSpec], kills: int) -> None:
    """Killed ``kills`` times in all, runs come to what one comes to that nobody touches."""
    store, spec = shop
    untouched = store.start_new(spec, environ=ONE_THREAD)
    ended(untouched)
    assert "vocabulary_in_use" in {event.code for event in untouched.events() if isinstance(event, Noted)}
    status, done = untouched.status(), 0
    assert status.ended is not None
    while done < kills:
        run, times = killed_until_done(store, spec, min(10, kills - done), status.ended - status.created)
        assert times, "it was never killed"
        done += times
        assert_same(run, untouched)
        assert curve(run, Evaluated) == curve(untouched, Evaluated)
        assert curve(run, LossLogged).keys() == curve(untouched, LossLogged).keys()
        store.delete(run.id)


@pytest.mark.timeout(900)
def test_killed_workers_lose_nothing(shop: tuple[RunStore, RunSpec]) -> None:
    check_kills(shop, KILLS)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_killed_workers_lose_nothing(shop: tuple[RunStore, RunSpec]) -> None:
    check_kills(shop, KILLS_IN_SOAK)


@pytest.mark.parametrize(
    "values",
    [
        {"speed__batching": "token_budget", "training__accumulation": 2},
        {"speed__batching": "random", "compute__processes": 2},
        {"adapting__adapter": "lora", "speed__batching": "length_split"},
        {"training__optimizer": "adamw_8bit"},
    ],
    ids=["token-budget", "two-processes", "lora-in-parts", "moments-of-8-bits"],
)
def test_stop_and_resume_change_nothing(shop: tuple[RunStore, RunSpec], values: dict[str, Any]) -> None:
    store, spec = shop
    runs = [store.start_new(spec.replaced(**values), environ=ONE_THREAD) for _ in range(2)]
    stopped, untouched = runs
    until(lambda: len([e for e in stopped.events() if isinstance(e, LossLogged)]) > 8, "some steps")
    store.stop(stopped.id)
    assert ended(stopped).status().state is JobState.STOPPED, stopped.log_path.read_text()[-2000:]
    step = list_checkpoints(stopped.path)[-1].step
    assert step == max(e.step for e in stopped.events() if isinstance(e, LossLogged)), "saved at the step's end"
    store.resume(stopped.id, environ=ONE_THREAD)
    ended(stopped)
    assert [event.step for event in stopped.events() if isinstance(event, Resumed)] == [step]
    assert_same(stopped, ended(untouched))
    assert curve(stopped, Evaluated) == curve(untouched, Evaluated)


@pytest.fixture(scope="module")
def halted(shop: tuple[RunStore, RunSpec]) -> JobDirectory:
    """A stopped run with three checkpoints."""
    store, spec = shop
    run = store.start_new(spec, environ=ONE_THREAD)
    until(lambda: len([e for e in run.events() if isinstance(e, CheckpointSaved)]) > 4, "checkpoints")
    store.stop(run.id)
    return ended(run)


@pytest.fixture
def copied(halted: JobDirectory, tmp_path: Path) -> Path:
    """A copy of it that may be spoiled."""
    return Path(shutil.copytree(halted.path, tmp_path / "run"))


def test_every_damage_of_a_checkpoint_is_seen_and_the_one_before_taken(copied: Path, tmp_path: Path) -> None:
    draw = random.Random(11)
    whole = list_checkpoints(copied)
    newest, before = whole[-1], whole[-2]
    names = [*newest.files, MANIFEST]
    assert {"model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"} <= set(names)
    for case in range(DAMAGES):
        file = newest.path / names[case % len(names)]
        content = file.read_bytes()
        if case // len(names) % 2:
            file.write_bytes(content[: draw.randrange(len(content))])
        else:
            place = draw.randrange(len(content))
            file.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        chosen, damaged = to_resume(copied)
        assert chosen is not None
        assert (chosen.step, damaged) == (before.step, [newest.step]), (case, file.name)
        file.write_bytes(content)
    assert to_resume(copied) == (newest, [])


def test_a_damaged_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(shop: tuple[RunStore, RunSpec]) -> None:
    store, spec = shop
    run = store.start_new(spec)
    until(lambda: len([e for e in run.events() if isinstance(e, CheckpointSaved)]) > 3, "checkpoints")
    store.stop(run.id)
    ended(run)
    *_, before, newest = list_checkpoints(run.path)
    (newest.path / "optimizer.pt").write_bytes(b"")
    store.resume(run.id)
    assert ended(run).status().state is JobState.COMPLETED, run.log_path.read_text()[-2000:]
    (resumed,) = [event for event in run.events() if isinstance(event, Resumed)]
    assert (resumed.step, resumed.damaged) == (before.step, [newest.step])
    assert not (run.path / "checkpoints").exists(), "a completed run needs none"


def test_other_data_than_a_checkpoint_has_learned_from_is_refused(shop: tuple[RunStore, RunSpec]) -> None:
    store, spec = shop
    run = store.start_new(spec)
    until(lambda: any(isinstance(e, CheckpointSaved) for e in run.events()), "a checkpoint")
    store.stop(run.id)
    ended(run)
    table = store.home.datasets / spec.data.dataset / "table.parquet"
    kept = table.read_bytes()
    try:
        changed = pd.read_parquet(table)
        changed.loc[3, "review"] = "something else"
        changed.to_parquet(table)
        store.resume(run.id)
        error = ended(run).status().error
    finally:
        table.write_bytes(kept)
    assert error is not None
    assert (error.code, error.facts["changed"]) == ("run.resume_refused", "texts")
    store.resume(run.id)
    assert ended(run).status().state is JobState.COMPLETED, "with the data of then it goes on"


def test_no_process_is_left_when_everything_is_killed_and_resumed(shop: tuple[RunStore, RunSpec]) -> None:
    store, spec = shop
    run = store.start_new(spec)
    until(lambda: any(isinstance(e, CheckpointSaved) for e in run.events()), "a checkpoint")
    kill(run)
    ended(run)
    store.resume(run.id)
    assert ended(run).status().state is JobState.COMPLETED
    until(lambda: not processes_of(run), "the end of all processes", 5.0)
