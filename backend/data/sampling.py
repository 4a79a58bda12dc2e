"""Fewer rows than there are, with each label's share kept; and a training part in which labels are balanced."""

from __future__ import annotations

import numpy as np

from backend.data.labelling import LabelledTexts
from backend.data.labels import SAME_SPLIT_ROWS
from backend.data.rows import Indices
from backend.specs import Balance, SampleSpec

Generator = np.random.Generator


def draw(strata: Indices, pool: Indices, share: float, rng: Generator, *, least: int = 1, spare: int = 0) -> Indices:
    """A stratified sample of the pool: ``share`` of it in all, by largest remainder over the strata.

    Each stratum gives at least ``least`` rows, but keeps at least ``spare`` where it has them. (scikit-learn's
    stratified splitting can leave a rare label out of a part altogether, and refuses more labels than sampled rows.)
    """
    present = np.unique(strata[pool])
    members = [pool[strata[pool] == stratum] for stratum in present]
    sizes = np.array([len(rows) for rows in members])
    quota = sizes * share
    most = np.maximum(sizes - spare, 0)
    floor = np.minimum(least, most)
    taken = np.minimum(np.maximum(np.floor(quota).astype(int), least), most)
    total = round(float(share * sizes.sum()))
    while taken.sum() < total and (taken < most).any():
        taken[np.argmax(np.where(taken < most, quota - taken, -np.inf))] += 1
    while taken.sum() > total and (taken > floor).any():
        taken[np.argmin(np.where(taken > floor, quota - taken, np.inf))] -= 1
    drawn = [rng.permutation(rows)[:count] for rows, count in zip(members, taken, strict=True)]
    return np.concatenate(drawn) if drawn else np.empty(0, np.int64)


def sampled(labelled: LabelledTexts, spec: SampleSpec, seed: int) -> LabelledTexts:
    """The rows that the sample keeps, in their order: first every label is capped, then a share of the rest is drawn.

    A label keeps at least three rows, one for each part, where it has them.
    """
    chosen = np.arange(len(labelled), dtype=np.int64)
    rng = np.random.default_rng(seed)
    if spec.cap:
        chosen = _capped(labelled, spec.cap, rng)
    wanted = min(spec.rows or len(chosen), round(spec.share * len(chosen)))
    if wanted < len(chosen):
        share = wanted / len(chosen)
        chosen = draw(labelled.strata, chosen, share, rng, least=SAME_SPLIT_ROWS)
    return labelled if len(chosen) == len(labelled) else labelled.taken(np.sort(chosen))


def _capped(labelled: LabelledTexts, cap: int, rng: Generator) -> Indices:
    order = rng.permutation(len(labelled))
    if labelled.task != "multilabel":
        kept = [order[labelled.strata[order] == label][:cap] for label in range(len(labelled.labels))]
        return np.concatenate(kept)
    # A text of several labels is kept as long as one of its labels still has room.
    room = np.full(len(labelled.labels), cap, dtype=np.int64)
    has = labelled.targets.astype(bool)
    kept_rows = []
    for row in order:
        if (room[has[row]] > 0).any() or not has[row].any():
            kept_rows.append(row)
            room[has[row]] -= 1
    return np.array(kept_rows, dtype=np.int64)


def balanced(labelled: LabelledTexts, train: Indices, how: Balance, seed: int) -> Indices:
    """The training rows with as many of each label: small labels repeated, or large ones cut to the smallest.

    Of a text with several labels its rarest one counts.
    """
    if how == "none" or not len(train):
        return train
    rng = np.random.default_rng(seed)
    strata = labelled.strata[train]
    present, counts = np.unique(strata, return_counts=True)
    wanted = int(counts.max() if how == "oversample" else counts.min())
    parts = []
    for stratum, count in zip(present, counts, strict=True):
        rows = train[strata == stratum]
        if how == "undersample":
            parts.append(rng.permutation(rows)[:wanted])
        else:
            whole, rest = divmod(wanted, int(count))
            parts.append(np.concatenate([np.tile(rows, whole), rng.permutation(rows)[:rest]]))
    return np.sort(np.concatenate(parts))
