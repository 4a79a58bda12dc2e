"""The words by which tables name the parts of a split. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Part = Literal["train", "validation", "test"]

PART_NAMES: dict[str, Part] = {
    **dict.fromkeys(("train", "training", "trn", "tr", "train_set", "训练", "训练集"), "train"),
    **dict.fromkeys(
        ("validation", "valid", "val", "dev", "development", "eval", "evaluation", "验证", "验证集", "开发集"),
        "validation",
    ),
    **dict.fromkeys(("test", "testing", "tst", "test_set", "holdout", "测试", "测试集"), "test"),
}  # fmt: skip


def part_named(value: str) -> Part | None:
    """The part that a cell or a file name means; None for any other word."""
    return PART_NAMES.get(value.strip().casefold())


def name_parts(values: Iterable[str]) -> bool:
    """Whether these are names of parts and nothing else: training among them, and another beside it."""
    found = {part_named(value) for value in values}
    return None not in found and "train" in found and len(found) > 1
