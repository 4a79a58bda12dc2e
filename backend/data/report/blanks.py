"""Rows without a text or without a label, and what the reader noted on the file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from backend.data.report.rows import EXAMPLES, Finding, Indices, Mask, cut, finding, step

FILE_SEVERITIES = {"no_header": "note", "rows_filled_up": "note"}


def on_file(notes: list[dict[str, Any]]) -> list[Finding]:
    """The reader's notes as findings; a note may bring its own severity and examples."""
    return [
        finding(
            note["code"],
            note.get("severity") or FILE_SEVERITIES.get(note["code"], "warning"),
            note["count"],
            examples=note.get("examples") or (),
            **note["facts"],
        )
        for note in notes
    ]


def on_blanks(
    texts: pa.ChunkedArray, cells: pa.ChunkedArray, numbers: Indices, has_text: Mask, has_label: Mask
) -> list[Finding]:
    """Rows that are left out; those without a text may be without a label too."""
    found = []
    for code, missing, shown, name in (
        ("blank_texts", ~has_text, cells, "label"),
        ("blank_labels", ~has_label, texts, "text"),
    ):
        if count := int(missing.sum()):
            at = np.flatnonzero(missing & (has_label if name == "label" else has_text))[:EXAMPLES]
            said = zip(numbers[at].tolist(), shown.take(pa.array(at)).to_pylist(), strict=True)
            examples = [{"row": row, name: cut(value)} for row, value in said]
            found.append(finding(code, "warning", count, examples=examples, repairs=[step("drop_blank")]))
    return found
