"""What the user chose for an imported table before a run exists: kept beside it, so every tab and restart sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.data.datasets import load_report, start_report
from backend.data.labels import named_labels
from backend.errors import (
    LabelNamesClash,
    LabelNamesUnknown,
    LabelTooRare,
    NoLabels,
    NotBinary,
    OneLabelOnly,
    StudioError,
    TooManyLabels,
)
from backend.jobs.directory import JobDirectory
from backend.jobs.files import read_json, write_json
from backend.settings import Home
from backend.specs import DataSpec


def first_choices(profile: dict[str, Any]) -> DataSpec:
    """The choices a freshly imported table starts with: what its profile guesses."""
    guess = profile["guess"]
    return DataSpec(
        source=profile["file"],
        dataset=profile["dataset"],
        text_column=guess.get("text") or "",
        label_column=guess.get("label") or "",
        task=guess.get("task") or "auto",
        label_separator=guess.get("separator") or "",
    )


def load_choices(home: Home, profile: dict[str, Any]) -> DataSpec:
    """The choices that were saved for the table, or its first ones."""
    try:
        document = read_json(home.datasets / profile["dataset"] / "choices.json")
    except FileNotFoundError:
        return first_choices(profile)
    return DataSpec(**document)


def save_choices(home: Home, choices: DataSpec) -> None:
    """Keep the choices for the table ``choices.dataset``."""
    write_json(home.datasets / choices.dataset / "choices.json", choices.model_dump())


def report_on(home: Home, choices: DataSpec) -> dict[str, Any] | None:
    """The report on the chosen columns; None if it has not been made."""
    return load_report(
        home, choices.dataset, choices.text_column, choices.label_column, choices.task, choices.label_separator
    )


def start_report_on(home: Home, choices: DataSpec) -> JobDirectory:
    """Start making the report on the chosen columns, in a process of its own."""
    return start_report(
        home, choices.dataset, choices.text_column, choices.label_column, choices.task, choices.label_separator
    )


def refusal_of(report: Mapping[str, Any], label_names: Mapping[str, str]) -> StudioError | None:
    """Why training on these columns cannot begin, told from their report; None if it can."""
    column = report["label"]
    for finding in report["findings"]:
        facts = finding["facts"]
        match finding["code"]:
            case "no_labels":
                return NoLabels(column=column)
            case "one_label":
                return OneLabelOnly(column=column, label=facts["label"])
            case "too_many_labels":
                return TooManyLabels(column=column, labels=finding["count"], rows=finding["rows"])
            case "not_binary":
                return NotBinary(column=column, labels=facts["labels"])
            case "rare_labels":
                return LabelTooRare(labels=facts["labels"], needed=facts["needed"])
    try:
        named_labels([label["value"] for label in report["labels"]], label_names)
    except (LabelNamesUnknown, LabelNamesClash) as error:
        return error
    return None
