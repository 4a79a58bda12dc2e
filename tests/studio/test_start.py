"""What cannot be trained on is refused before a run exists, by the page as by the command."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from backend.data.choices import first_choices
from backend.data.datasets import load_profile, load_report, start_import, start_report, wait
from backend.errors import (
    DataError,
    DatasetMissing,
    LabelNamesClash,
    LabelWeightsUnknown,
    NotAModelFolder,
    OneLabelOnly,
    ProcessKilled,
    SameColumn,
    StudioError,
    TrackerUnknown,
)
from backend.inference.client import PredictorPool
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import ModelSpec, RunSpec
from studio.pages.model_asked import start_run
from studio.remedies import resuming_helps
from studio.services import Services

FEW = [f"text number {n},{'good' if n % 2 else 'bad'}" for n in range(20)]


@pytest.fixture
def services(home: Home) -> Services:
    """The studio's parts on an empty home."""
    return Services(home, RunStore(home), PredictorPool())


def imported(home: Home, folder: Path, lines: list[str], **choices: object) -> RunSpec:
    """The spec of a run on a table with these lines."""
    table = folder / "table.csv"
    table.write_text("\n".join(["text,label", *lines]), "utf-8")
    profile = load_profile(home, str(wait(start_import(home, table), timeout_s=60)["dataset"]))
    named = {"text_column": "text", "label_column": "label", **choices}
    chosen = first_choices(profile).replaced({f"data.{name}": value for name, value in named.items()})
    return RunSpec().with_choices(chosen)


@pytest.mark.parametrize(
    ("lines", "choices", "error"),
    [
        ([f"text number {n},same" for n in range(20)], {}, OneLabelOnly),
        (FEW, {"label_names": {"good": "x", "bad": "x"}}, LabelNamesClash),
    ],
)
def test_labels_that_cannot_be_learned_are_refused_at_train(
    services: Services, tmp_path: Path, lines: list[str], choices: dict[str, object], error: type[DataError]
) -> None:
    spec = imported(services.home, tmp_path, lines, **choices)
    if load_report(services.home, spec.choices) is None:
        wait(start_report(services.home, spec.choices), timeout_s=60)
    with pytest.raises(error):
        start_run(services, spec, "one")
    assert services.store.summaries() == []


def test_a_folder_without_a_model_is_refused_at_train(services: Services, tmp_path: Path) -> None:
    spec = imported(services.home, tmp_path, FEW)
    with pytest.raises(NotAModelFolder):
        start_run(services, spec.model_copy(update={"model": ModelSpec(base=str(tmp_path))}), "two")
    assert services.store.summaries() == []


@pytest.mark.parametrize(
    ("asked", "choices", "error"),
    [
        ({"training__trackers": ("nowhere",)}, {}, TrackerUnknown),
        ({"training__label_weights": {"excellent": 2.0}}, {}, LabelWeightsUnknown),
        ({}, {"text_column": "label"}, SameColumn),
    ],
)
def test_what_a_run_would_end_with_at_once_is_refused_at_train(
    services: Services, tmp_path: Path, asked: dict[str, object], choices: dict[str, object], error: type[StudioError]
) -> None:
    spec = imported(services.home, tmp_path, FEW, **choices)
    if not choices and load_report(services.home, spec.choices) is None:
        wait(start_report(services.home, spec.choices), timeout_s=60)
    with pytest.raises(error):
        start_run(services, spec.replaced(**asked), "three")
    assert services.store.summaries() == []


def test_weights_are_for_labels_as_they_are_called(services: Services, tmp_path: Path) -> None:
    spec = imported(services.home, tmp_path, FEW, label_names={"good": "praise"})
    wait(start_report(services.home, spec.choices), timeout_s=60)
    with pytest.raises(LabelWeightsUnknown) as caught:
        start_run(services, spec.replaced(training__label_weights={"good": 2.0}), "four")
    assert caught.value.facts["labels"] == ["bad", "praise"]


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (LabelWeightsUnknown(given=["x"], labels=["a", "b"]), False),
        (DatasetMissing(dataset="gone"), True),
        (ProcessKilled(signal="SIGKILL"), True),
    ],
)
def test_run_that_its_table_was_in_the_way_of_is_not_offered_to_be_resumed(
    home: Home, error: StudioError, helps: bool
) -> None:
    run = JobDirectory.create(home.runs, kind="train", module="none", spec=RunSpec().model_dump(mode="json"))
    end = {"state": JobState.FAILED, "exit_code": 1, "signal": None, "kept": None, "ended": time.time()}
    run.write_exit({**end, "error": error.to_dict()})
    assert run.status().state.is_resumable
    assert resuming_helps(run) is helps
