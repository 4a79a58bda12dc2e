"""Values of a Hub data set as the texts of a table, told from the types that the data set declares. Pure.

A type is what ``datasets.Features.to_dict()`` and the Hub's own viewer both give: ``{"_type": "ClassLabel", "names":
[…]}``, ``{"_type": "List", "feature": …}``, ``{"_type": "Value", "dtype": "string"}``, or a mapping of such types.
"""

from __future__ import annotations

from typing import Any

LISTS = ("List", "LargeList", "Sequence")
TEXTS = ("Value", "ClassLabel", "Json", "Translation", "TranslationVariableLanguages")


def decoded(value: Any, kind: Any) -> Any:
    """The value with class numbers replaced by their names; a number without a name (-1: unknown) is missing."""
    if value is None:
        return None
    names = class_names(kind)
    if names:
        if isinstance(value, str):
            return value
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
    inner = inner_type(kind)
    if inner is not None and isinstance(value, (list, tuple)):
        return [decoded(item, inner) for item in value]
    if isinstance(value, dict) and isinstance(kind, dict):
        return {name: decoded(item, kind.get(name)) for name, item in value.items()}
    return value


def class_names(kind: Any) -> list[str]:
    """The names of the classes of such a column; empty for any other column."""
    if isinstance(kind, dict) and kind.get("_type") == "ClassLabel":
        return [str(name) for name in kind.get("names") or []]
    return []


def inner_type(kind: Any) -> Any:
    """The type of a list's items; None if it is no list. A struct of lists, which is what some lists are, is none."""
    if isinstance(kind, list) and len(kind) == 1:
        return kind[0]
    if isinstance(kind, dict) and kind.get("_type") in LISTS:
        return kind.get("feature")
    return None


def holds_text(kind: Any) -> bool:
    """Whether a column can stand in a table of texts: no pictures, sounds or bytes, no lists of measured numbers."""
    inner = inner_type(kind)
    if inner is not None:
        is_measured = isinstance(inner, dict) and str(inner.get("dtype", "")).startswith("float")
        return holds_text(inner) and not is_measured and inner_type(inner) is None
    if not isinstance(kind, dict):
        return False
    if "_type" not in kind:
        return all(holds_text(one) for one in kind.values())
    return kind["_type"] in TEXTS and "binary" not in str(kind.get("dtype", ""))
