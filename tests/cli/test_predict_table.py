"""``predict RUN --file TABLE``: the run's recipe done again to a new table, and a label beside each row."""

from __future__ import annotations

import codecs
import csv
import json
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from backend.inference.table_predicting import KIND
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from tests.cli.conftest import BAD, GOOD, Studio, Trained, write_reviews
from tests.processes import until

NEW = """编号,review,label
7,非常难吃，已经凉了,0
8,,1
9,很好吃，强烈推荐,1
10,送得很快，味道不错,
11,太咸了,好评
12,太咸了，再说,9
"""


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def jobs_of(studio: Studio) -> list[JobDirectory]:
    jobs = [JobDirectory(path) for path in sorted(studio.store.home.jobs.iterdir()) if (path / "job.json").exists()]
    return [job for job in jobs if job.description["kind"] == KIND]


def test_every_row_gets_its_label_and_probabilities_beside_its_columns(trained: Trained, tmp_path: Path) -> None:
    table, out = tmp_path / "新评论.csv", tmp_path / "结果.csv"
    table.write_text(NEW, "utf-8")
    document = trained.studio.document("predict", trained.id, "--file", str(table), "--out", str(out))
    assert out.read_bytes().startswith(codecs.BOM_UTF8)
    rows = rows_of(out)
    added = ["predicted_label", "probability_差评", "probability_好评"]
    assert list(rows[0]) == ["编号", "review", "label", *added]
    assert [row["编号"] for row in rows] == ["7", "8", "9", "10", "11", "12"]
    assert [row[name] for row in rows[1:2] for name in added] == ["", "", ""]
    texts = [row["review"] for row in rows if row["review"]]
    alone = trained.studio.document("predict", trained.id, *texts)
    for row, answer in zip([row for row in rows if row["review"]], alone, strict=True):
        assert row["predicted_label"] == answer["label"]
        assert float(row["probability_好评"]) == pytest.approx(answer["scores"]["好评"], abs=1e-4)

    # Labels are read as the run's own: values by their names, names as they are, others told and not measured.
    assert document["run"] == trained.id
    assert document["file"] == str(out)
    assert {name: document[name] for name in ("rows", "predicted", "blank")} == {"rows": 6, "predicted": 5, "blank": 1}
    counted = {name: sum(row["predicted_label"] == name for row in rows) for name in ("差评", "好评")}
    assert document["labels"] == counted
    measured = document["measured"]
    assert (measured["rows"], measured["left_out"], measured["unknown"]) == (3, 2, {"9": 1})
    truth = {"7": "差评", "9": "好评", "11": "好评"}
    right = sum(row["predicted_label"] == truth[row["编号"]] for row in rows if row["编号"] in truth)
    assert measured["metrics"]["accuracy"] == pytest.approx(right / 3)


def test_parquet_and_lines_hold_the_same_and_people_are_told_in_words(trained: Trained, tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "new.csv", rows=40)
    told = {}
    for kind in ("parquet", "jsonl"):
        out = tmp_path / f"out.{kind}"
        told[kind] = trained.studio.document("predict", "last", "--file", str(table), "--out", str(out))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert lines == pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert len(lines) == 40
    assert told["parquet"]["measured"] == told["jsonl"]["measured"]
    right = sum(line["predicted_label"] == {"0": "差评", "1": "好评"}[line["label"]] for line in lines)
    assert told["parquet"]["measured"]["metrics"]["accuracy"] == pytest.approx(right / 40)

    out = tmp_path / "again.csv"
    shown, heavy = trained.studio.probe("predict", "last", "--file", str(table), "--out", str(out), "--lang", "zh-CN")
    assert f"40 行中已分类 40 行：{out}" in shown
    assert f"准确率 {right / 40:.3f}" in shown
    assert heavy == "nothing heavy"


def test_a_table_without_the_columns_is_refused_by_their_names_and_another_can_be_named(
    trained: Trained, tmp_path: Path
) -> None:
    table, out = tmp_path / "other.jsonl", tmp_path / "out.csv"
    table.write_text("".join(json.dumps({"id": n, "评语": f"{word}！"}) + "\n" for n, word in enumerate(GOOD + BAD)))
    asked = ("predict", trained.id, "--file", str(table), "--out", str(out))
    refused = trained.studio.document(*asked, status=2)["error"]
    assert refused["code"] == "data.column_missing"
    assert refused["facts"] == {"column": "review", "available": ["id", "评语"]}
    assert not out.exists()
    document = trained.studio.document(*asked, "--text", "评语")
    assert (document["rows"], document["measured"]) == (12, None)
    assert {row["评语"]: row["predicted_label"] for row in rows_of(out)}.keys() == {f"{w}！" for w in GOOD + BAD}


def test_nobodys_file_is_written_over_unasked_and_never_the_table(trained: Trained, tmp_path: Path) -> None:
    table, out = write_reviews(tmp_path / "new.csv", rows=12), tmp_path / "out.csv"
    out.write_text("mine")
    asked = ("predict", trained.id, "--file", str(table), "--out")
    before = table.read_bytes()
    codes = [
        trained.studio.document(*asked, *more, status=2)["error"]["code"]
        for more in ([str(out)], [str(table), "--replace"], [str(tmp_path / "out.xlsx")])
    ]
    assert codes == ["predict.output_taken", "predict.output_taken", "predict.output_unknown"]
    assert out.read_text() == "mine"
    assert table.read_bytes() == before
    trained.studio.document(*asked, str(out), "--replace")
    assert len(rows_of(out)) == 12


def test_texts_and_a_table_together_are_refused(trained: Trained, tmp_path: Path) -> None:
    table = write_reviews(tmp_path / "new.csv", rows=12)
    for arguments in (["text", "--file", str(table)], ["--before", "--file", str(table)], ["text", "--out", "a.csv"]):
        error = trained.studio.document("predict", trained.id, *arguments, status=2)["error"]
        assert error["code"] == "usage"


def test_a_damaged_or_blank_table_says_so_and_leaves_nothing(trained: Trained, tmp_path: Path) -> None:
    damaged, blank, out = tmp_path / "damaged.xlsx", tmp_path / "blank.csv", tmp_path / "out.csv"
    damaged.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 20)
    blank.write_text("review,other\n,1\n  ,2\n")
    errors = [
        trained.studio.document("predict", trained.id, "--file", str(table), "--out", str(out), status=2)["error"]
        for table in (damaged, blank, tmp_path / "nowhere.csv")
    ]
    assert errors[0]["code"].startswith("data.")
    assert [error["code"] for error in errors[1:]] == ["predict.text_missing", "data.file_missing"]
    assert not list(tmp_path.glob("*out.csv*"))
    assert not list(trained.studio.store.home.jobs.glob("*/table.parquet"))


def test_ctrl_c_stops_it_and_leaves_no_half_file(trained: Trained, tmp_path: Path) -> None:
    table, out = write_reviews(tmp_path / "long.csv", rows=200_000), tmp_path / "out.csv"
    process = trained.studio.start("predict", trained.id, "--file", str(table), "--out", str(out), "--json")
    known = {job.id for job in jobs_of(trained.studio)}
    job = until(lambda: next((job for job in jobs_of(trained.studio) if job.id not in known), None))
    until(lambda: job.status().phase == "predicting" and job.status().progress)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    written, _said = process.communicate(timeout=60)
    found: dict[str, Any] = json.loads(written)
    assert (process.returncode, found) == (3, {"state": "stopped"})
    assert job.status().state is JobState.STOPPED
    assert not list(tmp_path.glob("*out.csv*"))
    assert not (job.path / "table.parquet").exists()
