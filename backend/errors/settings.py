"""Errors about settings."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


@dataclass(eq=False)
class SpecError(StudioError):
    """Settings that do not hold: ``problems`` is a list of ``{"setting", "given", "rule"}``, all of them at once."""

    code = "spec.invalid"
    problems: list[dict[str, str]]


@dataclass(eq=False)
class SpecUnreadable(StudioError):
    code = "spec.unreadable"
    file: str
    detail: str
