"""How long the texts are, in characters, in all and by label."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow.compute as pc

from backend.data.report.rows import Finding, ReportRows, finding

HISTOGRAM_BINS = 40
TAIL_PERCENTILE = 99.5
LENGTH_STEPS = (128, 256, 512)
LONG_SHARE = 0.05
BY_LABEL_SAMPLE = 200_000
MOST_LABELS = 60
QUANTILES = (5, 25, 50, 75, 95)

Lengths = np.ndarray[Any, Any]


def lengths_of(rows: ReportRows) -> Lengths:
    """(rows,) characters of each text."""
    lengths: Lengths = pc.utf8_length(rows.texts).to_numpy()
    return lengths


def on_lengths(rows: ReportRows, lengths: Lengths, language: dict[str, float]) -> list[Finding]:
    """Texts that a usual maximum length would cut."""
    if not len(lengths):
        return []
    # A Chinese character is about one token, four Latin letters are: this is where 128 tokens cut.
    limit = LENGTH_STEPS[0] if language["zh"] > 0.5 else LENGTH_STEPS[-1]
    longer = lengths > limit
    if longer.mean() < LONG_SHARE:
        return []
    examples = rows.examples(np.flatnonzero(longer))
    for example, index in zip(examples, np.flatnonzero(longer), strict=False):
        example["characters"] = int(lengths[index])
    shares: dict[str, Any] = {f"over_{step}": round(float((lengths > step).mean()), 4) for step in LENGTH_STEPS}
    percent = round(100 * float(longer.mean()))
    count = int(longer.sum())
    return [finding("long_texts", "note", count, examples=examples, limit=limit, percent=percent, **shares)]


def summary_of(lengths: Lengths) -> dict[str, Any]:
    """Mean, quantiles and a histogram of lengths in any unit."""
    if not len(lengths):
        empty = {"mean": 0.0, "median": 0.0, "p95": 0.0, "p99": 0.0, "max": 0}
        return {**empty, "histogram": {"edges": [], "counts": []}}
    # The few longest texts would squeeze all others into one bar: they share the last one.
    low, high = int(lengths.min()), max(int(np.percentile(lengths, TAIL_PERCENTILE)), int(lengths.min()) + 1)
    width = max(1, -(-(high - low + 1) // HISTOGRAM_BINS))
    edges = np.arange(low, high + width + 1, width)[: HISTOGRAM_BINS + 1]
    counts, _ = np.histogram(np.minimum(lengths, edges[-1]), bins=edges)
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(lengths, (50, 95, 99)))
    summary = {
        "mean": round(float(lengths.mean()), 2),
        "median": p50,
        "p95": p95,
        "p99": p99,
        "max": int(lengths.max()),
    }
    return {**summary, "histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}


def by_label(rows: ReportRows, lengths: Lengths) -> list[dict[str, Any]]:
    """For each of the most frequent labels its lengths: ``{"value", "p5", "p25", "p50", "p75", "p95"}``."""
    step = -(-len(rows) // BY_LABEL_SAMPLE) if len(rows) > BY_LABEL_SAMPLE else 1
    sample, some = rows.sample(BY_LABEL_SAMPLE)[0], lengths[::step]
    encoded = sample.cells.dictionary_encode().unify_dictionaries().combine_chunks()
    codes, cells = encoded.indices.to_numpy(), encoded.dictionary.to_pylist()
    order = np.argsort(codes, kind="stable")
    pieces = np.split(some[order], np.flatnonzero(np.diff(codes[order])) + 1) if len(order) else []
    shown = [label for label, _count in rows.counts.most_common(MOST_LABELS)]
    collected: dict[str, list[Lengths]] = defaultdict(list)
    for code, piece in zip(np.unique(codes), pieces, strict=True):
        for label in sample.labels_in(cells[code]):
            collected[label].append(piece)
    found = []
    for label in shown:
        if label in collected:
            values = np.percentile(np.concatenate(collected[label]), QUANTILES)
            names = (f"p{quantile}" for quantile in QUANTILES)
            found.append({"value": label, **{n: round(float(v), 1) for n, v in zip(names, values, strict=True)}})
    return found
