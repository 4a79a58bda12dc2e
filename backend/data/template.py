"""A text composed of several columns: ``{title}. {synopsis}``. Pure, and free of any table library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter

from backend.errors import ColumnMissing, TemplateUnreadable, TemplateUsesLabel
from backend.specs import DataSpec


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """The template as pairs of plain text and the column that follows it (None: nothing follows).

    Raises:
        TemplateUnreadable: a brace is never closed, or stands alone.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise TemplateUnreadable(template=template[:200], detail=str(error)) from error
    found = []
    for plain, name, form, conversion in parts:
        # A column may be called "a:b" or "a!r": what Python reads out of a field is put together again.
        column = (
            None if name is None else name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        )
        found.append((plain, column))
    return found


def template_columns(template: str) -> list[str]:
    """The columns that the template names, each once."""
    return list(dict.fromkeys(column for _plain, column in template_parts(template) if column is not None))


def render(template: str, row: Mapping[str, str | None]) -> str:
    """The text of one row; empty where none of the template's columns says anything."""
    parts = template_parts(template)
    if not any((row.get(column) or "").strip() for _plain, column in parts if column is not None):
        return ""
    return "".join(plain + ((row.get(column) or "") if column is not None else "") for plain, column in parts)


def text_columns(data: DataSpec) -> list[str]:
    """The columns that the text is made of."""
    return template_columns(data.template) if data.template else [data.text_column]


def label_columns(data: DataSpec) -> list[str]:
    """The columns that the labels are read from."""
    return list(data.label_columns) or [data.label_column]


def check_template(template: str, data: DataSpec, available: Iterable[str]) -> None:
    """Whether the template can make texts to learn from.

    Raises:
        TemplateUnreadable: its braces do not match, or it names no column.
        ColumnMissing: it names a column that is not in the table.
        TemplateUsesLabel: it would tell the model the answer.
    """
    columns, available = template_columns(template), list(available)
    if not columns:
        raise TemplateUnreadable(template=template[:200], detail="no column")
    for column in columns:
        if column not in available:
            raise ColumnMissing(column=column, available=available)
        if column in label_columns(data):
            raise TemplateUsesLabel(template=template[:200], column=column)
