"""The steps of a recipe, done to the rows of a table in their order; each says what it touched.

Which steps there are and how they are written is in `backend.steps`. Semantic de-duplication needs torch, which is
imported when such a step is done: processes that work on rows only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from backend.data import duplicates, relabelling
from backend.data.near_duplicates import near
from backend.data.report.rows import Tell, untold
from backend.data.rows import TextRows, retexted
from backend.data.text_cleaning import TEXT_STEPS
from backend.schema import Section
from backend.steps import (
    DropBlank,
    DropDuplicates,
    DropLabels,
    MapLabels,
    MaskContacts,
    MergeLabelVariants,
    MinimumRows,
    NormaliseText,
    ResolveConflicts,
    StripHtml,
)

EXAMPLES = 5
EXAMPLE_CHARACTERS = 300


@dataclass(frozen=True)
class Surroundings:
    """What steps may use besides the rows."""

    cache: Path | None = None
    """A folder for embeddings, so that another threshold needs no second encoding."""
    tell: Tell = untold
    """Called with the progress of a long step; the place to raise for a stop."""
    described: Tell = untold
    """Called with how much of the report on the rows is made."""


@dataclass(frozen=True)
class Done:
    """What a step has made of the rows."""

    rows: TextRows
    touched: int
    """Rows left out or changed."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    """``{"code", "facts"}`` of what the user should know."""


def apply_steps(
    rows: TextRows, steps: Sequence[Section], around: Surroundings | None = None
) -> tuple[TextRows, list[dict[str, Any]]]:
    """The rows after the steps that are on, and for every step what it did.

    That is ``{"step", "rows_before", "rows_after", "touched", "examples", "notes"}``; a step that is off touches
    nothing. Doing the same steps again changes nothing more.
    """
    around = around or Surroundings()
    given, told = [rows], []
    del rows  # what a step takes from the list, nothing else may hold: see `retexted`
    for step in steps:
        document = step.model_dump(mode="json")
        before = len(given[-1])
        done = _apply(given, step, around) if document["on"] else Done(given[-1], 0)
        given = [done.rows]
        told.append(
            {
                "step": document,
                "rows_before": before,
                "rows_after": len(done.rows),
                "touched": done.touched,
                "examples": [_shortened(example) for example in done.examples],
                "notes": done.notes,
            }
        )
        del done
    return given.pop(), told


def _apply(given: list[TextRows], step: Section, around: Surroundings) -> Done:
    if isinstance(step, NormaliseText | StripHtml | MaskContacts):
        return _retexted(given, TEXT_STEPS[step.kind])
    rows = given[-1]
    match step:
        case DropBlank():
            return _left_out(rows, rows.has_text & rows.has_label)
        case MergeLabelVariants():
            return _relabelled(rows, relabelling.merging(rows.label_counts))
        case MapLabels():
            return _relabelled(rows, step.mapping)
        case DropLabels():
            return _without_labels(rows, set(step.labels))
        case MinimumRows():
            small = {label for label, count in rows.label_counts.items() if count < step.rows and label != step.into}
            if step.action == "merge":
                return _relabelled(rows, dict.fromkeys(small, step.into))
            small |= {label for label in (step.into,) if 0 < rows.label_counts[label] < step.rows}
            return _without_labels(rows, small)
        case ResolveConflicts():
            keep = duplicates.without_conflicts(rows, by_majority=step.by == "majority")
            return _left_out(rows, keep)
        case DropDuplicates():
            return _without_duplicates(rows, step, around)
    raise TypeError(f"no such step: {type(step).__name__}")


def _left_out(rows: TextRows, keep: np.ndarray[Any, Any]) -> Done:
    gone = np.flatnonzero(~keep)
    shown = gone[:EXAMPLES]
    examples = [
        {"row": int(rows.numbers[i]) + 1, "text": text, "label": cell}
        for i, text, cell in zip(shown, rows.text_at(shown), rows.cell_at(shown), strict=True)
    ]
    return Done(rows.kept(keep), len(gone), examples)


def _retexted(given: list[TextRows], function: Callable[[str], str]) -> Done:
    done = retexted(given, function, shown=EXAMPLES)
    return Done(done.rows, done.changed, [{"row": n + 1, "before": old, "after": new} for n, old, new in done.first])


def _relabelled(rows: TextRows, names: dict[str, str]) -> Done:
    after, changed = rows.relabelled(lambda labels: [names.get(label, label) for label in labels])
    counts = rows.label_counts
    became = [(label, names[label]) for label in names if counts[label] and names[label] != label]
    examples = [
        {"before": old, "after": new, "rows": counts[old]} for old, new in sorted(became, key=lambda p: -counts[p[0]])
    ]
    return Done(after, int(changed.sum()), examples[: 4 * EXAMPLES])


def _without_labels(rows: TextRows, unwanted: set[str]) -> Done:
    after, changed = rows.relabelled(lambda labels: [label for label in labels if label not in unwanted])
    after = after.kept(~changed | (after.label_numbers > 0))
    counts = rows.label_counts
    examples = [{"label": label, "rows": counts[label]} for label in sorted(unwanted) if counts[label]]
    return Done(after, int(changed.sum()), examples[: 4 * EXAMPLES])


def _without_duplicates(rows: TextRows, step: DropDuplicates, around: Surroundings) -> Done:
    if step.by == "exact":
        return _left_out(rows, duplicates.firsts(rows))
    if step.by == "near":
        found = near(rows, step.threshold, around.tell)
    else:
        from backend.data.semantic import semantic  # brings torch

        found = semantic(rows, step.threshold, step.encoder, around.cache, around.tell)
    pairs = [
        {"text": text, "kept": kept, "similarity": round(pair.similarity, 4)}
        for pair, text, kept in zip(
            found.pairs,
            rows.text_at([pair.row for pair in found.pairs]),
            rows.text_at([pair.kept for pair in found.pairs]),
            strict=True,
        )
    ]
    return Done(rows.kept(found.keep), int((~found.keep).sum()), pairs, found.notes)


def _shortened(example: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:EXAMPLE_CHARACTERS] if isinstance(value, str) else value for name, value in example.items()}
