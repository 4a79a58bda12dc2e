"""What is kept of the past: remarks, disk use, the trash, comparisons; and an index that is shared safely."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from backend.errors import ComparisonInvalid, RemarksInvalid, RunActive, RunMissing
from backend.jobs.comparison import MOST, TRAIN_LOSS, VALIDATION_LOSS, compare, curves_of
from backend.jobs.directory import JobDirectory
from backend.jobs.event_reader import EventReader
from backend.jobs.events import Evaluated, EventLog, LossLogged, OptionsDecided, PhaseStarted, Progressed, Resumed
from backend.jobs.points import thinned
from backend.jobs.remarks import MOST_TAGS, Remarks, read_remarks
from backend.jobs.status import JobState
from backend.jobs.store import MOST_OPENED, RunStore
from backend.jobs.trash import disk_bytes
from backend.settings import Home
from backend.specs import RunSpec

ENDED = {"ended": 2.0, "exit_code": 0, "signal": None, "error": None, "kept": None}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").prepare()


def ended_run(home: Home, name: str, **settings: object) -> JobDirectory:
    """A run that has ended, with some curves."""
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=RunSpec().replaced(**settings).model_dump())
    run.set_name(name)
    log = EventLog(run.events_path)
    log.write(PhaseStarted("training"))
    for step in range(1, 5):
        log.write(LossLogged(step, step / 2, 1 / step, 1e-3))
        log.write(Evaluated("validation", step, step / 2, 2 / step, {"f1": step / 10}))
    log.close()
    run.write_exit({"state": JobState.STOPPED, **ENDED, "kept": {"metrics": {"f1": 0.4}}})
    return run


def test_remarks_are_kept_in_order_and_once_and_shown_in_the_list(home: Home) -> None:
    run, store = ended_run(home, "one"), RunStore(home)
    assert read_remarks(run) == Remarks()
    store.remark(run.id, [" b", "a", "b ", ""], " some notes\n")
    assert read_remarks(run) == Remarks(("b", "a"), "some notes")
    (summary,) = RunStore(home).summaries()
    assert (summary.tags, summary.notes) == (["b", "a"], "some notes")
    for tags, notes in ((["x" * 41], ""), (["a,b"], ""), (["line\nbreak"], ""), (map(str, range(MOST_TAGS + 1)), "")):
        with pytest.raises(RemarksInvalid):
            store.remark(run.id, tags, notes)
    with pytest.raises(RemarksInvalid):
        store.remark(run.id, [], "x" * 4001)
    assert read_remarks(run) == Remarks(("b", "a"), "some notes"), "what does not hold changes nothing"


def test_disk_use_is_what_the_files_of_a_run_take(home: Home) -> None:
    run = ended_run(home, "one")
    (run.path / "model").mkdir()
    (run.path / "model" / "weights").write_bytes(bytes(12_345))
    (summary,) = RunStore(home).summaries()
    assert summary.disk_bytes == sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())


def test_a_deleted_run_can_be_put_back_until_the_trash_is_emptied(home: Home) -> None:
    run, store = ended_run(home, "one"), RunStore(home)
    store.remark(run.id, ["kept"], "")
    before = {file.name: file.read_bytes() for file in run.path.iterdir() if file.name != "lock"}
    store.delete(run.id)
    assert store.summaries() == []
    assert [(each.id, each.tags) for each in RunStore(home).trashed()] == [(run.id, ["kept"])]
    with pytest.raises(RunMissing):
        store.get(run.id)
    store.restore(run.id)
    assert {file.name: file.read_bytes() for file in run.path.iterdir() if file.name != "lock"} == before
    assert [each.id for each in store.summaries()] == [run.id]
    with pytest.raises(RunMissing):
        store.restore(run.id)
    store.delete(run.id)
    for outside in ("../runs", "..", run.id[:-1]):
        with pytest.raises(RunMissing):
            store.empty_trash(outside)
    assert store.empty_trash(run.id) == sum(map(len, before.values()))
    assert store.trashed() == []
    assert not any(home.trash.iterdir())


def test_a_living_run_is_not_deleted(home: Home) -> None:
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=RunSpec().model_dump())
    with run.locked(), pytest.raises(RunActive):
        RunStore(home).delete(run.id)
    assert run.path.exists()


def test_comparison_tells_only_what_differs(home: Home) -> None:
    runs = [ended_run(home, name, training__epochs=epochs) for name, epochs in (("a", 2), ("b", 3), ("c", 3))]
    found = compare(runs)
    assert found.differences == {"training.epochs": [2, 3, 3]}
    assert [run.name for run in found.runs] == ["a", "b", "c"]
    assert found.runs[0].metrics == {"f1": 0.4}
    assert found.runs[0].curves["f1"] == [(1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4)]
    assert compare(runs[1:]).differences == {}
    for wrong in ([], runs[:1], [runs[0], runs[0]], [ended_run(home, str(n)) for n in range(MOST + 1)]):
        with pytest.raises(ComparisonInvalid):
            compare(wrong)


def test_comparison_tells_what_a_run_chose_and_how_fast_it_is_while_it_goes_on(home: Home) -> None:
    runs = [ended_run(home, name) for name in ("a", "b")]
    for run, precision in zip(runs, ("bf16", "fp32"), strict=True):
        log = EventLog(run.events_path)
        log.write(OptionsDecided([{"setting": "training.precision", "value": precision, "reason": "", "facts": {}}]))
        log.write(Progressed("training", 3, 8, "steps", 250.0))
        log.close()
    with runs[1].locked():
        runs[1].begin_attempt(2, 9, 1.0)  # which has decided nothing yet
    found = compare(runs)
    assert found.differences == {"training.precision": ["bf16", "fp32"]}
    assert [run.examples_per_second for run in found.runs] == [250.0, 250.0]


def test_curves_hold_what_a_later_attempt_did_again_once(home: Home) -> None:
    run = ended_run(home, "one")
    with run.locked():
        run.begin_attempt(2, 2, 1.0)
    log = EventLog(run.events_path)
    log.write(Resumed(2, []))
    log.write(LossLogged(3, 1.5, 0.25, 1e-3))
    log.close()
    curves = curves_of(run)
    assert curves[TRAIN_LOSS] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert curves[VALIDATION_LOSS] == [(1, 2.0), (2, 1.0)]


def test_only_so_many_runs_are_kept_in_memory_and_the_others_tell_the_same(home: Home) -> None:
    store, runs = RunStore(home), [ended_run(home, str(number)) for number in range(MOST_OPENED + 1)]
    first = store.get(runs[0].id)
    told = first.documents()
    assert store.get(first.id) is first
    for run in runs[1:]:
        store.get(run.id)
    assert store.get(first.id) is not first
    assert store.get(first.id).documents() == told
    assert store.get(runs[-1].id) is store.get(runs[-1].id)


def test_the_time_at_work_holds_neither_waiting_nor_pauses(home: Home) -> None:
    run = ended_run(home, "one")
    run.events_path.unlink()
    for attempt, begun, ended in ((1, 1000.0, 1010.0), (2, 5000.0, 5007.5)):
        if attempt > 1:
            run.begin_attempt(attempt, None, 1.0)
        log = EventLog(run.events_path)
        log.write(PhaseStarted("reading", time=begun))
        log.write(PhaseStarted("training", time=ended))
        log.close()
    run.leave_queue()
    assert JobDirectory(run.path).worked_s == 17.5
    (summary,) = RunStore(home).summaries()
    assert summary.worked_s == 17.5


def test_an_index_of_another_version_is_made_anew(home: Home) -> None:
    run, store = ended_run(home, "one"), RunStore(home)
    before = store.summaries()
    with closing(sqlite3.connect(home.catalogue)) as index, index:
        index.execute("UPDATE runs SET summary = '{}'")
        index.execute("PRAGMA user_version=1")
    assert RunStore(home).summaries() == before
    assert before[0].id == run.id


def test_a_long_curve_is_read_as_columns_and_thinned_with_its_peaks(tmp_path: Path) -> None:
    path, points = tmp_path / "events.jsonl", 30_000
    log = EventLog(path)
    log.write(PhaseStarted("training"))
    for step in range(points):
        loss = 99.0 if step == 12_345 else -7.0 if step == 23_456 else 1.0 + step % 10 / 100
        log.write(LossLogged(step, 0.5, loss, 1e-3, None if step % 2 else 0.5))
        if step == 20_000:
            log.write(Evaluated("validation", step, 0.5, 0.4, {"f1": 0.9}))
    reader = EventReader(lambda attempt: path if attempt == 1 else tmp_path / "none")
    whole = reader.documents()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [{k: v for k, v in document.items() if k not in ("seq", "attempt")} for document in whole] == lines
    assert [document["seq"] for document in whole] == list(range(len(lines)))
    assert reader.next_seq == len(lines)

    few = reader.documents(most_points=200)
    losses = [document["loss"] for document in few if document["type"] == "LossLogged"]
    assert len(losses) <= 202
    assert max(losses) == 99.0
    assert min(losses) == -7.0
    assert [document["type"] for document in few].count("Evaluated") == 1
    assert few[-1]["seq"] == len(lines) - 1

    log.write(LossLogged(points, 0.6, 0.1, 1e-3))
    log.close()
    assert [document["step"] for document in reader.documents(len(lines))] == [points]
    assert reader.last(1, LossLogged, Evaluated)["step"] == points  # type: ignore[index]


def test_thinning_keeps_the_least_and_the_greatest_of_each_stretch() -> None:
    import numpy as np

    values = np.random.default_rng(0).normal(size=10_007)
    places = thinned(values, 100)
    assert places[0] == 0
    assert places[-1] == len(values) - 1
    assert (np.diff(places) > 0).all()
    edges = np.linspace(0, len(values), 51).astype(int)
    for start, end in itertools.pairwise(edges):
        assert {start + values[start:end].argmin(), start + values[start:end].argmax()} <= set(places.tolist())
    assert len(places) <= 102


def test_an_index_that_several_write_is_read_again_whenever_one_has_written(home: Home) -> None:
    run, mine, other = ended_run(home, "old name"), RunStore(home), RunStore(home)
    assert mine.summaries()[0].name == other.summaries()[0].name == "old name"
    for number in range(20):
        other.rename(run.id, f"name {number}")
        assert mine.summaries()[0].name == f"name {number}"
    home.catalogue.write_bytes(b"no database at all" * 100)
    assert mine.summaries()[0].name == "name 19"
    with sqlite3.connect(home.catalogue) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (1,)


def test_end_is_indexed_when_the_run_has_left_its_folder_alone(home: Home) -> None:
    spec, store = RunSpec().model_dump(), RunStore(home)
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=spec)
    with run.locked():
        run.take_place(12.0)
        assert store.summaries()[0].state is JobState.QUEUED
        run.write_exit({"state": JobState.CANCELLED, **ENDED})
        assert store.summaries()[0].state is JobState.CANCELLED, "its place is still among its files"
        run.leave_queue()
    assert store.summaries()[0].disk_bytes == disk_bytes(run.path)
    assert RunStore(home).summaries() == store.summaries()


def test_two_studios_change_one_home_at_the_same_time(home: Home) -> None:
    runs = [ended_run(home, f"run {n}") for n in range(12)]
    stores, problems = [RunStore(home), RunStore(home)], []

    def change(store: RunStore, mine: list[JobDirectory]) -> None:
        try:
            for run in mine:
                store.rename(run.id, f"{run.name} again")
                store.remark(run.id, ["t"], "n")
                store.summaries()
                store.delete(run.id)
                store.restore(run.id)
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            problems.append(error)

    threads = [threading.Thread(target=change, args=(store, runs[n::2])) for n, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for store in (*stores, RunStore(home)):
        assert sorted(each.name for each in store.summaries()) == sorted(f"run {n} again" for n in range(12))
