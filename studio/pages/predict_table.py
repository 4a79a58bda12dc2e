"""Try it, for many texts: a dropped table is classified by a job, and comes back as a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from backend.errors import RunMissing
from backend.inference.table_predicting import FORMATS, start_table, tables_of
from studio import components
from studio.address import Opened
from studio.i18n import Words
from studio.services import Services
from studio.site import Site

FORMAT_NAMES = {"csv": "CSV", "parquet": "Parquet", "jsonl": "JSON Lines"}


@dataclass(frozen=True)
class TableView:
    """The components of the card."""

    file: gr.File
    kind: gr.Radio
    progress: gr.HTML

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.file, self.progress]


def layout(t: Words) -> TableView:
    """Build the card inside the open page."""
    with gr.Column(elem_classes="card"):
        gr.HTML(f"<h4>{t('try.many')}</h4><p class='muted'>{t('try.many_about')}</p>")
        kind = gr.Radio(
            choices=[(FORMAT_NAMES[name], name) for name in FORMATS],
            value=FORMATS[0],
            label=t("try.format"),
            elem_id=f"table-format-{t.language}",
        )
        file = gr.File(label=t("try.drop"), height=130, elem_id=f"table-{t.language}")
        progress = components.job_progress()
    return TableView(file, kind, progress)


def show(services: Services, view: TableView, opened: Opened) -> dict[Any, Any]:
    """The newest table of the open run: living, done or failed."""
    jobs = tables_of(services.home, opened.run) if opened.run else []
    return {view.file: None, view.progress: _progress(jobs[0].id) if jobs else ""}


def start(services: Services, opened: Opened, file: str | None, kind: str) -> str:
    """Start classifying the dropped file's rows; gives the value of the progress component.

    Raises:
        RunMissing, RunNotFinished: there is no model to ask.
        FileMissing, OutputUnknown: the file is gone, or is to become what is not written here.
    """
    if opened.run is None:
        raise RunMissing(run="")
    path = Path(file or "")
    return _progress(start_table(services.store, opened.run, path, name=path.name, kind=kind).id)


def _progress(job: str) -> str:
    return json.dumps({"job": job})


def wire(view: TableView, site: Site) -> None:
    """Connect the card's events."""

    def dropped(address: str, file: str | None, kind: str) -> dict[Any, Any]:
        return {view.file: None, view.progress: start(site.services, site.opened(address), file, kind)}

    site.on(view.file.upload, dropped, [site.router, view.file, view.kind], [view.file, view.progress])
