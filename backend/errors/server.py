"""Errors about starting the studio itself."""

from __future__ import annotations

from dataclasses import dataclass

from backend.errors.base import StudioError


class ServerError(StudioError):
    """Starting the studio itself."""


@dataclass(eq=False)
class PortTaken(ServerError):
    code = "server.port_taken"
    first: int
    last: int


@dataclass(eq=False)
class HomeUnusable(ServerError):
    code = "server.home_unusable"
    folder: str
    detail: str
