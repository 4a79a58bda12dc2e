"""Data: find a data set on the Hub, see what it holds before anything is downloaded, and import it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.datasets import wait
from backend.data.hub_datasets import (
    HubDataset,
    HubSource,
    look_up,
    parts_of,
    start_hub_import,
    start_look,
    usual_splits,
)
from backend.data.hub_preview import Look, ask_viewer
from backend.data.hub_search import FoundDataset, search
from backend.errors import HubDatasetUnknown, HubDataUnreachable, StudioError
from backend.jobs.directory import JobDirectory
from backend.settings import Home
from studio import components
from studio.address import goto
from studio.i18n import Words
from studio.markup import problem, table, tag, text
from studio.services import Services
from studio.site import Site

LOOK_TIMEOUT_S = 120.0
SEVERAL = 8
"""Searches and looks that may wait for the Hub at the same time, of all browsers together."""


@dataclass(frozen=True)
class HubView:
    """The components of the part of the page that finds data sets."""

    search: gr.HTML
    revision: gr.Textbox
    token: gr.Textbox
    problem: gr.HTML
    about: gr.HTML
    pickers: gr.Row
    configuration: gr.Dropdown
    splits: gr.Dropdown
    rows: gr.HTML
    take: gr.Button

    def fields(self) -> list[Component]:
        """What names a data set: the arguments of `chosen_source`, and the token."""
        return [self.search, self.revision, self.configuration, self.splits, self.token]

    def outputs(self) -> list[Any]:
        """Everything that choosing a data set changes."""
        return [self.problem, self.about, self.pickers, self.configuration, self.splits, self.rows, self.take]


def layout(t: Words) -> HubView:
    """Build this part inside the open page."""
    with gr.Column(elem_classes="card hub"):
        gr.HTML(f"<h4>{t('hub.title')}</h4><p class='muted'>{t('hub.about')}</p>")
        found = components.hub_search(
            {"label": t("hub.search"), "placeholder": t("hub.placeholder"), "searching": t("hub.searching")}
        )
        with gr.Accordion(t("hub.more"), open=False), gr.Row(elem_classes="settings"):
            revision = gr.Textbox(
                label=t("setting.data.revision.name"),
                info=t("setting.data.revision.help"),
                max_lines=1,
                max_length=200,
                elem_id=f"hub-revision-{t.language}",
            )
            token = gr.Textbox(
                label=t("share.token"),
                info=t("hub.token_help"),
                type="password",
                max_lines=1,
                elem_id=f"hub-token-{t.language}",
                html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )
        trouble = gr.HTML(elem_classes="slot")
        about = gr.HTML()
        with gr.Row(visible=False) as pickers:
            configuration = gr.Dropdown(
                label=t("setting.data.configuration.name"),
                info=t("setting.data.configuration.help"),
                allow_custom_value=True,
                elem_id=f"hub-configuration-{t.language}",
            )
            splits = gr.Dropdown(
                label=t("setting.data.splits.name"),
                info=t("setting.data.splits.help"),
                multiselect=True,
                allow_custom_value=True,
                elem_id=f"hub-splits-{t.language}",
            )
        rows = gr.HTML()
        take = gr.Button(
            t("hub.import"), variant="primary", visible=False, elem_id=f"hub-import-{t.language}", elem_classes="narrow"
        )
    return HubView(found, revision, token, trouble, about, pickers, configuration, splits, rows, take)


# -- handlers


def find(t: Words, value: str, token: str | None) -> str:
    """What the Hub has under the words that were typed, as the search component shows it; trouble is said in it."""
    asked = str(_given(value).get("asked", ""))[:200]
    try:
        results = search(asked, token)
        said = "" if results else t("hub.nothing", words=asked)
    except StudioError as error:
        results, said = [], " ".join(t.error(error))
    return json.dumps({"asked": asked, "results": [_shown(t, one) for one in results], "said": said})


def _shown(t: Words, found: FoundDataset) -> dict[str, Any]:
    marks = [t("hub.gated")] if found.gated else []
    marks += [t("hub.private")] if found.private else []
    facts = [found.size, t("hub.downloads", count=found.downloads), t("hub.likes", count=found.likes)]
    return {"id": found.id, "about": found.about, "facts": [*marks, *filter(None, facts)]}


def _given(value: str | None) -> dict[str, Any]:
    given = json.loads(value) if value else {}
    return given if isinstance(given, dict) else {}


def chosen_source(
    value: str | None, revision: str | None, configuration: str | None, splits: Sequence[str] | None
) -> HubSource:
    """What the fields name.

    Raises:
        HubDatasetUnknown: no data set has been chosen.
    """
    picked = str(_given(value).get("picked", ""))
    if not picked:
        raise HubDatasetUnknown(dataset="")
    names = tuple(str(name) for name in splits or ())
    return HubSource(picked[:200], (configuration or "")[:200], (revision or "").strip()[:200], names)


def look(home: Home, t: Words, view: HubView, source: HubSource, token: str | None) -> Iterator[dict[Any, Any]]:
    """Show what a data set is and its first rows: told by the Hub within seconds, else read off its files."""
    cleared = {view.about: "", view.rows: "", view.pickers: gr.update(visible=False)}
    yield {view.problem: "", view.take: gr.update(visible=False), **cleared, view.about: _said(t("hub.looking"))}
    try:
        found = look_up(source.repository, token, revision=source.revision)
        yield {view.about: about(t, found) + _said(t("hub.reading_rows"))}
        split = source.splits[0] if source.splits else ""
        seen = ask_viewer(found, source.configuration, split, token) or _look_at_files(home, source, found, token)
    except StudioError as error:
        yield {view.problem: problem(t, error), **cleared}
        return
    splits = [name for name in source.splits if name in seen.splits] or usual_splits(seen.splits)
    several = len(seen.configurations) > 1
    yield {
        view.about: about(t, found),
        view.pickers: gr.update(visible=True),
        view.configuration: gr.update(choices=seen.configurations, value=seen.configuration, visible=several),
        view.splits: gr.update(choices=split_choices(t, seen.splits), value=splits),
        view.rows: preview(t, seen),
        view.take: gr.update(visible=True),
    }


def _look_at_files(home: Home, source: HubSource, found: HubDataset, token: str | None) -> Look:
    pinned = HubSource(found.id, source.configuration, found.sha, source.splits)
    job = start_look(home, pinned, token)
    try:
        return Look(**wait(job, LOOK_TIMEOUT_S))
    except TimeoutError as error:
        raise HubDataUnreachable(endpoint=found.id) from error
    finally:
        _end(job)


def _end(job: JobDirectory) -> None:
    # Nobody waits for it any more: the page was closed, or another data set was chosen.
    if not job.status().state.is_final:
        job.request_stop()


def _said(words: str) -> str:
    return tag("p", text(words), class_="muted", role="status")


def about(t: Words, found: HubDataset) -> str:
    """A data set's name and the facts of its page."""
    facts = [
        t("hub.gated") if found.gated else "",
        t("hub.private") if found.private else "",
        found.licence,
        t("hub.commit", commit=found.sha[:10]),
        t("hub.downloads", count=found.downloads),
        t("hub.likes", count=found.likes),
    ]
    chips = (tag("span", text(fact), class_="chip") for fact in facts if fact)
    return tag("div", tag("h4", text(found.id)), *chips, class_="file-head")


def split_choices(t: Words, splits: Sequence[str]) -> list[tuple[str, str]]:
    """The splits with the part of the data that each will be."""
    parts = parts_of(splits)
    unlike = {name: part for name, part in parts.items() if part != name}
    return [(f"{name} → {t(f'reading.part.{unlike[name]}')}" if name in unlike else name, name) for name in splits]


def preview(t: Words, seen: Look) -> str:
    """Columns with their types, and the first rows."""
    if not seen.rows:
        return _said(t("hub.no_rows", split=seen.split))
    heads = [f"{column['name']} · {column['type']}" for column in seen.columns]
    cells = (
        [text(cell) if cell is not None else tag("span", "∅", class_="muted") for cell in row] for row in seen.rows
    )
    return _said(t("hub.first_rows", split=seen.split)) + table(heads, cells, kind="figures rows")


def take(services: Services, source: HubSource, token: str | None) -> str:
    """Start the import in a process of its own; leads to its progress."""
    return goto(importing=start_hub_import(services.home, source, token).id)


def wire(view: HubView, site: Site) -> None:
    """Connect the events."""
    services, t = site.services, site.t

    def token_of(typed: str | None) -> str | None:
        return (typed or "").strip() or services.hub_token

    def searched(value: str, token: str) -> str:
        return find(t, value, token_of(token))

    def picked(value: str, revision: str, token: str) -> Iterator[dict[Any, Any]]:
        yield from look(services.home, t, view, chosen_source(value, revision, "", ()), token_of(token))

    def changed(value: str, revision: str, configuration: str, token: str) -> Iterator[dict[Any, Any]]:
        yield from look(services.home, t, view, chosen_source(value, revision, configuration, ()), token_of(token))

    def taken(*fields: Any) -> str:
        return take(services, chosen_source(*fields[:-1]), token_of(fields[-1]))

    several = {"concurrency_limit": SEVERAL, "trigger_mode": "always_last"}
    site.on(view.search.searched, searched, [view.search, view.token], [view.search], **several)
    site.on(view.search.chosen, picked, [view.search, view.revision, view.token], view.outputs(), **several)
    again = [view.search, view.revision, view.configuration, view.token]
    site.on(view.configuration.input, changed, again, view.outputs(), **several)
    site.on(view.take.click, taken, view.fields(), [site.router])
