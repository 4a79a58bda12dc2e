"""The findings of a report in the user's words: sentences, tables of examples, and names of repairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backend.data.labels import LIST_SEPARATOR
from studio.i18n import Words

SEVERITIES = ("error", "warning", "note", "ok")
LABELS_IN_A_NAME = 3
UNKNOWN_SHARE = 0.03
"""Of the tokens of the texts: a tokenizer that fits knows all but a few odd signs."""


def worst_first(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The order in which findings are shown."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding["severity"]))


def finding_words(t: Words, finding: Mapping[str, Any]) -> str:
    """A finding as a sentence; one that was told from a part of the rows says so."""
    facts = {**finding["facts"], "count": finding["count"], "rows": finding["rows"]}
    if 0 < len(facts.get("labels", ())) < facts["count"]:  # the report names the first of them
        facts["labels"] = [*facts["labels"], "…"]
    said = t(f"finding.{finding['code']}", **facts)
    if not finding.get("sampled"):
        return said
    special = f"finding_sampled.{finding['code']}"
    return f"{said} {t(special if t.has(special) else 'finding_sampled', sampled=finding['sampled'])}"


def task_words(t: Words, report: Mapping[str, Any]) -> str:
    """Which task the labels make, and what tells so."""
    separator, labels, task = report.get("separator") or "", len(report["labels"]), report["task"]
    if report.get("label_columns"):
        reason = t("task.why.columns", count=len(report["label_columns"]))
    elif separator == LIST_SEPARATOR:
        reason = t("task.why.lists")
    elif separator:
        reason = t("task.why.separator", separator=separator.strip() or separator)
    elif task == ("binary" if labels == 2 else "multiclass"):
        reason = t("task.why.one", count=labels)
    else:
        reason = t("task.why.chosen")
    return t("task.why", task=t(f"task.{task}"), reason=reason)


def repair_words(t: Words, repair: Mapping[str, Any]) -> str:
    """What a repair is called on its button."""
    if "set" in repair:
        values = repair["set"]
        path, value = next(iter(values.items()))
        key = f"repair.set.{path}"
        return t(key if t.has(key) else f"{key}.{value}", value=value, column=values.get("split.column", ""))
    step = repair["step"]
    name = f"repair.{step['kind']}"
    variant = step.get("by") or step.get("action")
    facts = {fact: value for fact, value in step.items() if fact not in ("kind", "on")}
    if "labels" in facts:
        facts["labels"] = _cut(list(facts["labels"]))
    return t(f"{name}.{variant}" if variant else name, **facts)


def _cut(labels: list[str]) -> list[str]:
    return labels if len(labels) <= LABELS_IN_A_NAME else [*labels[:LABELS_IN_A_NAME], "…"]


def example_table(t: Words, examples: list[Any]) -> tuple[list[str], list[list[str]]]:
    """The examples of a finding as heads and rows of text; a fact that no example has gives no column."""
    structured = [example if isinstance(example, dict) else {"text": example} for example in examples]
    names = list(dict.fromkeys(name for example in structured for name in example))
    rows = [[_cell(example.get(name)) for name in names] for example in structured]
    return [t(f"example.{name}") for name in names], rows


def _cell(value: Any) -> str:
    if value is None:
        return "∅"
    if isinstance(value, list):
        return " · ".join(str(part) for part in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def tokens_words(t: Words, tokens: Mapping[str, Any]) -> str:
    """The lengths as a sentence."""
    percent = round(100 * tokens["truncated"], 1)
    facts = {name: tokens[name] for name in ("median", "p95", "max_length")}
    return t("model.tokens", percent=percent, longest=tokens["max"], **facts)


def unknown_words(t: Words, tokens: Mapping[str, Any]) -> str:
    """The warning that the model cannot read much of the texts."""
    return t("model.tokens_unknown", percent=round(100 * tokens["unknown"], 1))


def step_name(t: Words, step: Mapping[str, Any]) -> str:
    """What a step is called."""
    kind = step["kind"]
    return t(f"steps.{kind}.{step['by']}") if kind == "drop_duplicates" else t(f"steps.{kind}")
