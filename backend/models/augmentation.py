"""Made-up texts: parts of training texts left out, shuffled, cut and spliced, for a teacher to label.

They need not be good prose. They show the student combinations of words and phrases that the few real texts lack.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from backend.models.scripts import UNSPACED
from backend.models.teacher import Floats, Integers

SPLICED_SHARE = 0.5
KEPT_WHEN_SPLICED, KEPT_WHEN_DROPPED = 0.6, 0.7
"""Chance of a clause to stay."""
BREAKS = 0.12
"""Chance of a break after a character of a script without spaces. Breaking words of others cost four points on trec."""
_MARKS = r"，。！？!?,.;；、~…"
_CLAUSE = re.compile(rf"(?:[^{_MARKS}\s]|\s(?=[a-zA-Z0-9'\"(]))+[{_MARKS}\s]*")
"""Words up to a mark. A space before a Latin word is within a clause; before a Chinese one it stands for a comma."""


@dataclass(frozen=True)
class MadeUpTexts:
    """m texts and where their parts are from."""

    texts: list[str]
    folds: Integers
    """(m,) the fold of the training texts that each was made of."""
    targets: Floats
    """(m, k) mean of the hard targets of the texts that each was made of."""


def make_up(texts: Sequence[str], targets: Floats, folds: Integers, number: int, seed: int) -> MadeUpTexts:
    """About ``number`` texts made of these; both texts that are spliced are of one fold.

    Args:
        targets: (n, k) hard targets of the texts.
        folds: (n,) the fold of each text.
    """
    chance = random.Random(seed)
    clauses = [_CLAUSE.findall(text) or [text] for text in texts]
    companions = {fold: np.flatnonzero(folds == fold) for fold in np.unique(folds)}
    made: list[str] = []
    sources: list[tuple[int, int]] = []
    for _ in range(number):
        first = second = chance.randrange(len(texts))
        if chance.random() < SPLICED_SHARE:
            same_fold = companions[folds[first]]
            second = int(same_fold[chance.randrange(len(same_fold))])
            parts = [part for part in clauses[first] + clauses[second] if chance.random() < KEPT_WHEN_SPLICED]
            chance.shuffle(parts)
        elif len(clauses[first]) > 1:
            parts = [part for part in clauses[first] if chance.random() < KEPT_WHEN_DROPPED]
            chance.shuffle(parts)
        else:
            parts = [_cut(texts[first], chance)]
        if text := "".join(map(_apart, parts)).strip():
            made.append(text)
            sources.append((first, second))
    pairs = np.array(sources, dtype=np.int64).reshape(-1, 2)
    return MadeUpTexts(made, folds[pairs[:, 0]], targets[pairs].mean(axis=1))


def broken_up(texts: Sequence[str], seed: int) -> list[str]:
    """The texts with a space after some Chinese or Japanese characters, so that a tokenizer divides them differently.

    What a student learns of a word then does not hang on the one way in which its tokenizer divides it. The same end
    as BPE-dropout (Provilkov, Emelianenko, Voita 2020, arXiv:1910.13267), which cannot be seeded in `tokenizers`.
    """
    chance = random.Random(seed)
    return [UNSPACED.sub(lambda found: found[0] + " " * (chance.random() < BREAKS), text) for text in texts]


def _apart(part: str) -> str:
    """The part, with a space after it if its last word could run into the next one."""
    return part + " " if part[-1].isalnum() else part


def _cut(text: str, chance: random.Random) -> str:
    """Some words in a row of a text without clauses, or some characters of a text without spaces."""
    space = " " if " " in text.strip() else ""
    units = text.split() if space else list(text)
    if len(units) < 4:
        return text
    start = chance.randrange(len(units) // 2)
    return space.join(units[start : chance.randrange(start + 2, len(units) + 1)])
