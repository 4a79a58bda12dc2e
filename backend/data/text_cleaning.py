"""What is done to one row before a model reads it: the same in training, when it answers, and in a shared app.

A text is composed of columns by a template, where the model has one, and cleaned by the steps of its recipe.

Made of the standard library alone, so that the file can be copied beside a model and used there as it is.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter
from typing import Any

RECIPE_FILE = "preparing.json"
"""Beside a model: ``{"steps": [...], "template": "…"}``."""
# In the syntax of RE2 as well, by which whole columns are looked through.
URL = r"(?i)\bhttps?://[^\s<>]{3,}|\bwww\.[a-z0-9-]+\.[a-z]{2,}"
EMAIL = r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}\b"
PHONE = (
    r"(\+|\b00)\d{1,3}[ -]?\(?\d{1,4}\)?([ -]?\d{2,4}){2,4}\b"
    r"|\b1[3-9]\d[ -]?\d{4}[ -]?\d{4}\b|\b0\d{2,3}-\d{7,8}\b|(\(\d{3}\) ?|\b\d{3}[-.])\d{3}[-.]\d{4}\b"
)
_UNSEEN = ("script", "style")
_LINES = ("p", "br", "div", "li", "tr", "td", "th", "ul", "ol", "table", "h1", "h2", "h3", "h4", "h5", "h6", "hr")
_MOST_ROUNDS = 5


def normalise(text: str) -> str:
    """Unicode NFKC, and every run of white space one space."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def strip_html(text: str) -> str:
    """The text that a page made of this HTML shows. ``a < b`` stays: only what looks like a tag is one."""
    # What was written as an entity can be a tag once it is turned into its characters: until nothing changes.
    for _round in range(_MOST_ROUNDS):
        if "<" not in text and "&" not in text:
            return text
        shown = _shown(text)
        if shown == text:
            return text
        text = shown
    return text


def mask_contacts(text: str) -> str:
    """The text with ``[EMAIL]``, ``[URL]`` and ``[PHONE]`` in the place of what leads to somebody."""
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


_MASKS = tuple((re.compile(p, re.ASCII), mask) for p, mask in ((EMAIL, "[EMAIL]"), (URL, "[URL]"), (PHONE, "[PHONE]")))

TEXT_STEPS: dict[str, Callable[[str], str]] = {
    "normalise_text": normalise,
    "strip_html": strip_html,
    "mask_contacts": mask_contacts,
}
"""The steps that change a text and need nothing else: they hold for new texts too."""


def clean(text: str, steps: Iterable[Mapping[str, Any]]) -> str:
    """The text after those of the steps that change texts and are on."""
    for step in steps:
        function = TEXT_STEPS.get(str(step.get("kind")))
        if function and step.get("on", True):
            text = function(text)
    return text


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """The template as pairs of plain text and the column that follows it (None: nothing follows).

    Raises:
        ValueError: a brace is never closed, or stands alone.
    """
    found = []
    for plain, name, form, conversion in Formatter().parse(template):
        # A column may be called "a:b" or "a!r": what Python reads out of a field is put together again.
        column = (
            None if name is None else name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
        )
        found.append((plain, column))
    return found


def template_columns(template: str) -> list[str]:
    """The columns that the template names, each once. Raises as `template_parts` does."""
    return list(dict.fromkeys(column for _plain, column in template_parts(template) if column is not None))


def render(template: str, row: Mapping[str, str | None]) -> str:
    """The text of one row; empty where none of the template's columns says anything. Raises as `template_parts`."""
    parts = template_parts(template)
    if not any((row.get(column) or "").strip() for _plain, column in parts if column is not None):
        return ""
    return "".join(plain + ((row.get(column) or "") if column is not None else "") for plain, column in parts)


def recipe_of(model: Path) -> list[dict[str, Any]]:
    """The steps kept beside a model; none where it has no such file."""
    steps = _kept(model).get("steps")
    return [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []


def template_of(model: Path) -> str:
    """The template kept beside a model; empty where it has none, or one that names no column."""
    template = _kept(model).get("template")
    try:
        return template if isinstance(template, str) and template_columns(template) else ""
    except ValueError:
        return ""


def _kept(model: Path) -> dict[str, Any]:
    try:
        document = json.loads((model / RECIPE_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def text_steps(steps: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Those of a recipe's steps that apply to a text which stands alone."""
    return [dict(step) for step in steps if step.get("kind") in TEXT_STEPS and step.get("on", True)]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unseen += tag in _UNSEEN
        if tag in _LINES:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.unseen = max(0, self.unseen - (tag in _UNSEEN))
        if tag in _LINES:
            self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.parts.append(data)


def _shown(text: str) -> str:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    shown = "".join(reader.parts)
    return " ".join(shown.split()) if shown != text else text
