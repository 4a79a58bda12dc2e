"""Whether a template, ``{title}. {synopsis}``, can make texts of a table. Pure, and free of any table library.

How it makes one is in `backend.data.text_cleaning`, which needs no more than Python.
"""

from __future__ import annotations

from collections.abc import Iterable

from backend.data import text_cleaning
from backend.errors import ColumnMissing, SameColumn, TemplateUnreadable, TemplateUsesLabel
from backend.specs import DataSpec


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """`backend.data.text_cleaning.template_parts` of what a user wrote.

    Raises:
        TemplateUnreadable: a brace is never closed, or stands alone.
    """
    try:
        return text_cleaning.template_parts(template)
    except ValueError as error:
        raise TemplateUnreadable(template=template[:200], detail=str(error)) from error


def template_columns(template: str) -> list[str]:
    """The columns that the template names, each once. Raises as `template_parts` does."""
    return list(dict.fromkeys(column for _plain, column in template_parts(template) if column is not None))


def text_columns(data: DataSpec) -> list[str]:
    """The columns that the text is made of."""
    return template_columns(data.template) if data.template else [data.text_column]


def label_columns(data: DataSpec) -> list[str]:
    """The columns that the labels are read from."""
    return list(data.label_columns) or [data.label_column]


def check_apart(data: DataSpec) -> None:
    """Whether texts and labels are read from different columns.

    Raises:
        SameColumn: they are not.
    """
    if not data.template and data.text_column and data.text_column in label_columns(data):
        raise SameColumn(column=data.text_column)


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
