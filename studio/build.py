"""The pages, put together once for each language; building them imports no torch and asks nobody for anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.navbar import Navbar

from backend.machine import usable_cores, usable_memory
from studio import components
from studio.address import STEPS, Address, Opened, open_address
from studio.i18n import LANGUAGES, Language, Words, size, words
from studio.markup import tag, text
from studio.pages import data, model, predict, results, runs, share, train
from studio.services import Services
from studio.site import Site

PATHS: dict[Language, str] = {"en": "/", "zh-CN": "/zh"}
STEP_MARKS = dict(zip(STEPS, "①②③④⑤⑥", strict=False))


def build_pages(services: Services) -> gr.Blocks:
    """The whole application: English at ``/``, Chinese at ``/zh``."""
    with gr.Blocks(title="Studio", analytics_enabled=False, fill_width=True) as demo:
        _build_site(services, words("en"), demo)
    for language in LANGUAGES[1:]:
        with demo.route(words(language)("header.this_language"), PATHS[language], show_in_navbar=False):
            _build_site(services, words(language), demo)
    assert isinstance(demo, gr.Blocks)
    return demo


@dataclass(frozen=True)
class Views:
    """All pages of one language."""

    data: data.DataView
    model: model.ModelView
    train: train.TrainView
    results: results.ResultsView
    predict: predict.PredictView
    share: share.ShareView

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        pages = (self.data, self.model, self.train, self.results, self.predict, self.share)
        return [component for page in pages for component in page.outputs()]


def _build_site(services: Services, t: Words, demo: gr.Blocks) -> None:
    Navbar(visible=False)
    site = Site(services, t, components.router())
    gr.HTML(_header(t), elem_classes="header-slot")
    with gr.Sidebar(width=250, elem_classes="runs-sidebar"):
        gr.HTML(f'<a class="button primary wide" href="?step=data" data-go>+ {t("nav.new_run")}</a>')
        components.run_list()
    tabs: dict[str, gr.Tab] = {}
    with gr.Tabs(elem_id=f"steps-{t.language}", elem_classes="steps") as steps:
        with _tab(t, tabs, "data"):
            data_view = data.layout(t)
        with _tab(t, tabs, "model"):
            model_view = model.layout(t)
        with _tab(t, tabs, "train"):
            train_view = train.layout(t)
        with _tab(t, tabs, "results"):
            results_view = results.layout(t)
        with _tab(t, tabs, "try"):
            predict_view = predict.layout(t)
        with _tab(t, tabs, "share"):
            share_view = share.layout(services, t)
        with _tab(t, tabs, "runs"):
            runs.layout(t)
    views = Views(data_view, model_view, train_view, results_view, predict_view, share_view)

    def show(value: str) -> dict[Any, Any]:
        address = Address.of_router(value)
        chosen = {steps: gr.Tabs(selected=address.step), site.router: json.dumps({"address": address.query})}
        return show_address(services, t, views, address) | chosen

    outputs = [site.router, steps, *views.outputs()]
    shown = site.on(demo.load, show, [site.router], outputs, js="() => location.search || '?'")
    shown.then(None, js="() => Studio.ready()", api_visibility="private")
    moved = site.on(site.router.navigate, show, [site.router], outputs, trigger_mode="always_last")

    def finished(value: str) -> dict[Any, Any]:
        return data.finish_describing(services, t, data_view, open_address(services, Address.of_router(value)))

    for event in (shown.then, moved.then):
        site.on(event, finished, [site.router], data_view.outputs())
    for name, tab in tabs.items():
        tab.select(None, js=f"() => Studio.step({json.dumps(name)})", api_visibility="private")
    data.wire(data_view, site)
    model.wire(model_view, data_view, tabs["model"], site)
    predict.wire(predict_view, tabs["try"], site)
    results.wire(results_view, tabs["results"], site)
    share.wire(share_view, tabs["share"], site)


def _tab(t: Words, tabs: dict[str, gr.Tab], name: str) -> gr.Tab:
    label = f"{STEP_MARKS.get(name, '')} {t(f'step.{name}')}".strip()
    tabs[name] = gr.Tab(label, id=name, elem_id=f"step-{name}")
    return tabs[name]


def show_address(services: Services, t: Words, views: Views, address: Address) -> dict[Any, Any]:
    """What every page shows for an address: the one way in, for links, reloads and new tabs alike."""
    opened: Opened = open_address(services, address)
    return {
        **data.show(services, t, views.data, opened),
        **model.show(services, t, views.model, opened),
        **train.show(views.train, opened),
        **results.show(services, t, views.results, opened),
        **predict.show(services, t, views.predict, opened),
        **share.show(services, t, views.share, opened),
    }


def _header(t: Words) -> str:
    other = next(language for language in LANGUAGES if language != t.language)
    brand = tag(
        "a",
        tag("img", src="/studio-assets/icon.svg", alt="", width=26),
        tag("span", text("Studio")),
        class_="brand",
        href="?step=data",
        data_go=True,
    )
    chips = tag("span", text(machine(t)), class_="chip") + tag(
        "span", class_="chip live-chip", data_running=True, hidden=True
    )
    switch = tag(
        "a", text(words(other)("header.this_language")), class_="language", href=PATHS[other], data_path=PATHS[other]
    )
    theme = tag(
        "button", "◐", class_="icon", data_theme_switch=True, title=t("header.theme"), aria_label=t("header.theme")
    )
    return tag("header", brand, chips, tag("span", class_="grow"), switch, theme, class_="studio-header")


def machine(t: Words) -> str:
    """This machine in a few words, found without torch: its accelerator or its cores, and its memory."""
    memory = t("header.memory", memory=size(usable_memory()))
    cards = sorted(Path("/proc/driver/nvidia/gpus").glob("*")) if Path("/proc/driver/nvidia/gpus").is_dir() else []
    if cards:
        return t("header.gpu", count=len(cards)) + f" · {memory}"
    return t("header.cpu", count=usable_cores()) + f" · {memory}"
