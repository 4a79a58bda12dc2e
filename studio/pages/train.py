"""Train: a run as it happens. The live component asks for what is new by itself, so the page has no events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import components
from studio.address import Opened
from studio.i18n import Words
from studio.markup import empty_state, link


@dataclass(frozen=True)
class TrainView:
    """The components of the page."""

    nothing: gr.HTML
    live: gr.HTML

    def outputs(self) -> list[Any]:
        """Everything an address can change."""
        return [self.nothing, self.live]


def layout(t: Words) -> TrainView:
    """Build the page inside the open tab."""
    nothing = gr.HTML(empty_state(t("train.nothing"), t("train.nothing_next"), link("?step=data", t("step.data"))))
    return TrainView(nothing, components.live_run())


def show(view: TrainView, opened: Opened) -> dict[Any, Any]:
    """What the page shows for an address."""
    return {
        view.nothing: gr.update(visible=opened.run is None),
        view.live: json.dumps({"run": opened.run.id}) if opened.run else "",
    }
