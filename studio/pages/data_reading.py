"""Data: how the file was read, and reading it again in another way or together with its other parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.datasets import start_import
from backend.data.files import SourceFile
from backend.data.originals import start_rereading
from backend.errors import DatasetMissing
from backend.specs import ReadingSpec, build_spec
from studio.address import Opened, goto
from studio.i18n import Words, size
from studio.markup import tag, text
from studio.services import Services
from studio.site import Site

ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be", "gb18030", "big5", "cp932", "euc_jp", "euc_kr", "cp1252", "iso8859-2")
DELIMITERS = {",": ",", ";": ";", "tab": "TAB", "|": "|"}
TEXT_FORMATS = ("csv", "lines", "json", "jsonl", "folders")


@dataclass(frozen=True)
class ReadingView:
    """The components of the panel."""

    panel: gr.Accordion
    found: gr.HTML
    encoding: gr.Dropdown
    delimiter: gr.Dropdown
    header: gr.Dropdown
    sheet: gr.Dropdown
    more: gr.File
    again: gr.Button

    def fields(self) -> list[Component]:
        """What `read_again` takes, in its order."""
        return [self.encoding, self.delimiter, self.header, self.sheet, self.more]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.panel, self.found, *self.fields()]


def layout(t: Words) -> ReadingView:
    """Build the panel inside the open page."""
    with gr.Accordion(t("reading.change"), open=False, elem_classes="reading folded") as panel:
        found = gr.HTML()
        with gr.Row(elem_classes="settings"):
            encoding = gr.Dropdown(
                choices=[(t("reading.as_found"), ""), *((name.upper(), name) for name in ENCODINGS)],
                value="",
                allow_custom_value=True,
                **_words(t, "encoding"),
            )
            delimiter = gr.Dropdown(
                choices=[(t("reading.as_found"), ""), *((shown, value) for value, shown in DELIMITERS.items())],
                value="",
                allow_custom_value=True,
                **_words(t, "delimiter"),
            )
            header = gr.Dropdown(
                choices=[(t(f"choice.reading.header.{value}"), value) for value in ("auto", "yes", "no")],
                value="auto",
                filterable=False,
                **_words(t, "header"),
            )
            sheet = gr.Dropdown(value="", allow_custom_value=True, **_words(t, "sheet"))
        more = gr.File(
            label=t("reading.more"), file_count="multiple", height=120, elem_id=f"more-files-{t.language}", value=None
        )
        again = gr.Button(t("reading.again"), size="sm", elem_id=f"read-again-{t.language}")
    return ReadingView(panel, found, encoding, delimiter, header, sheet, more, again)


def _words(t: Words, name: str) -> dict[str, Any]:
    label, info = t(f"setting.reading.{name}.name"), t(f"setting.reading.{name}.help")
    return {"label": label, "info": info, "min_width": 200, "elem_classes": "setting"}


# -- handlers


def show(t: Words, view: ReadingView, opened: Opened) -> dict[Any, Any]:
    """What the panel shows for an opened table; it is hidden for one that was not read from files."""
    profile = opened.profile
    if profile is None or not profile.get("sources"):
        return {view.panel: gr.update(visible=False)}
    asked = ReadingSpec(**profile.get("reading", {}))
    kind, sheets = profile["format"], profile.get("sheets") or []
    choices = [(t("reading.as_found"), ""), *((name, name) for name in sheets)]
    return {
        view.panel: gr.update(visible=True, open=bool(profile.get("reading"))),
        view.found: found_as(t, profile),
        view.encoding: gr.update(value=asked.encoding, visible=kind in TEXT_FORMATS),
        view.delimiter: gr.update(value=asked.delimiter, visible=kind in ("csv", "lines")),
        view.header: gr.update(value=asked.header, visible=kind in ("csv", "lines", "sheet")),
        view.sheet: gr.update(choices=choices, value=asked.sheet, visible=len(sheets) > 1),
        view.more: None,
    }


def found_as(t: Words, profile: dict[str, Any]) -> str:
    """How the files were read, as a list of facts."""
    delimiter = profile.get("delimiter") or ""
    sheets = profile.get("sheets") or []
    files = [
        " · ".join(filter(None, [s["file"], t(f"reading.part.{s['part']}") if s["part"] else "", size(s["bytes"])]))
        for s in profile["sources"]
    ]
    facts = [
        ("format", t(f"reading.format.{profile['format']}")),
        ("encoding", (profile.get("encoding") or "").upper()),
        ("delimiter", {"\t": "TAB"}.get(delimiter, delimiter)),
        ("header", t("choice.reading.header.yes" if profile.get("header", True) else "choice.reading.header.no")),
        ("sheet", f"{profile['sheet']} ({', '.join(sheets)})" if len(sheets) > 1 else profile.get("sheet") or ""),
        ("split", profile.get("given_split") or ""),
        ("files", "\n".join(files)),
    ]
    shown = (
        tag("dt", text(t(f"reading.found.{name}"))) + tag("dd", text(value).replace("\n", "<br>"))
        for name, value in facts
        if value
    )
    return tag("dl", *shown, class_="facts")


def read_again(
    services: Services, opened: Opened, encoding: str, delimiter: str, header: str, sheet: str, more: Sequence[str]
) -> str:
    """Start reading the open table's files in another way, or together with more files; leads to its progress.

    Raises:
        DatasetMissing: no table is open.
        OriginalGone: its file is not kept any more.
        PartsUnclear: which part of the data a file is cannot be told.
        SpecError: what was asked for does not hold.
    """
    if opened.profile is None:
        raise DatasetMissing(dataset="")
    asked = {"encoding": encoding or "", "delimiter": delimiter or "", "header": header or "auto", "sheet": sheet or ""}
    reading = build_spec({"reading": asked}).reading
    job = start_rereading(services.home, opened.profile, reading, files_of(more))
    return goto(importing=job.id)


def import_files(services: Services, paths: Sequence[str]) -> str:
    """Start reading dropped files as one table, in a process of its own; leads to its progress.

    Raises:
        DatasetMissing: no file came.
        PartsUnclear: which part of the data a file is cannot be told.
    """
    if not paths:
        raise DatasetMissing(dataset="")
    return goto(importing=start_import(services.home, files_of(paths)).id)


def files_of(paths: Sequence[str] | None) -> list[SourceFile]:
    """Uploaded files under the names that the user gave them."""
    return [SourceFile(Path(path), Path(path).name) for path in paths or ()]


def wire(view: ReadingView, site: Site) -> None:
    """Connect the panel's events."""

    def again(address: str, *fields: Any) -> str:
        return read_again(site.services, site.opened(address), *fields)

    site.on(view.again.click, again, [site.router, *view.fields()], [site.router])
