"""Many faults, one after another: nothing is left behind, and the state that is told is true."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.events import LossLogged
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import RunSpec
from tests.browser.studio_process import StudioProcess
from tests.faults.conftest import await_phase, start_run
from tests.processes import SUPERVISOR, WORKER, processes_of, until

pytestmark = pytest.mark.soak
SUPERVISORS_KILLED, STOPS, STUDIOS_KILLED = 50, 100, 100
LEFT_S, STOPPED_S, TOLD_S = 5.0, 35.0, 5.0
CLIENTS, WATCHED_S, ALONE_S = 50, 600.0, 180.0
TINY_RUNS, SETTLED_RUNS, FEW = 500, 20, 5


@pytest.mark.timeout(3600)
def test_fifty_killed_supervisors_leave_no_process(home: Home) -> None:
    run = start_run(home)
    spec = RunSpec(**run.spec)
    for number in range(SUPERVISORS_KILLED):
        await_phase(run, "reading")
        time.sleep(random.Random(number).uniform(0, 2))
        for supervisor in processes_of(run, SUPERVISOR):
            supervisor.kill()
        until(lambda run=run: not processes_of(run), "the end of all processes", LEFT_S)  # type: ignore[misc]
        # A process that ends has lost its command line some moments before it lets its lock go.
        until(lambda run=run: run.status().state is JobState.INTERRUPTED, "the state", LEFT_S)  # type: ignore[misc]
        RunStore(home).delete(run.id)
        run = RunStore(home).start_new(spec)
    RunStore(home).stop(run.id)
    until(lambda: run.status().state.is_final, "the last one's end")


@pytest.mark.timeout(7200)
def test_a_hundred_stops_at_random_moments_end_in_time(home: Home) -> None:
    draw, ends = random.Random(7), Counter[JobState]()
    first = start_run(home)
    spec = RunSpec(**first.spec)
    runs = [first]
    for _ in range(STOPS):
        run = runs[-1]
        time.sleep(draw.uniform(0, 8))
        asked = time.monotonic()
        RunStore(home).stop(run.id)
        until(lambda run=run: run.status().state.is_final, "the stop", STOPPED_S)  # type: ignore[misc]
        assert time.monotonic() - asked < STOPPED_S
        until(lambda run=run: not processes_of(run), "the end of all processes", LEFT_S)  # type: ignore[misc]
        ends[run.status().state] += 1
        kept = run.status().kept
        assert (kept is None) != (run.path / "model" / "model.safetensors").exists(), "what is kept is there"
        RunStore(home).delete(run.id)
        runs.append(RunStore(home).start_new(spec))
    assert set(ends) == {JobState.STOPPED}, ends
    RunStore(home).stop(runs[-1].id)
    until(lambda: runs[-1].status().state.is_final, "the last one's end")


@pytest.mark.timeout(7200)
def test_a_studio_killed_a_hundred_times_tells_the_state_as_it_is(home: Home) -> None:
    draw, run = random.Random(3), start_run(home)
    await_phase(run, "training")
    port, steps, waits = 0, 0, []
    try:
        for _ in range(STUDIOS_KILLED):
            studio = StudioProcess(home.path, port=port)
            up = time.monotonic()
            port = studio.port  # the page, which asks there, finds the next one
            assert [entry["state"] for entry in studio.runs()] == ["running"]
            waits.append(time.monotonic() - up)
            time.sleep(draw.uniform(0, 2))
            studio.kill()
            assert run.status().state is JobState.RUNNING
            now = last_step(run)
            assert now > steps, "training went on"
            steps = now
        assert max(waits) < TOLD_S
        assert len(processes_of(run, WORKER)) == 1
    finally:
        RunStore(home).stop(run.id)
    until(lambda: run.status().state.is_final, "the stop")
    assert run.status().state is JobState.STOPPED


def last_step(run: JobDirectory) -> int:
    """How far the curve has come."""
    last = run.last_event(LossLogged)
    assert isinstance(last, LossLogged)
    return last.step


@pytest.mark.timeout(3600)
def test_fifty_clients_may_watch_a_run(home: Home) -> None:
    studio, run = StudioProcess(home.path), start_run(home)
    await_phase(run, "training")
    over, taken, lock = threading.Event(), list[float](), threading.Lock()

    def watch(number: int) -> None:
        since = 0
        with httpx.Client(base_url=studio.url, timeout=60) as client:
            time.sleep(number / CLIENTS)
            while not over.is_set():
                begun = time.monotonic()
                answer = client.get(f"/api/runs/{run.id}/events", params={"since": since})
                with lock:
                    taken.append(time.monotonic() - begun)
                news = answer.raise_for_status().json()["events"]
                since = news[-1]["seq"] + 1 if news else since
                time.sleep(1.0)

    def steps_a_second(for_s: float) -> float:
        begun, before = time.monotonic(), last_step(run)
        time.sleep(for_s)
        return (last_step(run) - before) / (time.monotonic() - begun)

    try:
        time.sleep(5.0)
        alone = steps_a_second(ALONE_S)
        with ThreadPoolExecutor(CLIENTS) as pool:
            watching = [pool.submit(watch, number) for number in range(CLIENTS)]
            watched = steps_a_second(WATCHED_S)
            over.set()
            for each in watching:
                each.result()
        alone = (alone + steps_a_second(ALONE_S)) / 2
    finally:
        studio.close()
    p95 = sorted(taken)[int(0.95 * len(taken))]
    print(f"{len(taken)} answers, p95 {p95:.3f} s; steps a second {watched:.2f} watched, {alone:.2f} alone")
    assert p95 <= 1.0
    assert watched >= 0.85 * alone


@pytest.mark.timeout(4 * 3600)
def test_many_runs_one_after_the_other_leave_nothing_in_the_studio(home: Home) -> None:
    studio, first = StudioProcess(home.path), start_run(home, epochs=1)
    process, spec = psutil.Process(studio.process.pid), RunSpec(**first.spec)
    store, ends = RunStore(home), Counter[JobState]()

    def footprint() -> tuple[int, int, int, int]:
        zombies = [child for child in process.children(recursive=True) if child.status() == psutil.STATUS_ZOMBIE]
        return process.num_fds(), process.num_threads(), len(zombies), studio.resident_bytes()

    try:
        until(lambda: first.status().state.is_final, "the first one")
        before = None
        for number in range(TINY_RUNS):
            run = store.start_new(spec.replaced(name=f"run {number}", training__epochs=1, training__max_steps=2))
            with httpx.Client(base_url=studio.url, timeout=60) as client:
                while not (
                    state := JobState(client.get(f"/api/runs/{run.id}/events").json()["status"]["state"])
                ).is_final:
                    client.get("/api/runs").raise_for_status()
                    time.sleep(0.5)
            ends[state] += 1
            if number == SETTLED_RUNS:
                before = footprint()
        assert before is not None
        after = footprint()
        print(f"descriptors, threads, zombies, bytes: {before} after {SETTLED_RUNS} runs, {after} after {TINY_RUNS}")
        assert set(ends) == {JobState.COMPLETED}, ends
        assert after[0] <= before[0] + FEW
        assert after[1] <= before[1] + FEW
        assert after[2] == 0
        assert after[3] - before[3] <= 50 << 20
    finally:
        studio.close()
