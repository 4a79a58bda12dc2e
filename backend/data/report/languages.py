"""In which scripts the texts are written."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from backend.data.report.rows import Finding, ReportRows, finding

LANGUAGE_SAMPLE = 5000
MIXED_SHARE = 0.05
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")


def language_of(text: str) -> str:
    """``zh`` for mostly Chinese characters, ``en`` for mostly Latin letters, else ``other``."""
    han, latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
    letters = sum(character.isalpha() for character in text)
    # A word has about five letters and is written with two Chinese characters.
    if han and han * 2 >= latin / 2.5 and han + latin >= letters / 2:
        return "zh"
    return "en" if latin and latin >= letters / 2 else "other"


def on_languages(rows: ReportRows) -> tuple[dict[str, float], list[Finding]]:
    """The share of the texts in each language, and a finding where two have more than a few."""
    sample, sampled = rows.sample(LANGUAGE_SAMPLE)
    of: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(sample.texts.to_pylist()):
        of[language_of(text)].append(index)
    total = max(1, len(sample))
    shares = {name: round(len(of[name]) / total, 4) for name in ("zh", "en", "other")}
    # What is neither is often numbers or a smile: only the two scripts say something about the choice of a model.
    less, more = sorted(("zh", "en"), key=lambda name: shares[name])
    if shares[less] < MIXED_SHARE:
        return shares, []
    examples = sample.examples(of[less])
    percent: dict[str, Any] = {f"{name}_percent": round(100 * shares[name]) for name in (more, less)}
    count = len(of[less])
    return shares, [finding("mixed_languages", "note", count, examples=examples, sampled=sampled, **percent)]
