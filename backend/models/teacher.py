"""A linear teacher: what it believes of texts that it has not seen, as soft targets for the starter model.

Knowledge distillation (Hinton, Vinyals, Dean 2015, arXiv:1503.02531) with a teacher that is cheap and strong on short
texts: the mean of two logistic regressions, one on TF-IDF, one on TF-IDF weighted by naive Bayes log-count ratios
(Wang, Manning 2012, "Baselines and Bigrams"). Where much text has many labels, one regression on single words, some
fifty times cheaper, has to do. It is cross-fitted: no target comes from a teacher that knew the text.
Knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from backend.models.scripts import mostly_unspaced

if TYPE_CHECKING:  # pretrained models have no teacher, and scikit-learn takes a second to import
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FOLDS = 5
MOST_WORK, MOST_THRIFTY_WORK = 3_000_000, 300_000_000
"""Characters times regressions up to which all folds are fitted, in about half a minute, by a teacher of pairs and by
a thrifty one; up to two and a half times as much there are fewer folds. Beyond that there is no teacher: that many
texts teach enough by themselves."""
TEXTS_TO_BE_CHOOSY = 500
"""From so many texts on, n-grams of characters that are in one text only are left out."""
REGULARISATION = (4.0, 2.0)
"""Inverse strength for the plain and for the naive-Bayes-weighted regression."""


@dataclass(frozen=True)
class Lessons:
    """What a teacher has time for."""

    folds: int
    thrifty: bool
    """Whether a regression on single words has to do."""


class Teacher:
    """Linear models, a pair or a thrifty one for each fold, which have not seen the texts of their own fold.

    Args:
        texts: (n) training texts.
        targets: (n, k) zeros and ones.
        lessons: what `plan_lessons` says of these texts.
        multilabel: whether a text may have several labels; otherwise what is believed of a text sums to 1.
        step: called between two fits: the place to raise for a stop.
    """

    def __init__(
        self,
        texts: Sequence[str],
        targets: Floats,
        lessons: Lessons,
        *,
        multilabel: bool,
        seed: int,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self._multilabel = multilabel
        self._kinds = _kinds_of(texts, lessons)
        features = [kind.vectors.fit_transform(texts).tocsr() for kind in self._kinds]
        self.fold = assign_folds(targets, lessons.folds, seed)
        """(n,) number of the fold that each text is in."""
        self.believed = np.empty_like(targets, dtype=np.float64)
        """(n, k) probabilities of the training texts, each by the models that have not seen it."""
        self._models: list[list[_Regression]] = []
        for fold in range(lessons.folds):
            step()
            known, unknown = self.fold != fold, self.fold == fold
            models = [
                _Regression(seen[known], targets[known], multilabel, kind.c, weighted=kind.weighted)
                for kind, seen in zip(self._kinds, features, strict=True)
            ]
            self._models.append(models)
            self.believed[unknown] = self._believe(models, [seen[unknown] for seen in features])

    def label(self, texts: Sequence[str], folds: Integers) -> Floats:
        """(m, k) probabilities of other texts, made of training texts of the folds given for each of them."""
        believed = np.empty((len(texts), self.believed.shape[1]))
        if not texts:
            return believed
        features = [kind.vectors.transform(texts).tocsr() for kind in self._kinds]
        for fold, models in enumerate(self._models):
            if (mine := folds == fold).any():
                believed[mine] = self._believe(models, [seen[mine] for seen in features])
        return believed

    def _believe(self, models: Sequence[_Regression], features: Sequence[Any]) -> Floats:
        each = [model.predict(seen) for model, seen in zip(models, features, strict=True)]
        believed: Floats = np.mean(each, axis=0)
        return believed if self._multilabel else believed / believed.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class _Kind:
    """A regression's features, its inverse regularisation, and whether naive Bayes weights them."""

    vectors: Any
    c: float
    weighted: bool


def _kinds_of(texts: Sequence[str], lessons: Lessons) -> list[_Kind]:
    from sklearn.pipeline import FeatureUnion

    rarest = 2 if len(texts) >= TEXTS_TO_BE_CHOOSY else 1
    if lessons.thrifty:
        terms = _characters(2, rarest) if mostly_unspaced(texts) else _words(1, rarest)
        return [_Kind(terms, REGULARISATION[0], weighted=False)]
    wide = FeatureUnion([("characters", _characters(5, rarest)), ("words", _words(2))])
    return [
        _Kind(wide, REGULARISATION[0], weighted=False),
        _Kind(_characters(3, rarest), REGULARISATION[1], weighted=True),
    ]


class _Regression:
    """Logistic regression, one a label or one for all, on features optionally weighted for each label."""

    def __init__(self, features: Any, targets: Floats, multilabel: bool, c: float, *, weighted: bool) -> None:
        from sklearn.linear_model import LogisticRegression

        self._labels = targets.shape[1]
        self._ratios: list[Floats | None] = []
        self._models: list[LogisticRegression | float] = []
        # Two labels that exclude each other need one regression, of the second against the first.
        self._mirrored = not multilabel and self._labels == 2
        for column in targets.T[1:] if self._mirrored else targets.T:
            ratio = _log_count_ratio(features, column) if weighted else None
            self._ratios.append(ratio)
            if column.min() == column.max():
                self._models.append(float(column[0]))
            else:
                solver = LogisticRegression(C=c, solver="liblinear", max_iter=100)
                self._models.append(solver.fit(_weighted(features, ratio), column))

    def predict(self, features: Any) -> Floats:
        believed = np.empty((features.shape[0], self._labels))
        for number, (model, ratio) in enumerate(zip(self._models, self._ratios, strict=True)):
            if isinstance(model, float):
                column: Any = model
            else:
                column = model.predict_proba(_weighted(features, ratio))[:, 1]
            believed[:, number + self._mirrored] = np.clip(column, 1e-4, 1 - 1e-4)
        if self._mirrored:
            believed[:, 0] = 1 - believed[:, 1]
        return believed


def plan_lessons(texts: Sequence[str], labels: int, multilabel: bool) -> Lessons | None:
    """How many folds of which teacher the work allows; None where any teacher is too dear."""
    regressions = 1 if labels == 2 and not multilabel else labels
    work = sum(map(len, texts)) * regressions
    for thrifty, most in ((False, MOST_WORK), (True, MOST_THRIFTY_WORK)):
        folds = min(len(texts) // 2, int(FOLDS * most / max(work, most)))
        if folds >= 2:
            return Lessons(folds, thrifty)
    return None


def assign_folds(targets: Floats, folds: int, seed: int) -> Integers:
    """(n,) a fold for each text, at random, with every fold having its share of each (first) label."""
    order = np.random.default_rng(seed).permutation(len(targets))
    fold = np.empty(len(targets), dtype=np.int64)
    fold[order[np.argsort(targets[order].argmax(axis=1), kind="stable")]] = np.arange(len(targets)) % max(1, folds)
    return fold


def _characters(longest: int, rarest: int) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer="char", ngram_range=(1, longest), min_df=rarest, sublinear_tf=True, dtype=np.float32
    )


def _words(longest: int, rarest: int = 1) -> TfidfVectorizer:
    from sklearn.feature_extraction.text import TfidfVectorizer

    # One-letter words count too; a token pattern without them would find no word in "a b c".
    return TfidfVectorizer(
        ngram_range=(1, longest),
        token_pattern=r"(?u)\w+|[^\w\s]",
        min_df=rarest,
        sublinear_tf=True,
        dtype=np.float32,
    )


def _log_count_ratio(features: Any, column: Floats) -> Floats:
    present = features.sign()
    with_label = np.asarray(present[column == 1].sum(axis=0)).ravel() + 1.0
    without = np.asarray(present[column == 0].sum(axis=0)).ravel() + 1.0
    ratio: Floats = np.log((with_label / with_label.sum()) / (without / without.sum()))
    return ratio


def _weighted(features: Any, ratio: Floats | None) -> Any:
    if ratio is None:
        return features
    from scipy import sparse
    from sklearn.preprocessing import normalize

    return normalize(features @ sparse.diags(ratio.astype(np.float32)))
