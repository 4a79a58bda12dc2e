"""What the user chose for an imported table before a run exists: kept beside it, so every tab and restart sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from backend.asked import check_metric, check_weighted
from backend.data.labels import named_labels
from backend.errors import (
    ColumnMissing,
    LabelNamesClash,
    LabelNamesUnknown,
    NoLabels,
    NotBinary,
    OneLabelOnly,
    SpecError,
    SplitColumnMissing,
    StudioError,
    TooManyLabels,
)
from backend.jobs.files import alone, read_json, write_json
from backend.settings import Home
from backend.specs import Choices, DataSpec, PrepareSpec, ReadingSpec, RunSpec, SplitSpec, blank_labels, broken_rules


def first_choices(profile: dict[str, Any]) -> Choices:
    """The choices a freshly imported table starts with: what its profile guesses."""
    guess = profile["guess"]
    roles = guess.get("roles") or {}
    hub = profile.get("hub") or {}  # a data set of the Hub stays pinned to the commit that was imported
    data = DataSpec(
        source=profile["file"],
        configuration=hub.get("configuration", ""),
        revision=hub.get("revision", ""),
        splits=tuple(hub.get("splits", ())),
        dataset=profile["dataset"],
        text_column=guess.get("text") or "",
        label_column=guess.get("label") or "",
        label_columns=tuple(roles.get("label_columns") or ()),
        label_names=profile.get("label_names") or {},
        task=guess.get("task") or "auto",
        label_separator=guess.get("separator") or "",
    )
    # A column that names parts and nothing else is there to be used.
    parts = roles.get("split") if not profile.get("given_split") else ""
    split = SplitSpec(method="given", column=parts) if parts else SplitSpec()
    return Choices(reading=ReadingSpec(**(profile.get("reading") or {})), data=data, split=split)


def load_choices(home: Home, profile: dict[str, Any]) -> Choices:
    """The choices that were saved for the table, or its first ones."""
    try:
        document = read_json(home.datasets / profile["dataset"] / "choices.json")
    except FileNotFoundError:
        return first_choices(profile)
    if "data" in document:
        return Choices(**document)
    # Before there were steps, the columns were all that was kept.
    return first_choices(profile).model_copy(update={"data": DataSpec(**document)} if document else {})


def save_choices(home: Home, choices: Choices) -> None:
    """Keep the choices for the table ``choices.data.dataset``."""
    write_json(home.datasets / choices.data.dataset / "choices.json", choices.model_dump(mode="json"))


def save_changes(home: Home, profile: dict[str, Any], before: Choices, after: Choices) -> Choices:
    """Keep what differs between the two, section by section, and give the choices as they are then.

    What was changed elsewhere since ``before`` was read stays: two edits of one page may cross.
    """
    with alone(home.datasets / profile["dataset"] / ".choices.lock"):
        newest = load_choices(home, profile)
        changed = {name: section for name, section in after if section != getattr(before, name)}
        choices = newest.model_copy(update=changed)
        save_choices(home, choices)
    return choices


def names_columns(data: DataSpec) -> bool:
    """Whether it is said what the texts and what the labels are."""
    return bool((data.text_column or data.template) and (data.label_column or data.label_columns))


def split_column(choices: Choices, profile: Mapping[str, Any]) -> str:
    """The column that the split goes by; empty where it goes by none.

    Raises:
        SplitColumnMissing: the method needs a column and none is named.
        ColumnMissing: the one that is named is not in the table.
    """
    given = str(profile.get("given_split") or "")
    method, column = choices.split.method, choices.split.column
    if method == "stratified":
        return ""
    if method == "auto":
        return given
    column = column or (given if method == "given" else "")
    if not column:
        raise SplitColumnMissing(method=method)
    available = [found["name"] for found in profile["columns"]]
    if column not in available:
        raise ColumnMissing(column=column, available=available)
    return column


def with_repair(choices: Choices, repair: Mapping[str, Any], profile: Mapping[str, Any]) -> Choices:
    """The choices after a click on a repair: ``{"step": …}`` is added to the list, ``{"set": …}`` changes a setting.

    Raises:
        SpecError: the repair does not hold.
    """
    if "set" in repair:
        return with_values(choices, repair["set"])
    steps = [step.model_dump(mode="json") for step in choices.prepare.steps]
    same = [step for step in steps if {**step, "on": True} == {**_whole(repair["step"]), "on": True}]
    if same:
        same[0]["on"] = True  # it was switched off before
    else:
        steps.append(dict(repair["step"]))
    return with_preparation(choices, steps, profile)


def with_preparation(choices: Choices, steps: Sequence[Any], profile: Mapping[str, Any]) -> Choices:
    """The choices with this list of steps in place of theirs.

    Raises:
        SpecError: a step does not hold.
    """
    values: dict[str, Any] = {"prepare.steps": steps}
    if choices.data.task in ("binary", "multiclass") and choices.data.task == profile["guess"].get("task"):
        values["data.task"] = "auto"  # it was guessed before labels were merged or dropped
    return with_values(choices, values)


def _whole(step: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return PrepareSpec(steps=(step,)).steps[0].model_dump(mode="json")  # type: ignore[arg-type]
    except ValidationError:
        return dict(step)


def with_values(choices: Choices, values: Mapping[str, Any]) -> Choices:
    """The choices with other values by path. Raises `SpecError` for those that do not hold."""
    try:
        changed = choices.replaced(values)
    except ValidationError as error:
        raise SpecError(problems=broken_rules(error)) from error
    except (KeyError, TypeError) as error:
        problems = [{"setting": path, "given": repr(value)[:80], "rule": "unknown"} for path, value in values.items()]
        raise SpecError(problems=problems) from error
    if problems := blank_labels(changed.prepare):
        raise SpecError(problems=problems)
    return changed


def labels_of(report: Mapping[str, Any], label_names: Mapping[str, str]) -> list[str]:
    """The labels by their names, told from a report that nothing is to be refused for (`refusal_of`)."""
    return named_labels([label["value"] for label in report["labels"]], label_names)


def check_labels(spec: RunSpec, report: Mapping[str, Any]) -> None:
    """Whether what a run asks of its labels can be had, told from a report that nothing is to be refused for.

    Raises:
        LabelWeightsUnknown, LabelWeightsZero: a weight is for a label that there is not, or all of them are 0.
        SpecError: what the best model is to be best in is not measured of such labels.
    """
    check_weighted(spec.training.label_weights, labels_of(report, spec.data.label_names))
    check_metric(spec, report["task"])


def refusal_of(report: Mapping[str, Any], label_names: Mapping[str, str]) -> StudioError | None:
    """Why training on these columns cannot begin, told from their report; None if it can."""
    column = report["label"] or ", ".join(report.get("label_columns") or [])
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
    try:
        labels_of(report, label_names)
    except (LabelNamesUnknown, LabelNamesClash) as error:
        return error
    failed = (report.get("parts") or {}).get("error")
    return StudioError.from_dict(failed) if failed else None
