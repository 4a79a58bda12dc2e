"""Errors about publishing a finished run."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


class SharingError(StudioError):
    """Publishing a finished run."""


@dataclass(eq=False)
class TokenMissing(SharingError):
    code = "share.token_missing"


@dataclass(eq=False)
class TokenRejected(SharingError):
    code = "share.token_rejected"
    endpoint: str


@dataclass(eq=False)
class RepositoryNameInvalid(SharingError):
    code = "share.name_invalid"
    name: str


@dataclass(eq=False)
class RepositoryTaken(SharingError):
    code = "share.name_taken"
    name: str


@dataclass(eq=False)
class PublishingRefused(SharingError):
    """The Hub refused for a reason of its own (a plan, a quota, a missing right)."""

    code = "share.refused"
    name: str
    detail: str


@dataclass(eq=False)
class LicenceInvalid(SharingError):
    code = "share.licence_invalid"
    licence: str


@dataclass(eq=False)
class HubNotReached(SharingError):
    """The Hub did not answer before or during an upload."""

    code = "share.hub_unreachable"
    endpoint: str
