"""Which files make one table, and which part of the data each of them is. Told from their names alone: nothing is read.

A screen or a command gives files; what they hold is found out by the import, in a process of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from backend.errors import PartsUnclear
from backend.specs import DataSpec

PARTS = ("train", "validation", "test")
LABEL_NAMES = "labels"
"""The part of a file that names the labels of the others, one a line."""
PART_WORDS = {
    "train": ("train", "training", "trn", "训练", "训练集"),
    "validation": ("validation", "valid", "val", "dev", "devel", "development", "验证", "验证集", "开发集"),
    "test": ("test", "testing", "tst", "测试", "测试集"),
}
LABEL_FILES = re.compile(r"(?i)(label|class|category|emotion|topic)[_ -]?(names?|list)?(es|s)?|(categories|标签|类别)")
LABEL_FILE_SUFFIXES = ("", ".txt", ".names", ".lst")
_WORDS = re.compile(r"[a-z]+|[\u4e00-\u9fff]+")


@dataclass(frozen=True)
class SourceFile:
    """A file as the user knows it: ``name`` is shown, ``part`` is one of `PARTS`, `LABEL_NAMES` or empty."""

    path: Path
    name: str
    part: str = ""
    member: str = ""
    """The file inside the archive at ``path``."""
    sha256: str = ""
    """What its content must be; empty: whatever it is now."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a job's spec."""
        return {**asdict(self), "path": str(self.path)}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> SourceFile:
        """What `to_dict` described."""
        return cls(**{**document, "path": Path(document["path"])})


def sources_of(data: DataSpec) -> list[SourceFile]:
    """The files that a spec names: one, or one a part."""
    named = [("train", data.source), ("validation", data.validation_source), ("test", data.test_source)]
    given = [(part, Path(source).expanduser()) for part, source in named if source]
    if len(given) == 1:
        return [SourceFile(path, path.name) for _part, path in given]
    return [SourceFile(path, path.name, part) for part, path in given]


def title_of(files: Sequence[SourceFile]) -> str:
    """What the table of these files is called: the first one's name, and how many more there are."""
    tables = [file for file in files if file.part != LABEL_NAMES] or list(files)
    ordered = sorted(tables, key=lambda file: ((file.part or part_of(file.name)) != "train", tables.index(file)))
    return ordered[0].name + (f" + {len(tables) - 1}" if len(tables) > 1 else "")


def with_parts(files: Sequence[SourceFile]) -> list[SourceFile]:
    """Several files with the part that each name tells; without any such name they are pieces of one table.

    One group of files may be left unnamed: it is the training part, or the test part beside a training file.

    Raises:
        PartsUnclear: some names tell a part, and what the others are cannot be told.
    """
    if len(files) == 1:
        return [files[0] if files[0].part != LABEL_NAMES else replace(files[0], part="")]
    found = [file if file.part else replace(file, part=part_of(file.name, beside_others=True)) for file in files]
    tables = [file for file in found if file.part != LABEL_NAMES]
    unnamed = [file for file in tables if not file.part]
    named = {file.part for file in tables} - {""}
    if not unnamed or not named or not tables:
        return found
    missing = "train" if "train" not in named else "test"
    if missing in named or (missing == "test" and len(unnamed) > 1):
        raise PartsUnclear(files=[file.name for file in unnamed][:10])
    return [replace(file, part=missing) if not file.part else file for file in found]


def part_of(name: str, *, beside_others: bool = False) -> str:
    """The part that a file's name tells, or the nearest of its folders; empty if none does."""
    parts = Path(name.lower().removesuffix(".gz").removesuffix(".zip")).parts
    if beside_others and parts:
        path = Path(parts[-1])
        if LABEL_FILES.fullmatch(path.stem) and path.suffix in LABEL_FILE_SUFFIXES:
            return LABEL_NAMES
    for place in reversed(parts):
        if part := _part_of_words(_WORDS.findall(place)):
            return part
    return ""


def _part_of_words(words: Iterable[str]) -> str:
    found = [part for word in words for part, known in PART_WORDS.items() if word in known]
    return found[0] if found else ""
