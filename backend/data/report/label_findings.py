"""What is wrong with the labels: none, one, too many, too rare, unevenly spread, or spelled in several ways."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from backend.data.labels import SAME_SPLIT_ROWS, label_counts, label_order, looks_like_no_labels, split_cell
from backend.data.relabelling import merging
from backend.data.report.rows import Finding, ReportRows, change, finding, step

FEW_ROWS_A_LABEL = 20
FEW_ROWS = 100
IMBALANCE = 10
LABELS_SAID = 20
CAP = 3
"""The offered cap: so many times the rows of the label in the middle."""


def on_labels(rows: ReportRows) -> list[Finding]:
    """The findings on the labels as a whole; where no training is possible, only that."""
    counts = counts_in_different_texts(rows)
    if not counts:
        return [finding("no_labels", "error", 0)]
    if len(counts) == 1:
        return [finding("one_label", "error", len(rows), label=next(iter(counts)))]
    if looks_like_no_labels(len(counts), len(rows)):
        return [finding("too_many_labels", "error", len(counts), len(rows))]
    return [
        *_on_variants(rows),
        *_on_task(rows),
        *_on_rare(rows, counts),
        *([finding("few_rows", "warning", len(rows))] if len(rows) < FEW_ROWS else []),
        *_on_imbalance(rows, counts),
    ]


def counts_in_different_texts(rows: ReportRows) -> dict[str, int]:
    """The counts, where those of small labels count a repeated text once: it can stand in one part of a split only."""
    counts = rows.counts
    small = {label for label, count in counts.items() if count < FEW_ROWS_A_LABEL}
    if not small:
        return dict(counts)
    holding = [
        cell for cell in pc.unique(rows.cells).to_pylist() if small.intersection(split_cell(cell, rows.separator))
    ]
    among = pc.is_in(rows.cells, value_set=pa.array(holding, pa.string()))
    pairs = set(zip(rows.texts.filter(among).to_pylist(), rows.cells.filter(among).to_pylist(), strict=True))
    different = label_counts(Counter(cell for _text, cell in pairs), rows.separator)
    return {label: different[label] if label in small else count for label, count in counts.items()}


def _on_variants(rows: ReportRows) -> list[Finding]:
    merged = merging(rows.counts)
    if not merged:
        return []
    spellings: dict[str, list[str]] = defaultdict(list)
    for label, kept in merged.items():
        spellings[kept].append(label)
    examples: list[dict[str, Any]] = [
        {"spellings": [f"{label} ({rows.counts[label]:,})" for label in (kept, *labels)], "merged": kept}
        for kept, labels in spellings.items()
    ]
    touched = sum(rows.counts[label] for label in merged)
    return [
        finding(
            "label_variants",
            "warning",
            len(spellings),
            touched,
            examples=examples[:LABELS_SAID],
            repairs=[step("merge_label_variants")],
            labels=list(spellings)[:LABELS_SAID],
        )
    ]


def _on_task(rows: ReportRows) -> list[Finding]:
    if rows.task != "binary" or len(rows.counts) == 2:
        return []
    labels = label_order(rows.counts)[:LABELS_SAID]
    repairs = [change(data__task="multiclass")]
    return [finding("not_binary", "error", len(rows.counts), len(rows), repairs=repairs, labels=labels)]


def _on_rare(rows: ReportRows, counts: dict[str, int]) -> list[Finding]:
    found = []
    ordered = sorted(counts, key=lambda label: (counts[label], label))
    rare = [label for label in ordered if counts[label] < SAME_SPLIT_ROWS]
    few = [label for label in ordered if SAME_SPLIT_ROWS <= counts[label] < FEW_ROWS_A_LABEL]
    if rare:
        # All of them go to training, so that a run begins; its test cannot ask about them.
        found.append(_rare("untested_labels", rare, counts, SAME_SPLIT_ROWS, needed=SAME_SPLIT_ROWS))
    if few:
        found.append(_rare("few_rows_a_label", few, counts, FEW_ROWS_A_LABEL, fewer=FEW_ROWS_A_LABEL))
    return found


def _rare(code: str, labels: list[str], counts: dict[str, int], least: int, **facts: int) -> Finding:
    # Labels in Chinese take a Chinese name for the rest.
    into = "其他" if any("\u4e00" <= character <= "\u9fff" for label in counts for character in label) else "other"
    return finding(
        code,
        "warning",
        len(labels),
        sum(counts[label] for label in labels),
        examples=[{"label": label, "count": counts[label]} for label in labels[:LABELS_SAID]],
        repairs=[step("minimum_rows", rows=least, action=action, into=into) for action in ("drop", "merge")],
        labels=labels[:LABELS_SAID],
        **facts,
    )


def _on_imbalance(rows: ReportRows, counts: dict[str, int]) -> list[Finding]:
    ordered = sorted(counts, key=lambda label: (counts[label], label))
    largest, smallest = ordered[-1], ordered[0]
    ratio = counts[largest] / counts[smallest]
    if ratio < IMBALANCE:
        return []
    cap = max(FEW_ROWS_A_LABEL, CAP * counts[ordered[len(ordered) // 2]])
    repairs = [change(sample__balance="oversample")]
    repairs += [change(sample__cap=cap)] if cap < counts[largest] else []
    return [
        finding(
            "imbalance",
            "warning",
            len(counts),
            len(rows),
            repairs=repairs,
            ratio=round(ratio, 1),
            largest=largest,
            largest_rows=counts[largest],
            smallest=smallest,
            smallest_rows=counts[smallest],
        )
    ]
