"""What the data page says about a table: heading, findings and first rows, as HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.specs import DataSpec
from studio.i18n import Words, size
from studio.markup import table, tag, text

PREVIEW_ROWS = 8
FILES_NAMED = 3
CELL_LENGTH = 300
WORDS_LENGTH = 12
CELL_SHOWN = 100
"""Characters that are surely seen of a cell; of a longer one the rest may be cut off by the page."""


def heading(t: Words, profile: dict[str, Any]) -> str:
    """The file's name and how it was read."""
    hub = profile.get("hub") or {}
    facts = [
        hub.get("configuration", ""),
        t("hub.commit", commit=hub["revision"][:10]) if hub else "",
        t("data.rows", count=profile["rows"]),
        t("data.columns", count=len(profile["columns"])),
        size(profile["bytes"]),
        (profile.get("encoding") or "").upper(),
        {"\t": "TAB", ",": ""}.get(profile.get("delimiter") or "", profile.get("delimiter") or ""),
    ]
    sources = [source["file"] for source in profile.get("sources") or []]
    name = " + ".join(sources) if 1 < len(sources) <= FILES_NAMED else profile["file"]
    chips = (tag("span", text(fact), class_="chip") for fact in facts if fact)
    return tag("div", tag("h2", text(name)), *chips, class_="file-head")


def lengths(t: Words, found: Mapping[str, Any]) -> str:
    """How long the texts are, in one line."""
    facts = t("data.lengths_summary", median=round(found["median"]), p95=round(found["p95"]), longest=found["max"])
    return tag("p", text(facts), class_="muted")


def reasons(t: Words, profile: Mapping[str, Any], data: DataSpec) -> str:
    """Why these columns were taken, and what the others seem to be, in one line; nothing of what was chosen by hand."""
    guess = profile["guess"]
    roles, said = guess.get("roles") or {}, []
    columns = roles.get("label_columns") or []
    for role, chosen, guessed, shown in (
        ("text", data.text_column, guess["text"], guess["text"]),
        ("label", data.label_column, guess["label"], guess["label"]),
        ("label_columns", list(data.label_columns), columns, columns),
    ):
        if guessed and chosen == guessed:
            said.append((role, shown))
    said += [(role, roles[role]) for role in ("split", "group", "time") if roles.get(role)]
    codes = {**(roles.get("reasons") or {}), **guess["reasons"]}
    lines = [
        t(f"data.reason.{role}", column=column, reason=t(f"guess.{role}.{codes[role]}"))
        for role, column in said
        if codes.get(role)
    ]
    if roles.get("id"):
        lines.append(t("data.reason.id", column=roles["id"]))
    return (
        tag("p", *(tag("span", text(line), class_="reason") for line in lines), class_="muted reasons") if lines else ""
    )


def preview(t: Words, profile: dict[str, Any], choices: DataSpec) -> str:
    """The first rows, with the chosen columns marked."""
    labels = choices.label_columns or (choices.label_column,)
    roles = {choices.text_column: t("data.role_text"), **dict.fromkeys(labels, t("data.role_label"))}
    heads = [f"{name} · {roles[name]}" if name in roles else name for name in profile["preview"]["columns"]]
    rows = ([_cell(cell) for cell in row] for row in profile["preview"]["rows"][:PREVIEW_ROWS])
    return table(heads, rows, kind="figures rows")


def _cell(value: str | None) -> str:
    if value is None:
        return tag("span", "∅", class_="muted")
    cut = value if len(value) <= CELL_LENGTH else value[:CELL_LENGTH] + "…"
    much = len(value) > CELL_SHOWN
    room = "cell much" if much else "cell some" if len(value) > WORDS_LENGTH else "cell"
    return tag("span", text(cut), title=value[:2000] if much else None, class_=room)
