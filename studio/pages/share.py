"""Share: the model as a folder, on the Hub, or as a Space that anybody can try. Uploads are jobs with progress."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.errors import RunMissing, StudioError
from backend.sharing.package import package_name
from backend.sharing.publishing import TARGETS, Target, publications, start_publish
from studio import components
from studio.address import Opened
from studio.i18n import Words
from studio.markup import empty_state, link, problem, tag, text
from studio.pages.predict import has_model
from studio.services import Services
from studio.site import Site

LICENCES = ("apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "openrail")


@dataclass(frozen=True)
class TargetView:
    """One card that publishes somewhere."""

    target: Target
    repository: gr.Textbox
    private: gr.Checkbox
    replace: gr.Checkbox
    publish: gr.Button
    progress: gr.HTML


@dataclass(frozen=True)
class ShareView:
    """The components of the page."""

    title: gr.HTML
    nothing: gr.HTML
    main: gr.Column
    folder: gr.HTML
    code: gr.Code
    token: gr.Textbox
    licence: gr.Dropdown
    problem: gr.HTML
    targets: tuple[TargetView, ...]

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        cards = [part for card in self.targets for part in (card.repository, card.private, card.replace, card.progress)]
        return [self.title, self.nothing, self.main, self.folder, self.code, self.token, self.problem, *cards]


def layout(services: Services, t: Words) -> ShareView:
    """Build the page inside the open tab."""
    title, nothing = gr.HTML(visible=False), gr.HTML()
    with gr.Column(visible=False) as main:
        with gr.Row(elem_classes="cards share-cards"):
            with gr.Column(min_width=300, elem_classes="card"):
                folder = gr.HTML()
            with gr.Column(min_width=300, elem_classes="card"):
                gr.HTML(f"<h4>{t('share.code')}</h4><p class='muted'>{t('share.code_about')}</p>")
                code = gr.Code(language="python", show_label=False, interactive=False, wrap_lines=True)
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h4>{t('share.online')}</h4><p class='muted'>{t('share.online_about')}</p>")
            token = gr.Textbox(
                label=t("share.token"),
                info=_token_help(services, t),
                type="password",
                max_lines=1,
                elem_id=f"token-{t.language}",
                html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )
            licence = gr.Dropdown(
                choices=[(t("share.licence_other"), "other"), *((name, name) for name in LICENCES)],
                value="other",
                label=t("share.licence"),
                info=t("share.licence_help"),
                filterable=False,
            )
            trouble = gr.HTML(elem_classes="slot")
            with gr.Row(elem_classes="cards"):
                targets = tuple(_target_card(t, target) for target in TARGETS)
    return ShareView(title, nothing, main, folder, code, token, licence, trouble, targets)


def _target_card(t: Words, target: Target) -> TargetView:
    with gr.Column(min_width=300, elem_classes="target"):
        gr.HTML(f"<h4>{t(f'share.{target}')}</h4><p class='muted'>{t(f'share.{target}_about')}</p>")
        repository = gr.Textbox(
            label=t("share.repository"),
            info=t("share.repository_help"),
            max_lines=1,
            elem_id=f"{target}-name-{t.language}",
        )
        private = gr.Checkbox(label=t("share.private"), info=t("share.private_help"), value=True)
        replace = gr.Checkbox(label=t("share.replace"), info=t("share.replace_help"), value=False)
        publish = gr.Button(t(f"share.{target}_button"), elem_id=f"{target}-publish-{t.language}")
        progress = components.job_progress()
    return TargetView(target, repository, private, replace, publish, progress)


def _token_help(services: Services, t: Words) -> str:
    if services.hub_token:
        return t("share.token_found", source=services.hub_token_source)
    return t("share.token_help")


# -- handlers


def show(services: Services, t: Words, view: ShareView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    updates: dict[Any, Any] = {**readiness(services, t, view, opened), view.token: "", view.problem: ""}
    updates[view.title] = components.run_title(opened.run.name if opened.run else "")
    if opened.run is None:
        return updates
    latest: dict[str, str] = dict.fromkeys(TARGETS, "")
    for job in reversed(publications(services.home, opened.run)):
        latest[job.spec["target"]] = json.dumps({"job": job.id})
    for card in view.targets:
        name = package_name(opened.run) + ("" if card.target == "model" else "-demo")
        updates |= {card.repository: name, card.private: True, card.replace: False, card.progress: latest[card.target]}
    return updates


def readiness(services: Services, t: Words, view: ShareView, opened: Opened) -> dict[Any, Any]:
    """Whether there is a model to share by now, or what to do until there is."""
    ready = has_model(services, opened)
    if opened.run is None:
        advice = empty_state(t("share.nothing"), t("share.nothing_next"), link("?step=data", t("step.data")))
        return {view.nothing: gr.update(value=advice, visible=True), view.main: gr.update(visible=False)}
    training = link(f"?run={opened.run.id}&step=train", t("step.train"))
    advice = empty_state(t("try.not_yet"), t("try.not_yet_next"), training)
    path = str(opened.run.path / "model")
    return {
        view.nothing: gr.update(value=advice, visible=not ready),
        view.main: gr.update(visible=ready),
        view.folder: _folder_card(t, opened.run.id, path),
        view.code: usage(path, _example_text(opened)),
    }


def _folder_card(t: Words, run_id: str, path: str) -> str:
    download = tag(
        "a",
        text(t("share.folder_button")),
        href=f"/api/runs/{run_id}/model.zip",
        download=True,
        class_="button primary",
    )
    return "".join(
        [
            tag("h4", text(t("share.folder"))),
            tag("p", text(t("share.folder_about")), class_="muted"),
            tag("p", download),
            tag("p", text(t("share.folder_where")), " ", tag("code", text(path)), class_="muted path"),
        ]
    )


def _example_text(opened: Opened) -> str:
    if opened.profile is None or opened.choices is None:
        return ""
    preview = opened.profile["preview"]
    if opened.choices.data.text_column not in preview["columns"]:
        return ""
    index = preview["columns"].index(opened.choices.data.text_column)
    return next((row[index] for row in preview["rows"] if row[index]), "")[:60]


def usage(path: str, example: str) -> str:
    """The lines of Python that use the model elsewhere."""
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", model={path!r}, top_k=None)\n'
        f"print(classify({example!r}))\n"
    )


def publish(
    services: Services,
    opened: Opened,
    target: Target,
    repository: str | None,
    *,
    private: bool,
    replace: bool,
    licence: str,
    token: str | None,
) -> str:
    """Start an upload in a process of its own; gives the value of its progress component.

    The token goes to that process by its environment and is written nowhere.

    Raises:
        RunMissing, RunNotFinished: no run is open, or it has no model.
        TokenMissing, RepositoryNameInvalid: there is nothing to sign in with, or no name to publish under.
    """
    if opened.run is None:
        raise RunMissing(run="")
    job = start_publish(
        services.home,
        opened.run,
        target=target,
        repository=(repository or "").strip(),
        token=(token or "").strip() or services.hub_token,
        private=bool(private),
        licence=licence,
        replace=bool(replace),
    )
    return json.dumps({"job": job.id})


def wire(view: ShareView, tab: gr.Tab, site: Site) -> None:
    """Connect the page's events."""
    services, t = site.services, site.t

    def publisher(card: TargetView) -> Any:
        def published(
            address: str, repository: str, private: bool, replace: bool, licence: str, token: str
        ) -> dict[Any, Any]:
            try:
                started = publish(
                    services,
                    site.opened(address),
                    card.target,
                    repository,
                    private=private,
                    replace=replace,
                    licence=licence,
                    token=token,
                )
                return {card.progress: started, view.problem: ""}
            except StudioError as error:
                return {view.problem: problem(t, error)}

        return published

    def selected(address: str) -> dict[Any, Any]:
        return readiness(services, t, view, site.opened(address))

    site.on(tab.select, selected, [site.router], [view.nothing, view.main, view.folder, view.code])
    for card in view.targets:
        inputs = [site.router, card.repository, card.private, card.replace, view.licence, view.token]
        site.on(card.publish.click, publisher(card), inputs, [card.progress, view.problem])
