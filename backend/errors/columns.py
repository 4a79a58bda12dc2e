"""Errors about the columns of a table, its labels, and how its rows are divided."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.files import DataError


@dataclass(eq=False)
class ColumnMissing(DataError):
    code = "data.column_missing"
    column: str
    available: list[str]


@dataclass(eq=False)
class ColumnsUncertain(DataError):
    """The text or the label column cannot be guessed with certainty."""

    code = "data.columns_uncertain"
    available: list[str]


@dataclass(eq=False)
class SameColumn(DataError):
    code = "data.same_column"
    column: str


@dataclass(eq=False)
class OneLabelOnly(DataError):
    code = "data.one_label_only"
    column: str
    label: str


@dataclass(eq=False)
class NoLabels(DataError):
    code = "data.no_labels"
    column: str


@dataclass(eq=False)
class TooManyLabels(DataError):
    """The label column has so many different values that it looks like a text or an id."""

    code = "data.too_many_labels"
    column: str
    labels: int
    rows: int


@dataclass(eq=False)
class NotBinary(DataError):
    """A task with two labels was asked for, and the column has more."""

    code = "data.not_binary"
    column: str
    labels: list[str]


@dataclass(eq=False)
class LabelColumnNotBinary(DataError):
    """A column that stands for one label holds more than 0 and 1."""

    code = "data.label_column_not_binary"
    column: str
    values: list[str]
    """Some of the others."""


@dataclass(eq=False)
class LabelNamesClash(DataError):
    """Two labels were given the same name."""

    code = "data.label_names_clash"
    name: str
    labels: list[str]


@dataclass(eq=False)
class LabelWeightsUnknown(DataError):
    """Weights are given for labels that the run does not have, as it calls them."""

    code = "data.label_weights_unknown"
    given: list[str]
    labels: list[str]


@dataclass(eq=False)
class LabelWeightsZero(DataError):
    """Every label weighs nothing, so that there is nothing to learn."""

    code = "data.label_weights_zero"


@dataclass(eq=False)
class LabelNamesUnknown(DataError):
    """Names were given for labels that the column does not hold."""

    code = "data.label_names_unknown"
    labels: list[str]
    available: list[str]


@dataclass(eq=False)
class NothingLeft(DataError):
    """After blank texts and labels were left out, too few rows remain."""

    code = "data.nothing_left"
    rows: int
    needed: int


@dataclass(eq=False)
class TemplateUnreadable(DataError):
    """The braces of a template do not match, or it names no column."""

    code = "data.template_unreadable"
    template: str
    detail: str


@dataclass(eq=False)
class TemplateUsesLabel(DataError):
    """A text composed of the label would tell the model the answer."""

    code = "data.template_uses_label"
    template: str
    column: str


@dataclass(eq=False)
class PartsUnknown(DataError):
    """The column that is to say which part a row belongs to names no training rows."""

    code = "data.parts_unknown"
    column: str
    values: list[str]


@dataclass(eq=False)
class GroupsTooFew(DataError):
    code = "data.groups_too_few"
    column: str
    groups: int


@dataclass(eq=False)
class TimeUnreadable(DataError):
    code = "data.time_unreadable"
    column: str
    examples: list[str]


@dataclass(eq=False)
class FoldsNotPossible(DataError):
    """Folds were asked for of parts that are given by a column."""

    code = "data.folds_not_possible"
    method: str


@dataclass(eq=False)
class FoldMissing(DataError):
    code = "data.fold_missing"
    fold: int
    folds: int


@dataclass(eq=False)
class PartEmpty(DataError):
    """No row is left for the ``train``, ``validation`` or ``test`` part."""

    code = "data.part_empty"
    part: str


@dataclass(eq=False)
class SplitColumnMissing(DataError):
    """The chosen way to split goes by a column, and none is named."""

    code = "data.split_column_missing"
    method: str
