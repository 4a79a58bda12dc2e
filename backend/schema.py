"""What all specs are made of: a frozen section, and a field in it that people can set."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all specs: frozen, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def setting(default: Any, *, flag: str, advanced: bool = False, **rules: Any) -> Any:
    """A field of a spec that people can set: ``rules`` are pydantic's ``ge``, ``le``, ``gt``, ``max_length``."""
    return Field(default, json_schema_extra={"flag": flag, "advanced": advanced}, validate_default=False, **rules)
