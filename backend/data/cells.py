"""Values of JSON and Parquet as the texts a person would write for them. Pure."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

LIST_SEPARATORS = ("|", ";", ",", "¦", "⁏", "␟")
"""What may join the items of a list, such as the labels of one text: the first one that no item contains."""


def joining(items: Collection[str], preferred: str = "") -> str:
    """What may stand between several of the items in one cell: the preferred mark, or the first that none contains."""
    marks = (preferred, *LIST_SEPARATORS) if preferred.strip() and preferred != "[]" else LIST_SEPARATORS
    return next((mark for mark in marks if not any(mark.strip() in item for item in items)), LIST_SEPARATORS[-1])


def cell_text(value: Any, separator: str = LIST_SEPARATORS[0]) -> str | None:
    """The value as text; None for what is missing or empty. Whole floats lose their ``.0``; lists are joined."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, (list, tuple)):
        items = [text for item in value if (text := cell_text(item)) is not None]
        return separator.join(items) or None
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace") or None
    return str(value)


def _float_text(value: float) -> str | None:
    if value != value:  # NaN is how tables of numbers write a missing cell
        return None
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


class ListSeparators:
    """Finds, for each column with lists, a separator that none of its items contains."""

    def __init__(self) -> None:
        self._candidates: dict[str, list[str]] = {}
        self._several: set[str] = set()

    def see(self, column: str, value: Any) -> None:
        """Take note of one cell."""
        if not isinstance(value, (list, tuple)):
            return
        candidates = self._candidates.setdefault(column, list(LIST_SEPARATORS))
        if len(value) > 1:
            self._several.add(column)
        for item in value:
            if isinstance(item, str):
                candidates[:-1] = [c for c in candidates[:-1] if c not in item]

    def of(self, column: str) -> str:
        """What joins the items of the column's lists."""
        return self._candidates.get(column, list(LIST_SEPARATORS))[0]

    def agree_with(self, other: ListSeparators) -> None:
        """Let both join the lists of a column by the same separator: pieces of one table must."""
        for column in self._candidates.keys() | other._candidates.keys():
            mine, theirs = (s._candidates.get(column, list(LIST_SEPARATORS)) for s in (self, other))
            free = [candidate for candidate in mine if candidate in theirs]
            self._candidates[column] = other._candidates[column] = free

    def found(self) -> dict[str, str]:
        """The separator of each column in which a list has more than one item."""
        return {column: self.of(column) for column in self._candidates if column in self._several}


def without_lone_surrogates(texts: Iterable[str | None]) -> list[str | None]:
    """The texts with what UTF-8 cannot write (half an escaped emoji) replaced by ``?``."""
    return [None if text is None else text.encode("utf-8", "replace").decode("utf-8") for text in texts]
