"""``train --folds K --fold all``: a run for each fold, one after another, and the mean of what they reach."""

from __future__ import annotations

import io
import json
import signal
from pathlib import Path
from statistics import fmean, stdev

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from backend.jobs.events import LossLogged
from studio.cli_folds import show_folds
from studio.i18n import words
from studio.terminal import Terminal
from tests.cli.conftest import TIMEOUT_S, Studio
from tests.processes import until

QUICK = ("--epochs", "1", "--max-length", "16")


def test_each_fold_is_tested_by_a_run_of_its_own_and_the_mean_is_told(studio: Studio, reviews: Path) -> None:
    found = studio.document("train", str(reviews), "--folds", "2", "--fold", "all", "--name", "外卖", *QUICK)
    assert (found["folds"], found["completed"]) == (2, 2)
    assert [run["state"] for run in found["runs"]] == ["completed", "completed"]
    runs = [studio.store.get(run["run"]) for run in found["runs"]]
    assert [run.name for run in runs] == ["外卖 · 1/2", "外卖 · 2/2"]
    assert [run.spec["split"]["fold"] for run in runs] == [1, 2]
    tested = [set(pq.read_table(run.path / "predictions.parquet")["row"].to_pylist()) for run in runs]
    assert set.union(*tested) == set(range(160))
    assert not set.intersection(*tested)
    for name in ("accuracy", "f1", "mcc"):
        values = [run["metrics"][name] for run in found["runs"]]
        assert found["mean"][name] == pytest.approx(fmean(values))
        assert found["deviation"][name] == pytest.approx(stdev(values))

    stream = io.StringIO()
    console = Console(file=stream, width=140, markup=False)
    chinese = Terminal(words("zh-CN"), as_json=False, out=console, err=console)
    show_folds(chinese, [(run, run.status()) for run in runs])
    assert f"{found['mean']['accuracy']:.3f} ± {found['deviation']['accuracy']:.3f}" in stream.getvalue()
    assert "均值 ± 标准差" in stream.getvalue()


def test_all_folds_of_none_are_refused_before_anything_is_read(studio: Studio, reviews: Path) -> None:
    assert studio.document("train", str(reviews), "--fold", "all", status=2)["error"]["code"] == "usage"
    assert studio.store.summaries() == []


def test_a_stop_ends_the_run_of_this_fold_and_begins_no_other(studio: Studio, reviews: Path) -> None:
    endless = ("--epochs", "1000", "--patience", "0", "--max-length", "16")
    process = studio.start("train", str(reviews), "--folds", "3", "--fold", "all", *endless, "--json")
    run = studio.newest_run()
    until(lambda: [event for event in run.events() if isinstance(event, LossLogged)])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 3, err
    found = json.loads(out)
    assert [entry["state"] for entry in found["runs"]] == ["stopped"]
    assert (found["completed"], found["mean"]) == (0, {})
    assert [summary.id for summary in studio.store.summaries()] == [run.id]
