"""Texts that stand more than once: with the same label, with others, and nearly equal ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.compute as pc

from backend.data.labels import split_cell
from backend.data.near_duplicates import near
from backend.data.profiling import hashes_of
from backend.data.report.rows import EXAMPLES, Finding, Indices, ReportRows, cut, finding, step, untold
from backend.data.rows import TextRows

SIMILARITY = 0.9
NEAR_CHARACTERS = 64_000_000
"""What is looked at for near-duplicates: a few seconds. In a longer table they are looked for among fewer rows, and
the step that leaves them out goes through all."""
LEAST_CHARACTERS = 12
"""Shorter texts are alike by chance."""


def on_repeats(rows: ReportRows) -> list[Finding]:
    """Exact repeats, told apart by whether their labels agree, and near ones."""
    groups = _groups_of_equal_texts(rows)
    labels = _labels_of(rows, groups)
    conflicting = [group for group, given in zip(groups, labels, strict=True) if len(set(given)) > 1]
    agreeing = [group for group, given in zip(groups, labels, strict=True) if len(set(given)) == 1]
    found = []
    if conflicting:
        touched = sum(len(group) for group in conflicting)
        # Of two labels, a pair of rows says one thing and its opposite; anything else is only a difference.
        opposite = rows.task == "binary" and touched == 2 * len(conflicting)
        repairs = [step("resolve_conflicts", by="drop")]
        repairs += [] if opposite else [step("resolve_conflicts", by="majority")]
        code = "opposite_labels" if opposite else "conflicting_labels"
        examples = _examples(rows, conflicting)
        found.append(finding(code, "warning", len(conflicting), touched, examples=examples, repairs=repairs))
    if agreeing:
        touched = sum(len(group) for group in agreeing)
        examples, repairs = _examples(rows, agreeing), [step("drop_duplicates", by="exact")]
        found.append(finding("duplicate_texts", "note", len(agreeing), touched, examples=examples, repairs=repairs))
    return [*found, *on_near_repeats(rows)]


def _groups_of_equal_texts(rows: ReportRows) -> list[Indices]:
    """The rows of each text that stands more than once, in the order of the table."""
    hashes = hashes_of(rows.texts)
    order = np.argsort(hashes, kind="stable")
    if not len(order):
        return []
    edges = np.flatnonzero(np.diff(hashes[order])) + 1
    starts, ends = np.concatenate([[0], edges]), np.concatenate([edges, [len(order)]])
    several = np.flatnonzero(ends - starts > 1)  # of millions of texts only those that stand again become groups
    groups = [order[start:end] for start, end in zip(starts[several], ends[several], strict=True)]
    return sorted(groups, key=lambda group: int(group[0]))


def _labels_of(rows: ReportRows, groups: list[Indices]) -> list[list[frozenset[str]]]:
    if not groups:
        return []
    cells = iter(rows.cells.take(np.concatenate(groups)).to_pylist())
    return [[frozenset(split_cell(next(cells), rows.separator)) for _row in group] for group in groups]


def _examples(rows: ReportRows, groups: list[Indices]) -> list[dict[str, Any]]:
    examples = []
    for group in groups[:EXAMPLES]:
        shown = rows.examples(group, most=10)
        labels = list(dict.fromkeys(example["label"] for example in shown))
        examples.append({"text": shown[0]["text"], "labels": labels, "rows": [example["row"] for example in shown]})
    return examples


def on_near_repeats(rows: ReportRows) -> list[Finding]:
    """Texts that share most of their character pieces with an earlier one."""
    long_enough = np.flatnonzero(pc.greater_equal(pc.utf8_length(rows.texts), LEAST_CHARACTERS).to_numpy())
    if not len(long_enough):
        return []
    rows = rows if len(long_enough) == len(rows) else rows.taken(long_enough)
    few = rows.texts.slice(0, 1000).to_pylist()
    affordable = int(NEAR_CHARACTERS * len(few) / sum(map(len, few)))
    looked_at, sampled = rows.sample(max(1000, affordable))
    alike = near(TextRows(looked_at.texts, looked_at.cells, looked_at.numbers), SIMILARITY, untold)
    # Exact repeats are left out by this step too, but have a finding of their own.
    count = int((~alike.keep).sum()) - _exact_repeats(looked_at)
    if count <= 0:
        return []
    examples = []
    for pair in alike.pairs[:EXAMPLES]:
        one, other = (looked_at.texts[row].as_py() for row in (pair.row, pair.kept))
        row = int(looked_at.numbers[pair.row])
        examples.append({"row": row, "text": cut(one), "other": cut(other), "similarity": round(pair.similarity, 2)})
    repairs = [step("drop_duplicates", by="near", threshold=SIMILARITY)]
    return [finding("near_duplicates", "note", count, examples=examples, repairs=repairs, sampled=sampled)]


def _exact_repeats(rows: ReportRows) -> int:
    return len(rows) - len(np.unique(hashes_of(rows.texts)))
