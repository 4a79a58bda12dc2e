"""The training, validation and test parts of labelled texts: stratified, by group, as given, or by time. No torch.

scikit-learn, which takes two seconds to import, is only imported where parts are drawn by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from backend.data.labelling import LabelledTexts, prepare
from backend.data.labels import SAME_SPLIT_ROWS
from backend.data.parts import part_named
from backend.data.rows import Indices, Mask, first_rows
from backend.data.sampling import balanced, draw
from backend.errors import FoldMissing, FoldsNotPossible, GroupsTooFew, PartEmpty, PartsUnknown, TimeUnreadable
from backend.specs import SampleSpec, SplitSpec

__all__ = ["Division", "LabelledTexts", "Splits", "divide", "prepare", "split"]

TRAIN, VALIDATION, TEST = range(3)
PARTS = ("train", "validation", "test")
LEFT_OUT = 3
MOST_GROUPS = 20_000
"""Groups that are stratified: dealing them out one by one is slow, and of more a random draw is as even."""
LEAST_TIMES = 0.5
"""Share of the rows whose time must be readable."""
NAMED = 20

Cells = Sequence[str | None]
Note = dict[str, Any]


@dataclass(frozen=True)
class Splits:
    """Sets of indices into the labelled texts, ascending; no text of one part is in another.

    Only where the training part is oversampled does an index stand in it more than once.
    """

    train: Indices
    validation: Indices
    test: Indices


@dataclass(frozen=True)
class Division:
    """The parts, how they came about, and ``{"code", "facts"}`` of what the user should know of them."""

    splits: Splits
    method: str
    notes: list[Note] = field(default_factory=list)


def split(labelled: LabelledTexts, spec: SplitSpec) -> Splits:
    """The parts of `divide`, without anything given."""
    return divide(labelled, spec).splits


def divide(
    labelled: LabelledTexts, spec: SplitSpec, sample: SampleSpec | None = None, cells: Cells | None = None
) -> Division:
    """Divide the rows, the same way for the same seed; ``cells`` is the column that the split goes by, if any.

    Rows with one and the same text stay together, or the test would ask what training was told, and each label has
    its share in each part: nearly, and never less than one row. A label with fewer than three texts goes to training.
    By group, as given, and by time the column decides instead; what that costs is said in the notes. Only there can a
    text stand in two parts: with ``spec.overlap`` it is left out of the one that is not asked about.

    Raises:
        PartsUnknown, TimeUnreadable, GroupsTooFew: the column does not say what the method asks of it.
        FoldsNotPossible, FoldMissing: folds of parts that are not drawn, or no such fold.
        PartEmpty: nothing is left for a part.
    """
    _check_folds(spec, cells)
    if cells is None:
        method, notes = "stratified", list[Note]()
        part_of = _stratified(labelled, np.arange(len(labelled)), spec)
    else:
        method = "given" if spec.method == "auto" else spec.method
        by = {"group": _by_group, "given": _as_given, "time": _by_time}[method]
        part_of, notes = by(labelled, cells, spec)
        if spec.overlap == "drop":
            notes = [*notes, *_without_overlap(labelled, part_of)]
    parts = [np.flatnonzero(part_of == part) for part in range(3)]
    for name, rows in zip(PARTS, parts, strict=True):
        if not len(rows):
            raise PartEmpty(part=name)
    train = balanced(labelled, parts[TRAIN], sample.balance if sample else "none", spec.seed)
    splits = Splits(train, parts[VALIDATION], parts[TEST])
    return Division(splits, method, [*notes, *_told(labelled, splits)])


def _check_folds(spec: SplitSpec, cells: Cells | None) -> None:
    if spec.folds < 2:
        return
    if cells is not None and spec.method != "group":
        raise FoldsNotPossible(method="given" if spec.method == "auto" else spec.method)
    if spec.fold > spec.folds:
        raise FoldMissing(fold=spec.fold, folds=spec.folds)


def _told(labelled: LabelledTexts, splits: Splits) -> list[Note]:
    notes: list[Note] = []
    counts = {name: labelled.counts(getattr(splits, name)) for name in PARTS}
    untrained = [label for label, count in counts["train"].items() if not count]
    untested = [label for label, count in counts["test"].items() if not count and label not in untrained]
    if untested:
        notes.append(_note("untested_labels", count=len(untested), labels=untested[:NAMED]))
    if untrained:
        notes.append(_note("untrained_labels", count=len(untrained), labels=untrained[:NAMED]))
    sides = [np.unique(labelled.keys[getattr(splits, name)]) for name in PARTS]
    repeated = len(np.concatenate(sides)) - len(np.unique(np.concatenate(sides)))
    if repeated:
        notes.append(_note("texts_in_two_parts", count=repeated))
    return notes


def _without_overlap(labelled: LabelledTexts, part_of: Indices) -> list[Note]:
    """Mark as left out what stands again in a later part, so that no part asks what an earlier one was told."""
    known = labelled.keys[part_of == TEST]
    counts = {}
    for part in (VALIDATION, TRAIN):
        rows = np.flatnonzero(part_of == part)
        again = rows[np.isin(labelled.keys[rows], known)]
        part_of[again] = LEFT_OUT
        counts[PARTS[part]] = len(again)
        known = np.concatenate([known, labelled.keys[rows]])
    return [_note("overlap_left_out", **counts)] if any(counts.values()) else []


def _note(code: str, **facts: Any) -> Note:
    return {"code": code, "facts": facts}


# ------------------------------------------------------------------------------------------------ stratified


def _stratified(labelled: LabelledTexts, pool: Indices, spec: SplitSpec) -> Indices:
    """The part of each row of the pool; rows of one text together."""
    firsts, unit_of = first_rows(labelled.keys[pool])
    units = labelled.taken(pool[firsts]) if len(firsts) < len(labelled) else labelled
    rng = np.random.default_rng(spec.seed)
    part_of = np.zeros(len(units), dtype=np.int64)
    open_units = np.flatnonzero(~_rare(units))
    part_of[_take(units, open_units, spec, rng)] = TEST
    rest = np.flatnonzero(~_rare(units) & (part_of == TRAIN))
    part_of[_share(units, rest, spec.validation_share, spec.seed, rng, spare=1)] = VALIDATION
    _teach_every_label(units, part_of)
    return part_of[unit_of]


def _rare(units: LabelledTexts) -> Mask:
    """(units,) whether a text has a label with too few texts to stand in every part."""
    if units.task == "multilabel":
        few = units.targets.sum(axis=0) < SAME_SPLIT_ROWS
        rare = np.asarray((units.targets[:, few] > 0).any(axis=1))
    else:
        counts = np.bincount(units.targets, minlength=len(units.labels))
        rare = (counts < SAME_SPLIT_ROWS)[units.targets]
    return rare


def _take(units: LabelledTexts, pool: Indices, spec: SplitSpec, rng: np.random.Generator) -> Indices:
    if spec.folds < 2:
        return _share(units, pool, spec.test_share, spec.seed, rng, spare=2)
    if len(pool) < spec.folds:
        raise PartEmpty(part="test")
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
    from sklearn.model_selection import StratifiedKFold

    kind = MultilabelStratifiedKFold if units.task == "multilabel" else StratifiedKFold
    folds = kind(n_splits=spec.folds, shuffle=True, random_state=spec.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a label with fewer texts than folds: said in the notes
        return pool[_fold(folds.split(pool, units.targets[pool]), spec.fold)]


def _fold(folds: Any, number: int) -> Indices:
    found: Indices = list(folds)[number - 1][1]
    return found


def _share(
    units: LabelledTexts, pool: Indices, share: float, seed: int, rng: np.random.Generator, *, spare: int
) -> Indices:
    if not len(pool):
        return pool
    if units.task != "multilabel":
        return draw(units.strata, pool, share, rng, spare=spare)
    size = max(1, round(share * len(pool)))
    if len(pool) - size < 1:
        return pool[:0]
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    # Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data, ECML PKDD 2011.
    drawn = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=size / len(pool), random_state=seed)
    found: Indices = pool[next(drawn.split(pool, units.targets[pool]))[1]]
    return found


def _teach_every_label(units: LabelledTexts, part_of: Indices) -> None:
    """Move a text to training for each label that would else only be asked for."""
    if units.task != "multilabel":
        return
    trained = units.targets[part_of == TRAIN].sum(axis=0)
    for label in np.flatnonzero((trained == 0) & (units.targets.sum(axis=0) > 0)):
        part_of[np.flatnonzero(units.targets[:, label] > 0)[0]] = TRAIN


# ------------------------------------------------------------------------------------------------ by a column


def _by_group(labelled: LabelledTexts, cells: Cells, spec: SplitSpec) -> tuple[Indices, list[Note]]:
    """No group stands on two sides. A row without a group is one of its own."""
    values = pd.Series(list(cells), dtype=object).map(lambda cell: cell.strip() if cell else None)
    groups, named = pd.factorize(values.mask(values == ""))
    alone = np.flatnonzero(groups < 0)
    groups[alone] = len(named) + np.arange(len(alone))
    if len(named) + len(alone) < 3:
        raise GroupsTooFew(column=spec.column, groups=len(named) + len(alone))
    part_of = np.zeros(len(labelled), dtype=np.int64)
    test = spec.folds if spec.folds > 1 else spec.test_share
    part_of[_groups(labelled, np.arange(len(labelled)), groups, test, spec.seed, spec.fold)] = TEST
    rest = np.flatnonzero(part_of == TRAIN)
    part_of[_groups(labelled, rest, groups, spec.validation_share, spec.seed, 1)] = VALIDATION
    return part_of, []


def _groups(labelled: LabelledTexts, pool: Indices, groups: Indices, wanted: float, seed: int, first: int) -> Indices:
    """The rows of about a share of the groups (or of one of so many folds), with each label's share kept."""
    among, count = groups[pool], len(np.unique(groups[pool]))
    taken, folds = (1, int(wanted)) if wanted >= 2 else _as_folds(wanted)
    if folds > count:
        taken, folds = max(1, min(count - 1, round(count * taken / folds))), count
    if folds < 2:
        return pool[:0]
    if count > MOST_GROUPS:
        share = taken / folds
        return pool[np.isin(among, _random_groups(among, share, seed + first))]
    from sklearn.model_selection import StratifiedGroupKFold

    strata = labelled.strata[pool]
    if np.bincount(strata).max() < folds:
        strata = np.zeros_like(strata)  # too few rows of any label to keep shares
    kind = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = [rows for _rest, rows in kind.split(pool, strata, among)]
    chosen = [made[(first - 1 + i) % folds] for i in range(taken)]
    found: Indices = pool[np.sort(np.concatenate(chosen))]
    return found


def _as_folds(share: float) -> tuple[int, int]:
    near = Fraction(share).limit_denominator(20)
    return (near.numerator, near.denominator) if near.numerator else (1, round(1 / share))


def _random_groups(groups: Indices, share: float, seed: int) -> Indices:
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    upto = int(np.searchsorted(np.cumsum(sizes[order]), share * len(groups))) + 1
    chosen: Indices = names[order[:upto]]
    return chosen


def _as_given(labelled: LabelledTexts, cells: Cells, spec: SplitSpec) -> tuple[Indices, list[Note]]:
    """The parts that the column names; a missing validation or test part is drawn from training."""
    said = [(cell or "").strip().casefold() for cell in cells]
    numbers = {name: PARTS.index(known) if (known := part_named(name)) else -1 for name in set(said)}
    part_of = np.array([numbers[name] for name in said], dtype=np.int64)
    if not (part_of == TRAIN).any():
        values = sorted({name for name in said if name})[:NAMED]
        raise PartsUnknown(column=spec.column, values=values)
    notes = []
    unknown = np.flatnonzero(part_of < 0)
    if len(unknown):
        values = sorted({said[i] or "∅" for i in unknown})[:NAMED]
        notes.append(_note("unknown_parts", count=len(unknown), values=values))
    for part, share in ((TEST, spec.test_share), (VALIDATION, spec.validation_share)):
        if (part_of == part).any():
            continue
        pool = np.flatnonzero(part_of == TRAIN)
        drawn = _stratified(labelled, pool, spec.model_copy(update={"test_share": share, "folds": 0}))
        part_of[pool[drawn == TEST]] = part
        notes.append(_note(f"drawn_{PARTS[part]}", count=int((part_of == part).sum())))
    return part_of, notes


def _by_time(labelled: LabelledTexts, cells: Cells, spec: SplitSpec) -> tuple[Indices, list[Note]]:
    """The latest rows are the test, those before them validation; rows without a time are trained on."""
    times = read_times(cells)
    known = np.flatnonzero(~np.isnan(times))
    if len(known) < LEAST_TIMES * len(cells):
        shown = [cell for cell in cells if cell][:5]
        raise TimeUnreadable(column=spec.column, examples=shown)
    order = known[np.argsort(times[known], kind="stable")]
    test = max(1, round(spec.test_share * len(labelled)))
    validation = max(1, round(spec.validation_share * (len(labelled) - test)))
    part_of = np.zeros(len(labelled), dtype=np.int64)
    part_of[order[-test:]] = TEST
    part_of[order[-test - validation : -test]] = VALIDATION
    missing = len(cells) - len(known)
    return part_of, [_note("no_time", count=missing)] if missing else []


def read_times(cells: Cells) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The cells as seconds since 1970 or, where most are plain numbers, as those; NaN for what is neither."""
    column = pd.Series(list(cells), dtype=object)
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().mean() >= LEAST_TIMES:
        return numbers.to_numpy(dtype=np.float64)
    parsed = pd.to_datetime(column, errors="coerce", utc=True, format="mixed")
    seconds = parsed.astype("datetime64[ns, UTC]").astype("int64").to_numpy(dtype=np.float64) / 1e9
    return np.where(parsed.isna(), np.nan, seconds)
