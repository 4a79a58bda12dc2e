"""How the pages look: one accent colour, the system's own fonts, and what stands in every page's head."""

from __future__ import annotations

import gradio as gr

SCRIPTS = (
    "stream.js",
    "studio.js",
    "runs.js",
    "charts.js",
    "compare.js",
    "history.js",
    "jobs.js",
    "lab.js",
    "labels.js",
    "fields.js",
    "findings.js",
    "steps.js",
    "hub.js",
    "live.js",
    "plot.js",
)

HEAD = "".join(
    [
        '<link rel="icon" href="/studio-assets/icon.svg">',
        '<link rel="stylesheet" href="/studio-assets/studio.css">',
        '<script src="/words.js"></script>',
        *(f'<script src="/studio-assets/{name}"></script>' for name in SCRIPTS),
        '<link rel="prefetch" as="script" href="/plotly.js">',  # for the first chart
    ]
)

FONTS = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "sans-serif"]
MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def build_theme() -> gr.themes.Base:
    """Gradio's base theme with the studio's accent, spacing and fonts; nothing is fetched from elsewhere."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        spacing_size=gr.themes.sizes.spacing_md,
        text_size=gr.themes.sizes.text_md,
        font=FONTS,
        font_mono=MONO_FONTS,
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_width="1px",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_title_text_weight="600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        input_border_width="1px",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_background_fill="white",
        input_background_fill_dark="*neutral_800",
        color_accent="*primary_600",
    )
