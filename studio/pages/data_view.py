"""What the data page says about a table: heading, findings and first rows, as HTML."""

from __future__ import annotations

from typing import Any

from backend.specs import DataSpec
from studio.i18n import Words, size
from studio.markup import table, tag, text

PREVIEW_ROWS = 8
CELL_LENGTH = 300


def heading(t: Words, profile: dict[str, Any]) -> str:
    """The file's name and how it was read."""
    facts = [
        t("data.rows", count=profile["rows"]),
        t("data.columns", count=len(profile["columns"])),
        size(profile["bytes"]),
        (profile.get("encoding") or "").upper(),
        {"\t": "TAB", ",": ""}.get(profile.get("delimiter") or "", profile.get("delimiter") or ""),
    ]
    chips = (tag("span", text(fact), class_="chip") for fact in facts if fact)
    return tag("div", tag("h2", text(profile["file"])), *chips, class_="file-head")


def lengths(t: Words, found: dict[str, Any]) -> str:
    """How long the texts are, in one line."""
    facts = t("data.lengths_summary", median=found["median"], p95=found["p95"], longest=found["max"])
    return tag("p", text(facts), class_="muted")


def preview(t: Words, profile: dict[str, Any], choices: DataSpec) -> str:
    """The first rows, with the chosen columns marked."""
    roles = {choices.text_column: t("data.role_text"), choices.label_column: t("data.role_label")}
    heads = [f"{name} · {roles[name]}" if name in roles else name for name in profile["preview"]["columns"]]
    rows = ([_cell(cell) for cell in row] for row in profile["preview"]["rows"][:PREVIEW_ROWS])
    return table(heads, rows, kind="figures rows")


def _cell(value: str | None) -> str:
    if value is None:
        return tag("span", "∅", class_="muted")
    cut = value if len(value) <= CELL_LENGTH else value[:CELL_LENGTH] + "…"
    return tag("span", text(cut), title=value[:2000] if cut is not value else None)
