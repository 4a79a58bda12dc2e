"""What the rows' parts and groups say: the same text in training and test, and rows that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from backend.data.parts import part_named
from backend.data.profiling import hashes_of
from backend.data.report.rows import EXAMPLES, Finding, ReportRows, change, cut, finding, step

PARTS = ("train", "validation", "test")
UNKNOWN = -1


def on_given_parts(rows: ReportRows, column: str, parts: pa.ChunkedArray) -> list[Finding]:
    """Texts that stand in training and again in validation or test. ``parts`` (rows,) are the column's cells."""
    numbers = _part_numbers(parts)
    hashes = hashes_of(rows.texts)
    asked = np.flatnonzero(numbers != UNKNOWN)
    order = asked[np.argsort(hashes[asked], kind="stable")]
    groups = np.split(order, np.flatnonzero(np.diff(hashes[order])) + 1) if len(order) else []
    across = [group for group in groups if len(group) > 1 and len(set(numbers[group].tolist())) > 1]
    if not across:
        return []
    across.sort(key=lambda group: int(group[0]))
    touched = int(sum((numbers[group] != 0).sum() for group in across))
    examples: list[dict[str, Any]] = []
    for group in across[:EXAMPLES]:
        shown = rows.examples(group, most=1)[0]
        stands = [PARTS[number] for number in sorted(set(numbers[group].tolist()))]
        examples.append({"text": shown["text"], "parts": stands, "rows": rows.numbers[group[:10]].tolist()})
    repairs = [
        change(split__overlap="drop"),
        step("drop_duplicates", by="exact"),
        change(split__method="stratified", split__column=""),
    ]
    facts: dict[str, Any] = {"column": column, "tested": int((numbers > 0).sum())}
    return [finding("same_text_in_parts", "warning", len(across), touched, examples=examples, repairs=repairs, **facts)]


def on_division(parts: Mapping[str, Any]) -> list[Finding]:
    """Says that parts which were drawn by a column share texts; ``parts`` as the report has them."""
    repairs = [change(split__overlap="drop"), step("drop_duplicates", by="exact")]
    counts = [note["facts"]["count"] for note in parts.get("notes", ()) if note["code"] == "texts_in_two_parts"]
    return [finding("texts_in_two_parts", "warning", count, repairs=repairs) for count in counts]


def _part_numbers(parts: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    encoded = pc.fill_null(parts, "").dictionary_encode().unify_dictionaries().combine_chunks()
    named = [part_named(value) for value in encoded.dictionary.to_pylist()]
    of_value = np.array([UNKNOWN if name is None else PARTS.index(name) for name in named], dtype=np.int64)
    return of_value[encoded.indices.to_numpy()] if len(encoded) else np.empty(0, np.int64)


def on_groups(rows: ReportRows, column: str, groups: pa.ChunkedArray) -> list[Finding]:
    """Says that rows belong together and would stand on both sides of a split by labels."""
    counted = pc.value_counts(pc.utf8_trim_whitespace(groups.drop_null()))
    values, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy()
    several = [index for index in np.argsort(-counts, kind="stable").tolist() if values[index] and counts[index] > 1]
    if not several:
        return []
    examples = [{"group": cut(values[index], 80), "count": int(counts[index])} for index in several[:EXAMPLES]]
    touched = int(sum(counts[index] for index in several))
    repairs = [change(split__method="group", split__column=column)]
    return [finding("groups", "note", len(several), touched, examples=examples, repairs=repairs, column=column)]
