"""Errors about data sets of the Hub."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.files import DataError


@dataclass(eq=False)
class HubDataUnreachable(DataError):
    """The Hub did not answer when it was asked for a data set."""

    code = "data.hub_unreachable"
    endpoint: str


@dataclass(eq=False)
class HubDatasetUnknown(DataError):
    """The Hub has no such data set, or none that this user may see."""

    code = "data.hub_unknown"
    dataset: str


@dataclass(eq=False)
class HubDatasetGated(DataError):
    code = "data.hub_gated"
    dataset: str


@dataclass(eq=False)
class HubRevisionUnknown(DataError):
    code = "data.hub_revision_unknown"
    dataset: str
    revision: str


@dataclass(eq=False)
class HubConfigurationMissing(DataError):
    """The data set has several configurations: none was named, or one that is not there."""

    code = "data.hub_configuration_missing"
    dataset: str
    configuration: str
    available: list[str]


@dataclass(eq=False)
class HubSplitMissing(DataError):
    code = "data.hub_split_missing"
    dataset: str
    splits: list[str]
    available: list[str]


@dataclass(eq=False)
class HubDatasetScript(DataError):
    """The rows are made by a program, and programs of others are never run."""

    code = "data.hub_script"
    dataset: str
    file: str


@dataclass(eq=False)
class HubDatasetNoTable(DataError):
    """``detail`` is one of the reasons worded under ``errors.data.hub_no_table.detail``."""

    code = "data.hub_no_table"
    dataset: str
    detail: str


@dataclass(eq=False)
class HubDatasetUnreadable(DataError):
    """The data set's files do not fit its own description, or are damaged; ``detail`` is what the library said."""

    code = "data.hub_unreadable"
    dataset: str
    detail: str
