"""What cannot be trained on is refused before a run exists, by the page as by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.data.choices import first_choices, report_on, start_report_on
from backend.data.datasets import load_profile, start_import, wait
from backend.errors import DataError, LabelNamesClash, LabelTooRare, NotAModelFolder, OneLabelOnly
from backend.inference.client import PredictorPool
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.specs import ModelSpec, RunSpec
from studio.pages.model import start_run
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
    chosen = first_choices(profile).model_copy(update={"text_column": "text", "label_column": "label", **choices})
    return RunSpec(data=chosen)


@pytest.mark.parametrize(
    ("lines", "choices", "error"),
    [
        ([f"text number {n},same" for n in range(20)], {}, OneLabelOnly),
        ([*FEW, "a lonely text,alone"], {}, LabelTooRare),
        (FEW, {"label_names": {"good": "x", "bad": "x"}}, LabelNamesClash),
    ],
)
def test_labels_that_cannot_be_learned_are_refused_at_train(
    services: Services, tmp_path: Path, lines: list[str], choices: dict[str, object], error: type[DataError]
) -> None:
    spec = imported(services.home, tmp_path, lines, **choices)
    if report_on(services.home, spec.data) is None:
        wait(start_report_on(services.home, spec.data), timeout_s=60)
    with pytest.raises(error):
        start_run(services, spec)
    assert services.store.summaries() == []


def test_a_folder_without_a_model_is_refused_at_train(services: Services, tmp_path: Path) -> None:
    spec = imported(services.home, tmp_path, FEW)
    with pytest.raises(NotAModelFolder):
        start_run(services, spec.model_copy(update={"model": ModelSpec(base=str(tmp_path))}))
    assert services.store.summaries() == []
