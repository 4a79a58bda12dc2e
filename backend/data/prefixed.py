"""Plain text whose lines begin with their label: ``LABEL text`` and fastText's ``__label__x text``. Child process only.

Where every label is two names with a colon between them (``DESC:manner``), the first becomes the label and both
together a column of finer ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from backend.data.cells import LIST_SEPARATORS
from backend.data.delimited import open_text
from backend.data.encodings import Opener, TextFacts

FASTTEXT = "__label__"
SAMPLE_LINES = 5000
LEAST_LINES = 4
LONGEST_LABEL = 60
REPEATED_SHARE = 0.98


@dataclass(frozen=True)
class Prefixes:
    """How the lines are labelled."""

    fasttext: bool
    separator: str
    """What joins the labels of one text in the table; empty if each has one."""
    two_levels: bool

    @property
    def columns(self) -> list[str]:
        """The table's columns."""
        return ["label", "label_fine", "text"] if self.two_levels else ["label", "text"]


def find_prefixes(open_bytes: Opener, text: TextFacts) -> Prefixes | None:
    """How the lines of a file are labelled; None where their first words are no labels.

    They are labels if nearly all of them come again and they are few beside the lines: the first words of
    sentences are neither.
    """
    with open_text(open_bytes, text) as stream:
        lines = [line for line in islice((line.strip("\ufeff\0 \t\r\n") for line in stream), SAMPLE_LINES) if line]
    if len(lines) < LEAST_LINES:
        return None
    if sum(line.startswith(FASTTEXT) for line in lines) > 0.5 * len(lines):
        labels = [label for line in lines for label in _fasttext(line)[0]]
        several = any(len(_fasttext(line)[0]) > 1 for line in lines)
        free = [s for s in LIST_SEPARATORS if not any(s in label for label in labels)]
        return Prefixes(True, (free or [LIST_SEPARATORS[-1]])[0] if several else "", False)
    pairs = [line.split(None, 1) for line in lines]
    if any(len(pair) < 2 or len(pair[0]) > LONGEST_LABEL for pair in pairs):
        return None
    counts = Counter(pair[0] for pair in pairs)
    repeated = sum(count for count in counts.values() if count > 1)
    if repeated < REPEATED_SHARE * len(lines) or len(counts) < 2 or len(counts) > max(2, len(lines) / 10):
        return None
    two_levels = all(_is_two_levels(label) for label in counts)
    return Prefixes(False, "", two_levels)


def read_prefixed(open_bytes: Opener, text: TextFacts, prefixes: Prefixes) -> Iterator[list[str]]:
    """The rows in the order of ``prefixes.columns``; a line without a text has a blank one."""
    with open_text(open_bytes, text) as stream:
        for line in stream:
            line = line.replace("\0", "").strip("\ufeff \t\r\n")
            if not line:
                continue
            if prefixes.fasttext:
                labels, rest = _fasttext(line)
                yield [prefixes.separator.join(labels) if prefixes.separator else "".join(labels[:1]), rest]
                continue
            label, rest = [*line.split(None, 1), ""][:2]
            if prefixes.two_levels:
                yield [label.partition(":")[0], label, rest]
            else:
                yield [label.rstrip(":") or label, rest]


def _fasttext(line: str) -> tuple[list[str], str]:
    labels = []
    while line.startswith(FASTTEXT):
        label, line = [*line.split(None, 1), ""][:2]
        labels.append(label.removeprefix(FASTTEXT).rstrip(","))
    return list(dict.fromkeys(filter(None, labels))), line


def _is_two_levels(label: str) -> bool:
    coarse, colon, fine = label.partition(":")
    return bool(colon and coarse and fine and ":" not in fine)
