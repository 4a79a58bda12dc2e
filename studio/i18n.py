"""The words, in English and Simplified Chinese. Every sentence a person reads comes through here.

``assets/locales/<language>.json`` holds flat keys; ``{fact}`` stands for a value. A key with a plural has the forms
``<key>.one`` and ``<key>.other``, chosen by the fact ``count``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from backend.errors import SpecError, StudioError
from backend.specs import RunSpec, Setting, settings

Language = Literal["en", "zh-CN"]
LANGUAGES: tuple[Language, ...] = ("en", "zh-CN")
MAPPED = ".map_labels.mapping"
"""In the path of a setting: a pair of a step that replaces labels."""
NO_TEXT = "Input should be a valid string"
"""How pydantic says so."""
ASSETS = Path(__file__).resolve().parents[1] / "assets"


@dataclass(frozen=True)
class Words:
    """The words of one language."""

    language: Language
    texts: Mapping[str, str]

    def __call__(self, key: str, **facts: Any) -> str:
        """The text of ``key`` with its facts filled in. Raises ``KeyError`` for a key that does not exist."""
        if key not in self.texts and "count" in facts:
            key = f"{key}.{'one' if facts['count'] == 1 else 'other'}"
        text = self.texts[key]
        return text.format(**{name: self._shown(value) for name, value in facts.items()}) if facts else text

    def has(self, key: str) -> bool:
        """Whether the key exists, in one form or several."""
        return key in self.texts or f"{key}.other" in self.texts

    def error(self, error: StudioError) -> tuple[str, str]:
        """What happened, and the next step."""
        facts = {name: self._shown_fact(error, name, value) for name, value in error.facts.items()}
        return self(f"errors.{error.code}.what", **facts), self(f"errors.{error.code}.next", **facts)

    def problems(self, error: SpecError) -> list[str]:
        """What does not hold, setting by setting."""
        return [self._problem(problem) for problem in error.problems]

    def _shown_fact(self, error: StudioError, name: str, value: Any) -> Any:
        if isinstance(error, SpecError) and name == "problems":
            return "; ".join(self.problems(error))
        if isinstance(value, str) and self.has(worded := f"errors.{error.code}.{name}.{value}"):
            return self(worded)
        if name == "hindrance" and self.has(str(value)):
            return self(str(value))
        if name == "combination" and self.has(f"lab.{value}"):
            return self(f"lab.{value}")
        if name == "state" and self.has(f"state.{value}"):
            return self(f"state.{value}")
        if name.endswith("_bytes") and isinstance(value, int):
            return size(value)
        return value

    def _problem(self, problem: Mapping[str, str]) -> str:
        if MAPPED in problem["setting"]:
            label = problem["setting"].partition(MAPPED)[2].lstrip(".")
            return self(
                "rule.broken",
                name=f"{self('steps.map_labels')} · {label}",
                given=problem["given"],
                rule=self._rule(problem),
            )
        known = _setting_of(problem["setting"])
        path = known.path if known else problem["setting"]
        entry = problem["setting"].removeprefix(path)  # of a mapping or a list: ".positive"
        name = self.texts.get(f"setting.{path}.name", path) + entry.replace(".", " · ", 1)
        return self("rule.broken", name=name, given=self._given(path, problem["given"]), rule=self._rule(problem))

    def _given(self, path: str, given: str) -> str:
        """What was given, of which there is Python's text, as the form shows it."""
        try:
            value = ast.literal_eval(given)
        except (ValueError, SyntaxError):  # it was longer than what is kept of it
            return given
        if isinstance(value, bool):
            return self("auto.on" if value else "auto.off")
        if isinstance(value, str) and value:
            return self(choice) if self.has(choice := f"choice.{path}.{value}") else value
        return given

    def _rule(self, problem: Mapping[str, str]) -> str:
        if problem["rule"].startswith("conflict."):
            return self(problem["rule"])
        if MAPPED in problem["setting"]:
            return self("rule.mapping")
        known = _setting_of(problem["setting"])
        if known is None:
            return self("rule.section" if problem["setting"] in RunSpec.model_fields else "rule.unknown")
        if self.has(own := f"rule.{known.path}"):
            return self(own)
        if known.kind == "choice":
            return self("rule.choice", choices=list(known.choices))
        if known.kind in ("mapping", "list", "switch"):
            return self(f"rule.{known.kind}")
        if known.kind not in ("integer", "number"):
            return self("rule.text") if problem["rule"] == NO_TEXT else problem["rule"]
        least = known.least if known.least is not None else "−∞"
        most = known.most if known.most is not None else "∞"
        above, below = "_above" * known.least_is_exclusive, "_below" * known.most_is_exclusive
        return self(f"rule.{known.kind}{above}{below}", least=least, most=most)

    def _shown(self, value: Any) -> Any:
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, float):
            return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:g}"
        if isinstance(value, (list, tuple)):
            separator = "、" if self.language == "zh-CN" else ", "
            return separator.join(str(item) for item in value)
        return value


def _setting_of(path: str) -> Setting | None:
    """The setting with this path, or the one that has an entry with it."""
    known = {each.path: each for each in settings()}
    with_entries = (each for each in known.values() if each.kind in ("mapping", "list"))
    return known.get(path) or next((each for each in with_entries if path.startswith(f"{each.path}.")), None)


@cache
def words(language: Language) -> Words:
    """The words of a language."""
    texts = json.loads((ASSETS / "locales" / f"{language}.json").read_text("utf-8"))
    return Words(language, texts)


def language_of(tag: str) -> Language:
    """The language nearest to a tag of the system or a browser: ``zh_CN.UTF-8`` and ``zh-Hans`` are Chinese."""
    return "zh-CN" if tag.lower().startswith("zh") else "en"


def language_from(environ: Mapping[str, str]) -> Language:
    """The language of a terminal: ``STUDIO_LANG``, else what the locale variables say."""
    for name in ("STUDIO_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return language_of(environ[name])
    return "en"


def size(count: float) -> str:
    """A number of bytes as people read it: ``1.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """A length of time as people read it: ``0:42``, ``12:05``, ``1:02:05``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
