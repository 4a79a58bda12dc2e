"""The forms, made from the schema: one field for each setting, in order, and back to a spec."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.recipes import recipe_for
from backend.specs import RunSpec, Setting, settings
from studio.cli_flags import read_list, read_pairs
from studio.i18n import Words

FORM_SECTIONS = ("training", "speed", "adapting", "compute")
"""The sections whose settings are plain fields of the model page; the model itself has fields of its own there."""
TABLE_SECTIONS = ("sample", "split")
"""Those of the data page."""


def form_settings(sections: Sequence[str] = FORM_SECTIONS) -> list[Setting]:
    """The settings that the form of these sections shows, basic ones first, then section by section."""
    shown = [setting for setting in settings() if setting.section in sections]
    return sorted(shown, key=lambda setting: (setting.advanced, sections.index(setting.section) * setting.advanced))


@dataclass(frozen=True)
class Form:
    """The fields on one page, in the order of `form_settings`."""

    fields: tuple[Component, ...]
    sections: tuple[str, ...] = FORM_SECTIONS

    def updates(self, spec: RunSpec) -> dict[Component, Any]:
        """What each field shows for a spec; settings left open show what the model's recipe says."""
        return {
            field: gr.update(value=shown_value(setting, spec))
            for setting, field in zip(form_settings(self.sections), self.fields, strict=True)
        }


def build_form(t: Words, sections: tuple[str, ...] = FORM_SECTIONS) -> Form:
    """Make the fields inside the open layout; the advanced ones stand in a part that opens on a click."""
    chosen = form_settings(sections)
    with gr.Row(elem_classes="settings"):
        basic = [_field(t, setting) for setting in chosen if not setting.advanced]
    advanced: list[Component] = []
    for title, group in groupby((s for s in chosen if s.advanced), partial(_group_title, t)):
        with gr.Accordion(title, open=False), gr.Row(elem_classes="settings"):
            advanced += [_field(t, setting) for setting in group]
    return Form((*basic, *advanced), sections)


def form_document(values: Sequence[Any], sections: Sequence[str] = FORM_SECTIONS) -> dict[str, dict[str, Any]]:
    """The fields' values as sections of a spec, unchecked: `backend.specs.build_spec` checks them all at once."""
    document: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for setting, value in zip(form_settings(sections), values, strict=True):
        if value is None and not setting.optional:
            continue
        if setting.kind == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)
        if setting.kind == "list":
            value = read_list(value or "")
        elif setting.kind == "mapping":
            value = read_pairs(value or "")
        document[setting.section][setting.path.rpartition(".")[2]] = value
    return document


def shown_value(setting: Setting, spec: RunSpec) -> Any:
    """The value of one setting in a spec, or what the recipe of its model says where it is open."""
    section, _, name = setting.path.rpartition(".")
    value = getattr(getattr(spec, section), name)
    if setting.kind == "list":
        return ", ".join(value)
    if setting.kind == "mapping":
        return pairs_text(value)
    return getattr(recipe_for(spec.model.base, spec.training.optimizer), name) if value is None else value


def _group_title(t: Words, setting: Setting) -> str:
    key = f"model.group.{setting.section}"
    return t(key) if t.has(key) else t("model.advanced")


def pairs_text(pairs: Mapping[str, Any]) -> str:
    """``0=bad,1=good`` as `studio.cli_flags.read_pairs` reads it; JSON for names that would be read otherwise."""
    texts = {f"{name}": f"{value}" for name, value in pairs.items()}
    plain = not any(set(",，=＝{") & set(text) or text != text.strip() for pair in texts.items() for text in pair)
    return ",".join(f"{k}={v}" for k, v in texts.items()) if plain else json.dumps(texts, ensure_ascii=False)


def _field(t: Words, setting: Setting) -> Component:
    label, info = t(f"setting.{setting.path}.name"), t(f"setting.{setting.path}.help")
    common: Mapping[str, Any] = {"label": label, "info": info, "min_width": 200, "elem_classes": "setting"}
    if setting.kind == "choice":
        choices = [(t(f"choice.{setting.path}.{choice}"), choice) for choice in setting.choices]
        return gr.Dropdown(choices=choices, value=setting.default, filterable=False, **common)
    if setting.kind in ("integer", "number"):
        # No bounds here: the schema checks them, and its words are in the user's language.
        # Nor is a number rounded that should be whole: it would be another one than the field shows.
        emptied = t("auto.open") if setting.optional else f"{setting.default:g}"
        return gr.Number(value=setting.default, placeholder=emptied, **common)
    if setting.kind == "switch":
        return gr.Checkbox(value=setting.default, container=True, **common)
    if setting.path == "split.column":
        return gr.Dropdown([], value=setting.default, allow_custom_value=True, **common)
    return gr.Textbox(value=setting.default if setting.kind == "text" else "", max_lines=1, **common)
