"""Runs beside each other in words: for the page, which draws them, and for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from backend.jobs.comparison import Comparison, compare
from backend.jobs.directory import JobDirectory
from backend.specs import STARTER
from studio.findings import step_name
from studio.i18n import Words

FIRST_METRICS = ("accuracy", "f1", "f1_macro", "mcc", "jaccard", "roc_auc", "precision", "recall", "loss")
"""The order in which metrics are shown; others follow by name."""


def told(t: Words, runs: Sequence[JobDirectory]) -> dict[str, Any]:
    """The comparison as the page asks for it: ``{"runs", "metrics": names, "settings": [{"name", "values"}]}``.

    Raises:
        ComparisonInvalid: as `backend.jobs.comparison.compare`.
    """
    found = compare(runs)
    lines = [{"path": path, "name": name, "values": texts} for path, name, texts in differences_text(t, found)]
    return {"runs": [asdict(run) for run in found.runs], "metrics": metrics_of(found), "settings": lines}


def differences_text(t: Words, found: Comparison) -> list[tuple[str, str, list[str]]]:
    """The settings that differ: path, name, and the value in each of the runs."""
    lines = []
    for path, values in found.differences.items():
        texts = [setting_text(t, path, value) for value in values]
        if path.endswith("source"):  # a file's name says it, where it is not the folder that differs
            names = [Path(text).name for text in texts]
            texts = names if len(set(names)) == len(set(texts)) else texts
        lines.append((path, t(f"setting.{path}.name"), texts))
    return lines


def metrics_of(found: Comparison) -> list[str]:
    """The names of all metrics that one of the runs has."""
    names = {name for run in found.runs for name in run.metrics}
    known = [name for name in FIRST_METRICS if name in names]
    return known + sorted(names.difference(known))


def setting_text(t: Words, path: str, value: Any) -> str:
    """As the form calls it."""
    if path == "model.base" and value == STARTER:
        return t("model.starter")
    if path == "prepare.steps" and value:
        return " · ".join(_step_text(t, step) for step in value)
    if path == "data.task" and t.has(f"task.{value}"):
        return t(f"task.{value}")
    return t(key) if t.has(key := f"choice.{path}.{value}") else value_text(t, value)


def _step_text(t: Words, step: dict[str, Any]) -> str:
    """A step by its name and what it was told, as the form calls it."""
    told = value_text(t, {name: value for name, value in step.items() if name not in ("kind", "on")})
    shown = step_name(t, step) + ("" if told == "–" else f" ({told})")
    return shown if step["on"] else f"{shown} ({t('compare.off')})"


def value_text(t: Words, value: Any) -> str:
    """A setting's value for people."""
    if value is None or value in ("", [], (), {}):
        return "–"
    if isinstance(value, bool):
        return t("compare.on" if value else "compare.off")
    if isinstance(value, dict):
        return ", ".join(
            value_text(t, inner) if isinstance(inner, dict) else f"{key}={inner}" for key, inner in value.items()
        )
    if isinstance(value, list | tuple):
        return ", ".join(value_text(t, inner) if isinstance(inner, dict) else str(inner) for inner in value)
    return str(value)
