"""The report on a text column and a label column: counts, lengths, languages, and what is wrong with them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.labels import (
    SAME_SPLIT_ROWS,
    label_counts,
    label_order,
    looks_like_no_labels,
    resolve_task,
    split_cell,
)
from backend.data.profiling import count_cells, evenly, hashes_of
from backend.errors import ColumnMissing, SameColumn

HISTOGRAM_BINS = 40
TAIL_PERCENTILE = 99.5
EXAMPLES = 5
EXAMPLE_CHARACTERS = 300
LANGUAGE_SAMPLE = 5000
LENGTH_STEPS = (128, 256, 512)
LONG_SHARE = 0.05
FEW_ROWS_A_LABEL = 20
FEW_ROWS = 100
IMBALANCE = 10
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]")

Finding = dict[str, Any]


def describe(
    table: pa.Table, text: str, label: str, task: str, separator: str, notes: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The report (``docs/architecture.md``) on these columns of a table of texts; ``notes`` are on its file.

    Raises:
        ColumnMissing, SameColumn: they are not two columns of the table.
    """
    for column in (text, label):
        if column not in table.column_names:
            raise ColumnMissing(column=column, available=table.column_names)
    if text == label:
        raise SameColumn(column=text)
    texts = pc.fill_null(pc.utf8_trim_whitespace(table[text]), "")
    cells = pc.fill_null(pc.utf8_trim_whitespace(table[label]), "")
    has_text, has_label = pc.not_equal(texts, ""), pc.not_equal(cells, "")
    usable = pc.and_(has_text, has_label)
    # A filter copies; in a large table without gaps that would be a gigabyte for nothing.
    whole = bool(pc.all(usable).as_py())
    texts_used, cells_used = (texts, cells) if whole else (texts.filter(usable), cells.filter(usable))
    counts_of_cells = count_cells(cells_used)
    task, separator = resolve_task(counts_of_cells, task, separator)
    counts = label_counts(counts_of_cells, separator)
    lengths = pc.utf8_length(texts_used).to_numpy()
    language = _languages(texts_used)
    findings = [
        *_on_file(notes or []),
        *_on_blanks(texts, cells, has_text, has_label),
        *_on_labels(_counts_in_different_texts(texts_used, cells_used, counts, separator), len(texts_used), task),
        *_on_duplicates(texts_used, cells_used, separator, binary=task == "binary"),
        *_on_lengths(texts_used, lengths, language),
    ]
    if not any(finding["severity"] in ("error", "warning") for finding in findings):
        findings.insert(0, _finding("no_problems", "ok", len(texts_used)))
    return {
        "text": text,
        "label": label,
        "task": task,
        "separator": separator,
        "rows": table.num_rows,
        "usable_rows": len(texts_used),
        "labels": [{"value": value, "count": counts[value]} for value in label_order(counts)],
        "lengths": _length_summary(lengths),
        "language": language,
        "findings": findings,
    }


def _finding(
    code: str, severity: str, count: int, rows: int | None = None, examples: list[str] | None = None, **facts: Any
) -> Finding:
    shown = [example[:EXAMPLE_CHARACTERS] for example in (examples or [])[:EXAMPLES]]
    rows = count if rows is None else rows
    return {"code": code, "severity": severity, "count": count, "rows": rows, "facts": facts, "examples": shown}


def _on_file(notes: list[dict[str, Any]]) -> list[Finding]:
    severity = {"no_header": "note", "rows_filled_up": "note"}
    return [_finding(n["code"], severity.get(n["code"], "warning"), n["count"], **n["facts"]) for n in notes]


def _on_blanks(texts: pa.ChunkedArray, cells: pa.ChunkedArray, has_text: Any, has_label: Any) -> list[Finding]:
    found = []
    if blank := len(texts) - int(pc.sum(has_text).as_py() or 0):
        found.append(_finding("blank_texts", "warning", blank))
    unlabelled = pc.and_(has_text, pc.invert(has_label))
    if blank := len(cells) - int(pc.sum(has_label).as_py() or 0):
        examples = texts.filter(unlabelled).slice(0, EXAMPLES).to_pylist()
        found.append(_finding("blank_labels", "warning", blank, examples=examples))
    return found


def _counts_in_different_texts(
    texts: pa.ChunkedArray, cells: pa.ChunkedArray, counts: Counter[str], separator: str
) -> dict[str, int]:
    """The counts, where those of small labels count a repeated text once: it can stand in one part of a split only."""
    small = {label for label, rows in counts.items() if rows < FEW_ROWS_A_LABEL}
    if not small:
        return dict(counts)
    holding = [cell for cell in pc.unique(cells).to_pylist() if small.intersection(split_cell(cell, separator))]
    among = pc.is_in(cells, value_set=pa.array(holding, pa.string()))
    pairs = set(zip(texts.filter(among).to_pylist(), cells.filter(among).to_pylist(), strict=True))
    different = label_counts(Counter(cell for _text, cell in pairs), separator)
    return {label: different[label] if label in small else rows for label, rows in counts.items()}


def _on_labels(counts: dict[str, int], rows: int, task: str) -> list[Finding]:
    if not counts:
        return [_finding("no_labels", "error", 0)]
    if len(counts) == 1:
        return [_finding("one_label", "error", rows, label=next(iter(counts)))]
    if looks_like_no_labels(len(counts), rows):
        return [_finding("too_many_labels", "error", len(counts), rows)]
    found = []
    ordered = sorted(counts, key=lambda label: (counts[label], label))
    if task == "binary" and len(counts) > 2:
        found.append(_finding("not_binary", "error", len(counts), rows, labels=label_order(counts)[:20]))
    rare = [label for label in ordered if counts[label] < SAME_SPLIT_ROWS]
    few = [label for label in ordered if SAME_SPLIT_ROWS <= counts[label] < FEW_ROWS_A_LABEL]
    if rare:
        rare_rows = sum(counts[label] for label in rare)
        facts = {"labels": rare[:20], "needed": SAME_SPLIT_ROWS}
        # A text with several labels can still be learned from for its others, so there it is no error.
        code, severity = ("untested_labels", "warning") if task == "multilabel" else ("rare_labels", "error")
        finding = _finding(code, severity, len(rare), rare_rows)
        finding["facts"] |= facts
        found.append(finding)
    if few:
        few_rows = sum(counts[label] for label in few)
        finding = _finding("few_rows_a_label", "warning", len(few), few_rows, fewer=FEW_ROWS_A_LABEL)
        finding["facts"]["labels"] = few[:20]
        found.append(finding)
    if rows < FEW_ROWS:
        found.append(_finding("few_rows", "warning", rows))
    largest, smallest = ordered[-1], ordered[0]
    ratio = counts[largest] / counts[smallest]
    if ratio >= IMBALANCE:
        finding = _finding("imbalance", "warning", len(counts), rows, ratio=round(ratio, 1))
        finding["facts"] |= {"largest": largest, "largest_rows": counts[largest]}
        finding["facts"] |= {"smallest": smallest, "smallest_rows": counts[smallest]}
        found.append(finding)
    return found


def _on_duplicates(texts: pa.ChunkedArray, cells: pa.ChunkedArray, separator: str, binary: bool) -> list[Finding]:
    hashes = hashes_of(texts)
    distinct, times = np.unique(hashes, return_counts=True)
    among = pa.array(np.isin(hashes, distinct[times > 1]))
    labels: dict[str, list[frozenset[str]]] = defaultdict(list)
    for text, cell in zip(texts.filter(among).to_pylist(), cells.filter(among).to_pylist(), strict=True):
        labels[text].append(frozenset(split_cell(cell, separator)))
    found = []
    conflicting = [text for text, given in labels.items() if len(set(given)) > 1]
    agreeing = [text for text, given in labels.items() if len(set(given)) == 1 < len(given)]
    if conflicting:
        rows = sum(len(labels[text]) for text in conflicting)
        # Of two labels, a pair of rows says one thing and its opposite; anything else is only a difference.
        code = "opposite_labels" if binary and rows == 2 * len(conflicting) else "conflicting_labels"
        found.append(_finding(code, "warning", len(conflicting), rows, conflicting))
    if agreeing:
        rows = sum(len(labels[text]) for text in agreeing)
        found.append(_finding("duplicate_texts", "note", len(agreeing), rows, agreeing))
    return found


def _on_lengths(texts: pa.ChunkedArray, lengths: np.ndarray[Any, Any], language: dict[str, float]) -> list[Finding]:
    if not len(lengths):
        return []
    # A Chinese character is about one token, four Latin letters are: this is where 128 tokens cut.
    limit = LENGTH_STEPS[0] if language["zh"] > 0.5 else LENGTH_STEPS[-1]
    longer = lengths > limit
    if longer.mean() < LONG_SHARE:
        return []
    count = int(longer.sum())
    examples = texts.filter(pa.array(longer)).slice(0, EXAMPLES).to_pylist()
    percent = round(100 * float(longer.mean()))
    finding = _finding("long_texts", "note", count, examples=examples, limit=limit, percent=percent)
    finding["facts"] |= {f"over_{step}": round(float((lengths > step).mean()), 4) for step in LENGTH_STEPS}
    return [finding]


def _length_summary(lengths: np.ndarray[Any, Any]) -> dict[str, Any]:
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


def _languages(texts: pa.ChunkedArray) -> dict[str, float]:
    """The share of texts that are mostly Chinese characters, mostly Latin letters, or neither."""
    sample = evenly(texts, LANGUAGE_SAMPLE).to_pylist()
    tally = {"zh": 0, "en": 0, "other": 0}
    for text in sample:
        han, latin = len(_HAN.findall(text)), len(_LATIN.findall(text))
        letters = sum(character.isalpha() for character in text)
        # A word has about five letters and is written with two Chinese characters.
        if han and han * 2 >= latin / 2.5 and han + latin >= letters / 2:
            tally["zh"] += 1
        elif latin and latin >= letters / 2:
            tally["en"] += 1
        else:
            tally["other"] += 1
    return {name: round(count / max(1, len(sample)), 4) for name, count in tally.items()}
