"""Tables read again in another way: from the kept files, with overrides, with more files, and when the file is gone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from backend.data import datasets
from backend.data.columns import taken, trimmed
from backend.data.files import SourceFile
from backend.data.originals import FOLDER, start_rereading
from backend.errors import OriginalGone, PartsUnclear, TooSlow
from backend.jobs.directory import JobDirectory
from backend.jobs.launch import launch
from backend.settings import Home
from backend.specs import ReadingSpec

WAIT_S = 120


def profile_of(home: Home, job: JobDirectory) -> dict[str, object]:
    return datasets.load_profile(home, str(datasets.wait(job, WAIT_S)["dataset"]))


def write(path: Path, rows: int = 40) -> Path:
    path.write_text("".join(f"a review, number {n};{n % 2}\n" for n in range(rows)), encoding="utf-8")
    return path


def test_another_reading_is_another_dataset_made_without_the_user_s_file(home: Home, tmp_path: Path) -> None:
    source = write(tmp_path / "reviews.csv")
    found = profile_of(home, datasets.start_import(home, source))
    source.unlink()
    again = profile_of(home, start_rereading(home, found, ReadingSpec(delimiter=";", header="yes")))
    assert again["dataset"] != found["dataset"]
    assert (again["rows"], again["file"]) == (39, "reviews.csv")
    assert again["reading"] == {"delimiter": ";", "header": "yes"}
    assert profile_of(home, start_rereading(home, again, ReadingSpec()))["dataset"] == found["dataset"]


def test_a_test_file_that_is_added_gives_the_dataset_of_both(home: Home, tmp_path: Path) -> None:
    train, test = write(tmp_path / "train.csv"), write(tmp_path / "test.csv", rows=10)
    both = [SourceFile(path, path.name) for path in (train, test)]
    alone = profile_of(home, datasets.start_import(home, train))
    added = profile_of(home, start_rereading(home, alone, ReadingSpec(), both[1:]))
    assert added["rows"] == 50
    assert added["given_split"] == "split"
    assert added["dataset"] == profile_of(home, datasets.start_import(home, both))["dataset"]
    with pytest.raises(PartsUnclear):
        start_rereading(home, added, ReadingSpec(), [SourceFile(train, "third.csv"), SourceFile(test, "fourth.csv")])


def test_a_file_that_was_lost_or_changed_is_asked_for_again(home: Home, tmp_path: Path) -> None:
    source = write(tmp_path / "reviews.csv")
    profile = profile_of(home, datasets.start_import(home, source))
    kept = home.datasets / str(profile["dataset"]) / FOLDER / "0"
    assert os.stat(kept).st_ino == os.stat(source).st_ino
    with open(source, "a", encoding="utf-8") as stream:
        stream.write("one more;1\n")
    with pytest.raises(OriginalGone):
        datasets.wait(start_rereading(home, profile, ReadingSpec(header="yes")), WAIT_S)
    kept.unlink()
    with pytest.raises(OriginalGone):
        start_rereading(home, profile, ReadingSpec(header="yes"))


def test_reading_that_takes_too_long_is_ended_with_a_word(home: Home, tmp_path: Path) -> None:
    source = write(tmp_path / "long.csv", rows=400_000)
    files = [SourceFile(source, "long.csv").to_dict()]
    spec = {"files": files, "name": "long.csv", "home": str(home.path), "time_limit_s": 0.05}
    job = JobDirectory.create(home.jobs, kind="import", module=datasets.IMPORTER_MODULE, spec=spec)
    launch(job)
    with pytest.raises(TooSlow):
        datasets.wait(job, WAIT_S)
    assert list(home.datasets.iterdir()) == []


def test_rows_are_taken_in_the_order_that_is_asked_for() -> None:
    column = pa.chunked_array([["a", None], [], ["c", "d", "e"]], pa.string())
    assert taken(column, [4, 0, 1, 4, 2]).to_pylist() == ["e", "a", None, "e", "c"]
    assert taken(column, np.arange(5)).to_pylist() == ["a", None, "c", "d", "e"]
    assert taken(column, []).to_pylist() == []
    assert taken(pa.chunked_array([], pa.string()), []).to_pylist() == []


def test_pieces_that_are_trimmed_already_are_the_same_pieces() -> None:
    column = pa.chunked_array([["a", "b"], [" c", None]], pa.string())
    found = trimmed(column)
    assert found.to_pylist() == ["a", "b", "c", ""]
    assert found.chunk(0).buffers()[2].address == column.chunk(0).buffers()[2].address
