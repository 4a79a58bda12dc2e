"""The findings of a report in the user's words, with their rows and what mends them: the value of the findings list."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from studio.findings import example_table, finding_words, repair_words, worst_first
from studio.i18n import Words

LABEL_FACTS = ("largest", "smallest", "label", "labels")


def findings(
    t: Words, report: Mapping[str, Any], most_labels: int = 200, names: Mapping[str, str] | None = None
) -> str:
    """What is wrong with the table, worst first, each with its examples behind a click and its repairs as buttons.

    Labels stand under the names that they were given.
    """
    labels, separator = len(report["labels"]), report.get("separator") or ""

    def named(label: Any) -> Any:
        if isinstance(label, list):
            return [named(each) for each in label]
        if not names or not isinstance(label, str) or label in names:
            return (names or {}).get(label, label)
        if separator and separator != "[]" and separator in label:
            return separator.join(named(each) for each in label.split(separator))
        return label

    document: dict[str, Any] = {
        "findings": [_shown(t, finding, named) for finding in worst_first(report["findings"])],
        "words": {"see": t("data.see_rows")},
    }
    if labels > most_labels:
        document["after"] = t("data.labels_cut", shown=most_labels, count=labels)
    return json.dumps(document, ensure_ascii=False)


def findings_said(said: str) -> str:
    """One line where there is no report: it is being made, or there is nothing to make it of. Empty clears the list."""
    return json.dumps({"said": said}, ensure_ascii=False) if said else ""


def _shown(t: Words, finding: Mapping[str, Any], named: Callable[[Any], Any]) -> dict[str, Any]:
    def with_names(facts: Any) -> Any:
        if not isinstance(facts, Mapping):
            return facts
        return {fact: named(value) if fact in LABEL_FACTS else value for fact, value in facts.items()}

    def said(repair: Mapping[str, Any]) -> str:
        return repair_words(t, {**repair, "step": with_names(repair["step"])} if "step" in repair else repair)

    heads, rows = example_table(t, [with_names(example) for example in finding.get("examples") or []])
    return {
        "code": finding["code"],
        "severity": finding["severity"],
        "words": finding_words(t, {**finding, "facts": with_names(finding["facts"])}),
        "examples": {"heads": heads, "rows": rows},
        "repairs": [{"name": said(repair), "repair": repair} for repair in finding.get("repairs") or []],
    }
