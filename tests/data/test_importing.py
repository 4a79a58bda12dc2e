"""Imports as they happen: in a process of their own, with limits, stops, kills and a truthful end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from backend.data import datasets
from backend.data.choices import first_choices
from backend.data.files import SourceFile
from backend.data.importer import STAGING
from backend.errors import (
    ColumnMissing,
    DatasetMissing,
    FileMissing,
    NotATable,
    ProcessKilled,
    SameColumn,
    TooLarge,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.events import PhaseStarted, Progressed
from backend.jobs.launch import launch
from backend.jobs.status import JobState
from backend.settings import Home
from backend.specs import Choices, DataSpec
from tests.processes import processes_of, until

WAIT_S = 60


def choices_of(dataset: str, text: str, label: str, task: str = "auto") -> Choices:
    """Choices of two columns of a table."""
    return Choices(data=DataSpec(dataset=dataset, text_column=text, label_column=label, task=task))  # type: ignore[arg-type]


def imported(home: Home, source: Path, name: str | None = None) -> str:
    job = datasets.start_import(home, source, name)
    datasets.wait(job, WAIT_S)
    return datasets.dataset_of(job)


def worker_of(job: JobDirectory) -> psutil.Process:
    """The importing process itself, not its supervisor."""
    (found,) = processes_of(job, datasets.IMPORTER_MODULE)
    return found


@pytest.fixture
def long_table(tmp_path: Path) -> Path:
    """A table that takes a few seconds to import."""
    path = tmp_path / "long.csv"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("text,label\n")
        for n in range(500_000):
            stream.write(f"这是第 {n} 条评论，味道还可以,{n % 2}\n")
    return path


@pytest.mark.data
def test_waimai_is_imported_with_profile_and_report(home: Home, shared_data: Path) -> None:
    job = datasets.start_import(home, shared_data / "waimai_10k.csv")
    datasets.wait(job, WAIT_S)
    assert [event.phase for event in job.events() if isinstance(event, PhaseStarted)] == ["reading", "profiling"]
    dataset = datasets.dataset_of(job)
    profile = datasets.load_profile(home, dataset)
    assert (profile["file"], profile["rows"], profile["encoding"]) == ("waimai_10k.csv", 11987, "utf-8")
    assert profile["bytes"] == 919380
    guess = profile["guess"]
    assert (guess["text"], guess["label"], guess["task"], guess["certain"]) == ("review", "label", "binary", True)
    assert profile["preview"]["columns"] == ["label", "review"]
    assert len(profile["preview"]["rows"]) == 50
    assert profile["preview"]["rows"][0] == ["1", "很快，好吃，味道足，量大"]
    report = datasets.load_report(home, first_choices(profile))
    assert report is not None
    assert ("opposite_labels", 7) in [(f["code"], f["count"]) for f in report["findings"]]
    assert datasets.load_report(home, choices_of(dataset, "label", "review")) is None
    assert datasets.load_table(home, dataset, ["review"]).num_rows == 11987
    assert datasets.list_datasets(home) == [dataset]


@pytest.mark.parametrize("sample", datasets.samples(), ids=lambda sample: sample.id)
def test_every_sample_is_imported(sample: datasets.Sample, home: Home) -> None:
    profile = datasets.load_profile(home, imported(home, sample.file))
    assert profile["guess"]["certain"]
    assert profile["guess"]["task"] == sample.task
    report = datasets.load_report(home, first_choices(profile))
    assert report is not None
    assert [finding["code"] for finding in report["findings"]] == ["no_problems"]
    assert report["language"][sample.language] > 0.95


def test_the_same_content_is_imported_once(home: Home, tmp_path: Path) -> None:
    sample = datasets.samples()[0].file
    copy = tmp_path / "copy.csv"
    copy.write_bytes(sample.read_bytes())
    first = imported(home, sample)
    written = (home.datasets / first / "table.parquet").stat().st_mtime_ns
    assert imported(home, copy, "other name.csv") == first
    assert (home.datasets / first / "table.parquet").stat().st_mtime_ns == written


def test_a_dataset_of_an_older_version_is_made_anew_and_keeps_the_choices(home: Home) -> None:
    dataset = imported(home, datasets.samples()[0].file)
    folder = home.datasets / dataset
    profile = datasets.load_profile(home, dataset) | {"version": 0, "rows": 1}
    (folder / "profile.json").write_text(json.dumps(profile))
    (folder / "choices.json").write_text("{}")
    assert imported(home, datasets.samples()[0].file) == dataset
    assert datasets.load_profile(home, dataset)["rows"] == 230
    assert (folder / "choices.json").exists()


def test_other_columns_are_described_on_demand(home: Home) -> None:
    dataset = imported(home, datasets.samples()[1].file)
    job = datasets.start_report(home, choices_of(dataset, "topic", "message"))
    datasets.wait(job, WAIT_S)
    report = datasets.load_report(home, choices_of(dataset, "topic", "message"))
    assert report is not None
    assert [f["code"] for f in report["findings"] if f["severity"] == "error"] == ["too_many_labels"]
    for text, label, error in (("message", "tpoic", ColumnMissing), ("topic", "topic", SameColumn)):
        with pytest.raises(error):
            datasets.wait(datasets.start_report(home, choices_of(dataset, text, label)), WAIT_S)


def test_what_cannot_be_read_ends_in_a_worded_error_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    picture = tmp_path / "upload-3f2a.tmp"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20)
    job = datasets.start_import(home, picture, "reviews.csv")
    with pytest.raises(NotATable) as raised:
        datasets.wait(job, WAIT_S)
    assert raised.value.facts == {"file": "reviews.csv", "detail": "binary"}
    with pytest.raises(NotATable):
        datasets.dataset_of(job)
    assert list(home.datasets.iterdir()) == []
    with pytest.raises(FileMissing):
        datasets.start_import(home, tmp_path / "nowhere.csv")


def test_a_file_that_bursts_the_memory_ends_its_own_process_only(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "big.json"
    source.write_text("[" + ",".join('{"text":"a","label":"b"}' for _ in range(2_000_000)) + "]")
    spec = {
        "files": [SourceFile(source, "big.json").to_dict()],
        "name": "big.json",
        "home": str(home.path),
        "memory_bytes": 600 << 20,
    }
    job = JobDirectory.create(home.jobs, kind="import", module=datasets.IMPORTER_MODULE, spec=spec)
    launch(job)
    with pytest.raises(TooLarge) as raised:
        datasets.wait(job, WAIT_S)
    assert raised.value.facts == {"file": "big.json", "limit": "0.6 GB"}
    assert list(home.datasets.iterdir()) == []


def test_a_stop_in_mid_import_leaves_nothing(home: Home, long_table: Path) -> None:
    job = datasets.start_import(home, long_table)
    until(lambda: any(isinstance(event, Progressed) for event in job.events()))
    job.request_stop()
    with pytest.raises(ProcessKilled):
        datasets.wait(job, WAIT_S)
    assert job.status().state is JobState.STOPPED
    with pytest.raises(DatasetMissing):
        datasets.dataset_of(job)
    assert list(home.datasets.iterdir()) == []


def test_a_stop_in_mid_report_is_heard_and_leaves_nothing(home: Home, long_table: Path) -> None:
    job = datasets.start_import(home, long_table)

    def profiled() -> bool:
        progress = [event for event in job.events() if isinstance(event, Progressed)]
        return any(event.unit == "columns" and event.done == event.total for event in progress)

    until(profiled)
    job.request_stop()
    with pytest.raises(ProcessKilled):
        datasets.wait(job, WAIT_S)
    assert job.status().state is JobState.STOPPED
    assert list(home.datasets.iterdir()) == []


def test_a_crash_in_mid_import_is_told_and_its_remains_are_cleared_by_the_next(home: Home, long_table: Path) -> None:
    job = datasets.start_import(home, long_table)
    until(lambda: any(isinstance(event, Progressed) for event in job.events()))
    os.kill(worker_of(job).pid, signal.SIGSEGV)
    with pytest.raises(ProcessKilled) as raised:
        datasets.wait(job, WAIT_S)
    assert raised.value.signal == "SIGSEGV"
    assert job.status().state is JobState.FAILED
    assert [path.name for path in home.datasets.iterdir()] == [f"{STAGING}{job.id}"]
    assert datasets.list_datasets(home) == []
    dataset = imported(home, datasets.samples()[0].file)
    assert [path.name for path in home.datasets.iterdir()] == [dataset]


@pytest.mark.parametrize("dataset", ["", "0123456789abcdef", "../runs", "/etc", "x" * 300])
def test_what_is_no_dataset_is_refused(dataset: str, home: Home) -> None:
    for ask in (datasets.load_profile, datasets.load_table):
        with pytest.raises(DatasetMissing):
            ask(home, dataset)
    with pytest.raises(DatasetMissing):
        datasets.start_report(home, choices_of(dataset, "text", "label"))


def test_using_datasets_imports_no_parser_and_no_torch() -> None:
    program = "import sys, backend.data.datasets; print(*sys.modules)"
    project = datasets.SAMPLES_FOLDER.parents[1]
    listed = subprocess.run([sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True)
    loaded = set(listed.stdout.split())
    assert "backend.data.datasets" in loaded
    assert not {"torch", "pandas", "pyarrow", "backend.data.reading"} & loaded
