"""Runs: the list of all of them. The component opens, renames and deletes through the studio's interface."""

from __future__ import annotations

import gradio as gr

from studio import components
from studio.i18n import Words


def layout(t: Words) -> gr.HTML:
    """Build the page inside the open tab."""
    gr.HTML(f"<h2>{t('step.runs')}</h2>")
    return components.run_table()
