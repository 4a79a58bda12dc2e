"""Runs that several tests look at: each is done once, by the real supervisor and the real worker process."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.data.datasets import dataset_of, samples, start_import, wait
from backend.jobs.directory import JobDirectory
from backend.jobs.events import Event, LossLogged
from backend.jobs.process import JobContext
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec, build_spec
from backend.worker import train
from tests.processes import SUPERVISOR, WORKER, kill, processes_of, until
from tests.tiny_models import make_tiny

GOOD = ("fast delivery", "tasty and hot", "friendly rider", "great soup", "will order again")
BAD = ("cold and late", "too salty", "rude rider", "wrong dish", "never again")


def write_table(path: Path, rows: int, seed: int = 0) -> Path:
    """Reviews that are easy to tell apart, with three blank texts and two blank labels among them."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "label"])
        for number in range(rows):
            label = number % 2
            words = draw.sample(GOOD if label else BAD, k=draw.randint(1, 3))
            writer.writerow([f"order {number}: {', '.join(words)}", label])
        writer.writerows([["", "1"], ["  ", "0"], ["", "1"], ["no label", ""], ["none either", " "]])
    return path


@dataclass(frozen=True)
class Workshop:
    """A home with imported tables and small base models."""

    store: RunStore
    datasets: dict[str, str]
    models: dict[str, Path]

    def spec(self, base: str, dataset: str = "reviews", **values: Any) -> RunSpec:
        """A spec for one of the tables; ``values`` as `RunSpec.replaced` takes them."""
        columns = {
            "reviews": ("review", "label", {"0": "bad", "1": "good"}, ""),
            "takeaway_reviews": ("review", "label", {}, ""),
            "support_tickets": ("message", "topic", {}, ""),
            "film_blurbs": ("blurb", "genres", {}, ", "),
        }[dataset]
        names = dict(zip(("text_column", "label_column", "label_names", "label_separator"), columns, strict=True))
        data = {"source": f"{dataset}.csv", "dataset": self.datasets[dataset], **names}
        base = str(self.models.get(base, base))
        short = {"training__epochs": 2, "training__batch_size": 32, "training__learning_rate": 3e-3}
        return build_spec({"data": data, "model": {"base": base}}).replaced(**{**short, **values})

    def start(self, spec: RunSpec, **environ: str) -> JobDirectory:
        """A run, started in the background."""
        return self.store.start_new(spec, environ=environ)

    def do_here(self, spec: RunSpec) -> tuple[JobDirectory, dict[str, Any]]:
        """The run done in this process, so that what it raises reaches the test."""
        run = self.store.create(spec)
        return run, train(JobContext(run))


def events_of(run: JobDirectory, kind: type[Event]) -> list[Any]:
    """The run's events of one kind."""
    return [event for event in run.events() if isinstance(event, kind)]


def ended(run: JobDirectory) -> JobDirectory:
    """The run, when it has ended."""
    until(lambda: run.status().state.is_final)
    return run


@pytest.fixture(scope="session")
def workshop(runs_begin_at_once: bool, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Four imported tables and three base models."""
    folder = tmp_path_factory.mktemp("workshop")
    home = Home(folder / "home").prepare()
    table = write_table(folder / "reviews.csv", rows=240)
    sources = {"reviews": table, **{sample.id: sample.file for sample in samples()}}
    jobs = {name: start_import(home, source) for name, source in sources.items()}
    # As with real models, their vocabulary holds more than the table does.
    known = [line for source in (table, sources["film_blurbs"]) for line in source.read_text("utf-8").splitlines()]
    models = {kind: make_tiny(folder / kind, kind, known) for kind in ("bert", "gpt2")}
    models["distilbert"] = make_tiny(
        folder / "distilbert", "distilbert", sources["film_blurbs"].read_text("utf-8").splitlines()
    )
    for job in jobs.values():
        wait(job)
    return Workshop(RunStore(home), {name: dataset_of(job) for name, job in jobs.items()}, models)


@dataclass(frozen=True)
class BackgroundRuns:
    """Runs that go on side by side, so that the tests wait for the slowest and not for their sum."""

    completed: JobDirectory
    starter: JobDirectory
    stopped: JobDirectory
    stopped_early: JobDirectory
    stopped_starter: JobDirectory
    """In its first stretch, before the Trainer's first step."""
    worker_killed: JobDirectory
    supervisor_killed: JobDirectory


@pytest.fixture(scope="session")
def runs(workshop: Workshop) -> BackgroundRuns:
    """All of them, ended, each in its way."""
    endless = workshop.spec("bert", training__epochs=1000)
    started = BackgroundRuns(
        completed=workshop.start(workshop.spec("bert", training__epochs=8)),
        stopped=workshop.start(endless),
        stopped_starter=workshop.start(workshop.spec("starter", "takeaway_reviews")),
        worker_killed=workshop.start(endless),
        supervisor_killed=workshop.start(endless),
        starter=workshop.start(workshop.spec("starter", "takeaway_reviews", training__learning_rate=1e-3)),
        stopped_early=workshop.start(workshop.spec("starter", "takeaway_reviews")),  # last: it soon makes up its texts
    )
    until(lambda: started.stopped_early.status().state is not JobState.QUEUED)  # that would cancel it
    workshop.store.stop(started.stopped_early.id)
    until(lambda: processes_of(started.supervisor_killed, WORKER))
    kill(started.supervisor_killed, SUPERVISOR)
    until(lambda: events_of(started.stopped_starter, LossLogged))
    workshop.store.stop(started.stopped_starter.id)
    until(lambda: len(events_of(started.stopped, LossLogged)) > 40)
    workshop.store.stop(started.stopped.id)
    until(lambda: len(events_of(started.worker_killed, LossLogged)) > 5)
    kill(started.worker_killed, WORKER)
    for run in vars(started).values():
        ended(run)
    return started
