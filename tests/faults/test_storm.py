"""Many hands at once: every state that anybody sees follows from the one before it, and no run is lost."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, start_import, wait
from backend.errors import RunActive, RunMissing, RunNotResumable
from backend.jobs import queue
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec, build_spec
from tests.faults.conftest import SAMPLE, kill_all
from tests.processes import PATIENCE_S, until

HANDS, ONLOOKERS = 6, 2
COURSE = [JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.STOPPING]
"""The order of the states of an attempt before its end; some may go by unseen."""


@dataclass
class Onlooker:
    """Looks at every run again and again, as a second studio would, and remembers where each stood."""

    home: Home
    seen: dict[str, list[tuple[int, JobState]]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    ends: Counter[JobState] = field(default_factory=Counter)

    def look(self) -> None:
        """Look once."""
        for path in list(self.home.runs.iterdir()):
            if not queue.is_job_id(path.name):
                continue
            try:
                status = JobDirectory(path).status()
            except (RunMissing, FileNotFoundError):  # thrown away while it was looked at
                continue
            course = self.seen.setdefault(path.name, [])
            now = (status.attempt, status.state)
            if not course or course[-1] != now:
                if course and not follows(course[-1], now):
                    self.wrong.append(f"{path.name}: {course[-1]} -> {now}")
                course.append(now)
                self.ends[status.state] += status.state.is_final

    def look_until(self, over: threading.Event) -> None:
        """Look until it is over."""
        while not over.is_set():
            self.look()
            time.sleep(0.002)


def follows(before: tuple[int, JobState], now: tuple[int, JobState]) -> bool:
    """Whether a run may stand thus after it has stood so, whatever came between unseen."""
    (attempt, state), (next_attempt, next_state) = before, now
    if next_attempt == attempt:
        if state.is_final:
            return False
        return next_state.is_final or COURSE.index(next_state) > COURSE.index(state)
    return next_attempt > attempt and (not state.is_final or state.is_resumable)


@pytest.fixture
def spec(home: Home) -> RunSpec:
    """A run that ends when it is stopped."""
    dataset = wait(start_import(home, SAMPLE), PATIENCE_S)["dataset"]
    choices = first_choices(load_profile(home, dataset))
    return build_spec({**choices.model_dump(), "training": {"epochs": 500}})


@pytest.fixture
def home_of_queued(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home that trains two runs at a time; what is left is ended after the test."""
    monkeypatch.setenv(queue.AT_ONCE_VARIABLE, "2")
    yield home
    kill_all(home)


@pytest.mark.parametrize(
    "deeds",
    [
        pytest.param(120, marks=pytest.mark.timeout(900)),
        pytest.param(1000, marks=[pytest.mark.soak, pytest.mark.timeout(7200)]),
    ],
)
def test_no_transition_is_illegal_whoever_does_what(home_of_queued: Home, spec: RunSpec, deeds: int) -> None:
    home, over = home_of_queued, threading.Event()
    accepted: list[str] = []
    done: Counter[str] = Counter()

    def hand(number: int) -> None:
        draw, store = random.Random(number), RunStore(home)
        for _ in range(deeds // HANDS):
            deed = draw.choice(["start", "start", "stop", "stop", "resume", "resume", "delete"])
            time.sleep(draw.uniform(0, 2.0))
            try:
                if deed == "start" or not accepted:
                    epochs = draw.choice([1, 500])
                    accepted.append(store.start_new(spec.replaced(training__epochs=epochs, name="a run")).id)
                else:
                    offered = [s.id for s in store.summaries() if deed == "stop" or s.state.is_resumable]
                    # What is offered, and now and then what is not: the other hands may be quicker anyway.
                    chosen = draw.choice(offered if offered and draw.random() < 0.8 else accepted)
                    {"stop": store.stop, "resume": store.resume, "delete": store.delete}[deed](chosen)
            except (RunActive, RunMissing, RunNotResumable) as refused:
                done[f"{deed}: {type(refused).__name__}"] += 1
            else:
                done[deed] += 1

    onlookers = [Onlooker(home) for _ in range(ONLOOKERS)]
    with ThreadPoolExecutor(HANDS + ONLOOKERS) as pool:
        looking = [pool.submit(onlooker.look_until, over) for onlooker in onlookers]
        try:
            for each in [pool.submit(hand, number) for number in range(HANDS)]:
                each.result()
            store = RunStore(home)
            for summary in store.summaries():
                store.stop(summary.id)
            until(lambda: all(s.state.is_final for s in store.summaries()), "the end of all")
            until(lambda: not any(store.get(s.id).is_alive for s in store.summaries()), "the end of their processes")
        finally:
            over.set()
        for each in looking:
            each.result()

    assert [wrong for onlooker in onlookers for wrong in onlooker.wrong] == []
    ends = sum((onlooker.ends for onlooker in onlookers), Counter())
    assert all(ends[state] for state in (JobState.STOPPED, JobState.CANCELLED)), (ends, done)
    assert ends[JobState.INTERRUPTED] == ends[JobState.FAILED] == 0, (ends, done)
    assert all(done[deed] for deed in ("start", "stop", "resume", "delete")), done
    listed = {summary.id: summary for summary in store.summaries()}
    assert sorted(accepted) == sorted([*listed, *(summary.id for summary in store.trashed())]), "none is lost"
    store.rebuild()
    assert {summary.id: summary for summary in store.summaries()} == listed, "the list tells what the folders tell"
