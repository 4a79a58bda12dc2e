"""The findings of a report in the user's words, with their rows and what mends them: the value of the findings list."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from studio.findings import example_table, finding_words, repair_words, worst_first
from studio.i18n import Words


def findings(t: Words, report: Mapping[str, Any], most_labels: int = 200) -> str:
    """What is wrong with the table, worst first, each with its examples behind a click and its repairs as buttons."""
    labels = len(report["labels"])
    document: dict[str, Any] = {
        "findings": [_shown(t, finding) for finding in worst_first(report["findings"])],
        "words": {"see": t("data.see_rows")},
    }
    if labels > most_labels:
        document["after"] = t("data.labels_cut", shown=most_labels, count=labels)
    return json.dumps(document, ensure_ascii=False)


def findings_said(said: str) -> str:
    """One line where there is no report: it is being made, or there is nothing to make it of. Empty clears the list."""
    return json.dumps({"said": said}, ensure_ascii=False) if said else ""


def _shown(t: Words, finding: Mapping[str, Any]) -> dict[str, Any]:
    heads, rows = example_table(t, finding.get("examples") or [])
    return {
        "code": finding["code"],
        "severity": finding["severity"],
        "words": finding_words(t, finding),
        "examples": {"heads": heads, "rows": rows},
        "repairs": [{"name": repair_words(t, repair), "repair": repair} for repair in finding.get("repairs") or []],
    }
