"""``python -m studio prepare`` writes the parts that a run would learn from, and says what was done."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq

from backend.data.datasets import load_report
from backend.spec_files import spec_from_yaml
from tests.cli.conftest import Studio, write_reviews

STEPS = ("--step", "drop_blank", "--step", "strip_html", "--step", "resolve_conflicts")


def spoiled(path: Path) -> Path:
    """Reviews, one of them again with the other label, one with HTML and a comma, one without a label."""
    text = write_reviews(path).read_text("utf-8")
    first = text.splitlines()[1].partition(",")[2]
    path.write_text(f'{text}1,{first}\n0,"<b>太咸了</b>, 而且""凉""了"\n,没有标签\n', "utf-8")
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_parts_are_written_as_excel_and_everybody_else_read_them(studio: Studio, tmp_path: Path) -> None:
    table, out = spoiled(tmp_path / "外卖.csv"), tmp_path / "out"
    document = studio.document("prepare", str(table), "--out", str(out), *STEPS)
    assert [Path(name).name for name in document["files"]] == ["train.csv", "validation.csv", "test.csv"]
    assert [done["touched"] for done in document["steps"]] == [1, 1, 2]
    assert document["rows"] == {"train": 129, "validation": 14, "test": 16} or sum(document["rows"].values()) == 160
    assert (out / "train.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    parts = {name: read_csv(out / f"{name}.csv") for name in document["rows"]}
    assert {name: len(rows) for name, rows in parts.items()} == document["rows"]
    rows = [row for part in parts.values() for row in part]
    assert {row["label"] for row in rows} == {"0", "1"}
    assert '太咸了, 而且"凉"了' in {row["review"] for row in rows}
    assert len({row["row"] for row in rows}) == len(rows)
    original = table.read_text("utf-8").splitlines()
    assert all(row["review"] in original[int(row["row"])] for row in rows if "太咸了, " not in row["review"])

    # The page and the run use the same rows: the report's counts are these.
    spec = spec_from_yaml((out / "run.yaml").read_text("utf-8"), "run.yaml")
    assert [step.kind for step in spec.prepare.steps] == ["drop_blank", "strip_html", "resolve_conflicts"]
    choices = json.loads((out / "prepared.json").read_text("utf-8"))["choices"]
    report = load_report(studio.store.home, spec.choices.replaced({"data.dataset": choices["data"]["dataset"]}))
    assert report is not None
    assert {name: report["parts"][name]["rows"] for name in parts} == document["rows"]

    again = studio.document("prepare", str(out / "run.yaml"), "--out", str(out), "--format", "parquet")
    assert again["rows"] == document["rows"]
    assert pq.read_table(out / "test.parquet")["review"].to_pylist() == [row["review"] for row in parts["test"]]


def test_all_folds_are_written_unless_one_is_asked_for(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "folds"
    document = studio.document("prepare", str(reviews), "--out", str(out), "--folds", "3")
    assert [fold["fold"] for fold in document["folds"]] == [1, 2, 3]
    assert document["files"] == [file for fold in document["folds"] for file in fold["files"]]
    tests = []
    for fold in document["folds"]:
        parts = [read_csv(Path(file)) for file in fold["files"]]
        assert [len(rows) for rows in parts] == list(fold["rows"].values())
        assert Path(fold["files"][0]) == out / f"fold-{fold['fold']}" / "train.csv"
        assert len({row["row"] for part in parts for row in part}) == sum(fold["rows"].values())
        tests.append({row["row"] for row in parts[2]})
    assert len(set.union(*tests)) == sum(map(len, tests)) == sum(document["folds"][0]["rows"].values())

    alone = studio.document("prepare", str(reviews), "--out", str(tmp_path / "one"), "--folds", "3", "--fold", "1")
    assert alone["rows"] == document["folds"][0]["rows"]
    assert {row["row"] for row in read_csv(tmp_path / "one" / "test.csv")} == tests[0]

    taken = tmp_path / "taken"
    (taken / "fold-2").mkdir(parents=True)
    (taken / "fold-2" / "test.csv").write_text("mine")
    refused = studio.document("prepare", str(reviews), "--out", str(taken), "--folds", "3", status=2)
    assert refused["error"]["code"] == "data.folder_taken"


def test_somebody_elses_files_are_left_alone(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "train.csv").write_text("mine")
    assert studio.document("prepare", str(reviews), "--out", str(out), status=2)["error"]["code"] == "data.folder_taken"
    assert (out / "train.csv").read_text() == "mine"


def test_a_template_that_tells_the_label_is_refused(studio: Studio, reviews: Path, tmp_path: Path) -> None:
    found = studio.document(
        "prepare", str(reviews), "--out", str(tmp_path / "out"), "--template", "{label}: {review}", status=2
    )
    assert found["error"]["code"] == "data.template_uses_label"
    assert not (tmp_path / "out").exists()
