"""What stands in the texts that a model should not learn from: HTML, addresses, numbers of people, their own label."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.report.rows import EXAMPLES, Finding, Mask, ReportRows, around, finding, step
from backend.data.text_cleaning import EMAIL, PHONE, URL

CONTENT_SAMPLE = 200_000
LEAK_SAMPLE = 20_000
LEAK_LABELS = 200
LEAK_SHARE = 0.1
SURE_LEAK_SHARE = 0.5
LEAK_TIMES = 3
"""A name that stands in texts of other labels nearly as often is a word of the subject, and no leak."""
LEAST_LEAKS = 5

# In the syntax of RE2, which Arrow runs over a column, and of Python's re, which finds the place in an example.
HTML = (
    r"(?i)</?(p|br|b|i|u|em|strong|a|div|span|li|ul|ol|table|tr|td|h[1-6]|img|font|script|style)(\s[^<>]*)?/?>"
    r"|&(nbsp|amp|lt|gt|quot|#\d{2,5});"
)
UNUSUAL = "[\u00a0\u2002-\u200a\u2028\u2029\u3000\uff10-\uff19\uff21-\uff3a\uff41-\uff5a]"
"""Full-width letters and digits, and odd spaces: what Unicode's NFKC makes plain."""

CONTENTS: tuple[tuple[str, str, list[dict[str, Any]]], ...] = (
    ("html", HTML, [step("strip_html")]),
    ("urls", URL, [step("mask_contacts")]),
    ("emails", EMAIL, [step("mask_contacts")]),
    ("phones", PHONE, [step("mask_contacts")]),
    ("unusual_characters", UNUSUAL, [step("normalise_text")]),
)


def on_contents(rows: ReportRows) -> list[Finding]:
    """Texts that hold one of `CONTENTS`, with the place where it stands."""
    looked_at, sampled = rows.sample(CONTENT_SAMPLE)
    found = []
    for code, pattern, repairs in CONTENTS:
        at = np.flatnonzero(_matches(looked_at.texts, pattern))
        if len(at):
            examples = _places(looked_at, at[:EXAMPLES], re.compile(pattern, re.ASCII))
            found.append(finding(code, "note", len(at), examples=examples, repairs=repairs, sampled=sampled))
    return found


def _matches(texts: pa.ChunkedArray, pattern: str) -> Mask:
    found: Mask = pc.match_substring_regex(texts, pattern).to_numpy()
    return found


def _places(rows: ReportRows, at: Any, pattern: re.Pattern[str]) -> list[dict[str, Any]]:
    examples = []
    for row, text in zip(rows.numbers[at].tolist(), rows.texts.take(pa.array(at)).to_pylist(), strict=True):
        place = pattern.search(text)
        start, shown = (place.start(), place.group()[:80]) if place else (0, "")
        examples.append({"row": row, "found": _visible(shown), "text": around(text, start)})
    return examples


def _visible(found: str) -> str:
    return found if found.isprintable() and found.strip() else " ".join(f"U+{ord(c):04X}" for c in found)


def on_leaks(rows: ReportRows) -> list[Finding]:
    """Labels whose name stands in their own texts far oftener than in others: such a model reads the name."""
    looked_at, sampled = rows.sample(LEAK_SAMPLE)
    names = [label for label, _count in rows.counts.most_common(LEAK_LABELS) if _could_stand_in_a_text(label)]
    if not names:
        return []
    plain = pc.utf8_lower(looked_at.texts)
    lists = looked_at.label_lists
    leaks: list[tuple[str, float, Any]] = []
    for name in names:
        own = np.fromiter((name in labels for labels in lists), dtype=bool, count=len(lists))
        holds = _matches(plain, _as_a_word(name.lower()))
        within, outside = holds[own], holds[~own]
        share = float(within.mean()) if len(within) else 0.0
        elsewhere = float(outside.mean()) if len(outside) else 0.0
        if within.sum() >= LEAST_LEAKS and share >= LEAK_SHARE and share >= LEAK_TIMES * elsewhere:
            leaks.append((name, share, np.flatnonzero(own & holds)))
    if not leaks:
        return []
    leaks.sort(key=lambda leak: -leak[1])
    examples: list[dict[str, Any]] = []
    for name, _share, at in leaks[:EXAMPLES]:
        place = _places(looked_at, at[:1], re.compile(_as_a_word(name), re.IGNORECASE | re.ASCII))[0]
        examples.append({"label": name, **place})
    count = len(np.unique(np.concatenate([at for _name, _share, at in leaks])))
    label, share, _at = leaks[0]
    labels = [name for name, _share, _at in leaks[:20]]
    severity = "warning" if share >= SURE_LEAK_SHARE else "note"
    facts: dict[str, Any] = {"label": label, "percent": round(100 * share), "labels": labels}
    return [finding("label_in_text", severity, count, examples=examples, sampled=sampled, **facts)]


def _could_stand_in_a_text(label: str) -> bool:
    return 2 <= len(label) <= 60 and any(character.isalpha() for character in label)


def _as_a_word(name: str) -> str:
    escaped = re.escape(name)
    before = r"\b" if name[0].isascii() and name[0].isalnum() else ""
    after = r"\b" if name[-1].isascii() and name[-1].isalnum() else ""
    return before + escaped + after
