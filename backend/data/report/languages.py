"""In which scripts the texts are written."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from functools import lru_cache
from typing import Any

from backend.data.report.rows import Finding, ReportRows, finding

LANGUAGE_SAMPLE = 5000
MIXED_SHARE = 0.05
KANA_SHARE = 0.1
"""Of the signs of a Japanese text that are kana or Chinese characters, at least; Chinese texts hold none or one."""
SCRIPTS = {
    "CJK": "zh",
    "LATIN": "en",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "KATAKANA-HIRAGANA": "kana",
    "HANGUL": "hangul",
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "ARABIC": "arabic",
    "HEBREW": "hebrew",
    "THAI": "thai",
    "DEVANAGARI": "devanagari",
    "BENGALI": "bengali",
    "TAMIL": "tamil",
}
"""The first word of a letter's name in Unicode, and what the report calls its script. The rest is ``other``."""


@lru_cache(maxsize=20_000)
def _script(character: str) -> str:
    """The script of a letter; empty for what is no letter, and for the marks that go with letters."""
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ")
    return SCRIPTS.get(name.partition(" ")[0], "other")


def language_of(text: str) -> str:
    """``zh`` for mostly Chinese characters, ``en`` for mostly Latin letters, else the script of most letters.

    ``kana`` are texts in Japanese, which has Chinese characters too; ``other`` is a script that is not told apart, or
    no letters at all.
    """
    counts = Counter(map(_script, text))
    del counts[""]
    letters, latin, kana = counts.total(), counts["en"], counts["kana"]
    han = counts["zh"] + kana
    # A word has about five letters and is written with two Chinese characters.
    if han and han * 2 >= latin / 2.5 and han + latin >= letters / 2:
        return "kana" if kana >= KANA_SHARE * han else "zh"
    script, most = counts.most_common(1)[0] if letters else ("other", 0)
    return script if most >= letters / 2 else "other"


def on_languages(rows: ReportRows) -> tuple[dict[str, float], list[Finding]]:
    """The share of the texts in each language or script, and a finding where two have more than a few.

    The shares of ``zh``, ``en`` and ``other`` are always there, those of other scripts where they occur.
    """
    sample, sampled = rows.sample(LANGUAGE_SAMPLE)
    of: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(sample.texts.to_pylist()):
        of[language_of(text)].append(index)
    total = max(1, len(sample))
    shares = {name: round(len(of[name]) / total, 4) for name in dict.fromkeys(("zh", "en", *sorted(of), "other"))}
    # What is neither is often numbers or a smile: only the two scripts say something about the choice of a model.
    less, more = sorted(("zh", "en"), key=lambda name: shares[name])
    if shares[less] < MIXED_SHARE:
        return shares, []
    examples = sample.examples(of[less])
    percent: dict[str, Any] = {f"{name}_percent": round(100 * shares[name]) for name in (more, less)}
    count = len(of[less])
    return shares, [finding("mixed_languages", "note", count, examples=examples, sampled=sampled, **percent)]
