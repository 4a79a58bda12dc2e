"""A run with a template and steps, asked about new tables: the recipe is done again as it was in training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.data.datasets import result_of, wait
from backend.data.text_cleaning import clean, render
from backend.errors import ColumnMissing, RunNotFinished
from backend.inference.client import Predictor
from backend.inference.table_predicting import start_table, tables_of, written_predictions
from backend.jobs.directory import JobDirectory
from backend.jobs.files import write_json
from backend.jobs.store import RunStore
from backend.models.loading import load_base
from backend.settings import Home
from backend.specs import build_spec
from tests.tiny_models import make_tiny

LABELS = ["差评", "好评"]
TEMPLATE = "{题目} – {body}"
STEPS = [{"kind": "strip_html", "on": True}, {"kind": "map_labels", "on": True, "mapping": {"bad": "0", "good": "1"}}]
WAIT_S = 240.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    return RunStore(Home(tmp_path_factory.mktemp("tables") / "home").prepare())


@pytest.fixture(scope="module")
def run(store: RunStore, tmp_path_factory: pytest.TempPathFactory) -> JobDirectory:
    """A completed run as training leaves it, with a small model of random weights."""
    folder = tmp_path_factory.mktemp("model")
    base = make_tiny(folder / "base", "bert", ["cold and late", "tasty and hot, great soup", "饭菜有些咸！"] * 20)
    loaded = load_base(base, name="base", labels=LABELS, task="binary", max_length=64, seed=3)
    data = {"source": "x.csv", "template": TEMPLATE, "label_column": "label", "label_names": {"0": "差评", "1": "好评"}}
    spec = build_spec({"data": {**data, "dataset": "0123456789abcdef"}, "prepare": {"steps": STEPS}})
    job = JobDirectory.create(store.home.runs, kind="train", module="backend.worker", spec=spec.model_dump(mode="json"))
    loaded.model.save_pretrained(job.path / "model")
    loaded.tokenizer.save_pretrained(job.path / "model")
    write_json(job.path / "model" / "preparing.json", {"steps": STEPS[:1], "template": TEMPLATE})
    write_json(job.path / "report.json", {"task": "binary", "labels": LABELS})
    return job


def test_texts_are_composed_and_cleaned_and_labels_mapped_as_in_training(
    store: RunStore, run: JobDirectory, tmp_path: Path
) -> None:
    rows = [
        {"题目": "Soup", "body": "<p>hot &amp; tasty</p>", "label": "good", "predicted_label": "mine"},
        {"题目": None, "body": "cold", "label": "bad", "predicted_label": None},
        {"题目": " ", "body": None, "label": "good", "predicted_label": None},
        {"题目": "<br>", "body": None, "label": "1", "predicted_label": None},
        {"题目": "late", "body": None, "label": "so so", "predicted_label": None},
    ]
    table, out = tmp_path / "new.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    result = wait(start_table(store, run, table, out=out), WAIT_S)
    written = pq.read_table(out).to_pylist()
    assert [{name: row[name] for name in rows[0]} for row in written] == rows
    assert [row["predicted_label_2"] is None for row in written] == [False, False, True, False, False]
    with Predictor(run.path) as predictor:
        texts = [clean(render(TEMPLATE, row), STEPS) for row in rows]
        assert texts[:3] == ["Soup – hot & tasty", " – cold", ""]
        for row, text in zip(written, texts, strict=True):
            if text:
                answer = predictor.predict([text]).answers[0]
                assert row["predicted_label_2"] == answer["label"]
                assert row["probability_好评"] == pytest.approx(answer["scores"]["好评"], abs=1e-5)
    assert {name: result[name] for name in ("rows", "predicted", "blank")} == {"rows": 5, "predicted": 4, "blank": 1}
    measured = result["measured"]
    assert (measured["rows"], measured["left_out"], measured["unknown"]) == (3, 1, {"so so": 1})
    truth = ["好评", "差评", None, "好评"]
    right = sum(row["predicted_label_2"] == name for row, name in zip(written, truth, strict=False) if name)
    assert measured["metrics"]["accuracy"] == pytest.approx(right / 3)
    assert tables_of(store.home, run) == []


def test_a_table_asked_about_from_a_page_is_kept_by_its_job(store: RunStore, run: JobDirectory, tmp_path: Path) -> None:
    table = tmp_path / "upload.jsonl"
    table.write_text("".join(json.dumps({"题目": f"n{n}", "body": "soup"}) + "\n" for n in range(5)), "utf-8")
    job = start_table(store, run, table, name="汤.jsonl", kind="jsonl")
    assert wait(job, WAIT_S)["measured"] is None
    lines = [json.loads(line) for line in written_predictions(job).read_text("utf-8").splitlines()]
    assert [line["题目"] for line in lines] == [f"n{n}" for n in range(5)]
    assert sum(result_of(job)["labels"].values()) == 5
    assert [found.id for found in tables_of(store.home, run)] == [job.id]


def test_a_missing_column_of_the_template_is_told_with_those_that_are_there(
    store: RunStore, run: JobDirectory, tmp_path: Path
) -> None:
    table = tmp_path / "new.csv"
    table.write_text("题目,text\na,b\nc,d\n", "utf-8")
    with pytest.raises(ColumnMissing) as raised:
        wait(start_table(store, run, table), WAIT_S)
    assert (raised.value.column, raised.value.available) == ("body", ["题目", "text"])
    assert wait(start_table(store, run, table, text="text"), WAIT_S)["predicted"] == 2


def test_a_run_without_a_model_is_refused(store: RunStore, run: JobDirectory, tmp_path: Path) -> None:
    other = JobDirectory.create(store.home.runs, kind="train", module="backend.worker", spec=run.spec)
    shutil.copy(run.path / "report.json", other.path)
    with pytest.raises(RunNotFinished):
        start_table(store, other, tmp_path)
