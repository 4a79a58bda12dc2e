"""The flags of ``train``, made from the schema of settings: one place says what a run can be told."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from backend.specs import Setting, settings

_METAVARS = {"text": "TEXT", "integer": "INTEGER", "number": "NUMBER", "mapping": "A=X,B=Y", "list": "A,B"}


def with_setting_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give ``command(…, **given)`` one option for each setting of the schema, called by the setting's parameter name.

    The values stay texts: the schema alone checks them, all at once and worded in the user's language.
    """
    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    made = [
        inspect.Parameter(s.parameter, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(s))
        for s in settings()
    ]
    command.__signature__ = signature.replace(parameters=[*own, *made])  # type: ignore[attr-defined]
    return command


def _annotation(setting: Setting) -> Any:
    if setting.kind == "switch":
        both = f"{setting.flag}/--no-{setting.flag.removeprefix('--')}"
        return Annotated[bool | None, typer.Option(both, help=setting.path, rich_help_panel=_panel(setting))]
    metavar = "|".join(setting.choices) if setting.choices else _METAVARS[setting.kind]
    # A list may be given by one flag several times; columns and splits are also divided at commas.
    kind: Any = list[str] if setting.kind == "list" else str
    return Annotated[
        kind | None, typer.Option(setting.flag, metavar=metavar, help=setting.path, rich_help_panel=_panel(setting))
    ]


def _panel(setting: Setting) -> str:
    return f"cli.panel.{setting.section or 'run'}"


def apply_flags(document: dict[str, Any], given: Mapping[str, str | bool | list[str] | None]) -> dict[str, Any]:
    """``document`` (a spec as plain values) with the flags that were given laid over it; nothing is checked yet."""
    for setting in settings():
        text = given.get(setting.parameter)
        if text is None:
            continue
        target = document.setdefault(setting.section, {}) if setting.section else document
        target[setting.path.rpartition(".")[2]] = _value(setting, text)
    return document


def _value(setting: Setting, given: str | bool | list[str]) -> Any:
    if setting.kind == "list" and setting.path != "prepare.steps" and isinstance(given, list):
        return [name for text in given for name in read_list(text)]
    if setting.kind == "mapping":
        return read_pairs(str(given))
    return given


def read_list(text: str) -> list[str]:
    """``a, b`` as its parts, those that are blank left out."""
    return [part.strip() for part in re.split("[,，]", text) if part.strip()]


def read_pairs(text: str) -> dict[str, str] | str:
    """``0=bad,1=good``, or a JSON object for names that hold a comma or an equals sign.

    A text that is neither is given back as it is: the schema then refuses it together with all else that is wrong.
    """
    if text.lstrip().startswith("{"):
        try:
            return {str(name): str(value) for name, value in json.loads(text).items()}
        except ValueError:
            return text
    pairs = [re.split("[=＝]", part, maxsplit=1) for part in re.split("[,，]", text) if part.strip()]
    if not all(len(pair) == 2 and all(map(str.strip, pair)) for pair in pairs):
        return text
    return {name.strip(): value.strip() for name, value in pairs}
