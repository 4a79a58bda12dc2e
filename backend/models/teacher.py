"""A linear teacher: what it believes of texts that it has not seen, as soft targets for the starter model.

Knowledge distillation (Hinton, Vinyals, Dean 2015, arXiv:1503.02531) with a teacher that is cheap and strong on short
texts: the mean of two logistic regressions, one on TF-IDF, one on TF-IDF weighted by naive Bayes log-count ratios
(Wang, Manning 2012, "Baselines and Bigrams"). It is cross-fitted: no target comes from a teacher that knew the text.
Knows nothing of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import normalize

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

FOLDS = 5
MOST_WORK = 3_000_000
"""Characters times regressions up to which all folds are fitted, in about half a minute; up to two and a half times
as much there are fewer folds, and beyond that there is no teacher: that many texts teach enough by themselves."""
TEXTS_TO_BE_CHOOSY = 500
"""From so many texts on, n-grams of characters that are in one text only are left out."""
REGULARISATION = (4.0, 2.0)
"""Inverse strength for the plain and for the naive-Bayes-weighted regression."""


class Teacher:
    """Linear models, one pair a fold, each of which has not seen the texts of its own fold.

    Args:
        texts: (n) training texts.
        targets: (n, k) zeros and ones.
        multilabel: whether a text may have several labels; otherwise what is believed of a text sums to 1.
        step: called between two fits: the place to raise for a stop.
    """

    def __init__(
        self,
        texts: Sequence[str],
        targets: Floats,
        *,
        multilabel: bool,
        seed: int,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self._multilabel = multilabel
        rarest = 2 if len(texts) >= TEXTS_TO_BE_CHOOSY else 1
        self._wide = FeatureUnion([("characters", _characters(5, rarest)), ("words", _words())])
        self._narrow = _characters(3, rarest)
        wide, narrow = self._wide.fit_transform(texts).tocsr(), self._narrow.fit_transform(texts)
        folds = number_of_folds(texts, targets.shape[1], multilabel)
        self.fold = assign_folds(targets, folds, seed)
        """(n,) number of the fold that each text is in."""
        self.believed = np.empty_like(targets, dtype=np.float64)
        """(n, k) probabilities of the training texts, each by the models that have not seen it."""
        self._models: list[tuple[_Regression, _Regression]] = []
        for fold in range(folds):
            step()
            known, unknown = self.fold != fold, self.fold == fold
            pair = (
                _Regression(wide[known], targets[known], multilabel, REGULARISATION[0], weighted=False),
                _Regression(narrow[known], targets[known], multilabel, REGULARISATION[1], weighted=True),
            )
            self._models.append(pair)
            self.believed[unknown] = self._believe(pair, wide[unknown], narrow[unknown])

    def label(self, texts: Sequence[str], folds: Integers) -> Floats:
        """(m, k) probabilities of other texts, made of training texts of the folds given for each of them."""
        believed = np.empty((len(texts), self.believed.shape[1]))
        wide, narrow = self._wide.transform(texts).tocsr(), self._narrow.transform(texts)
        for fold, pair in enumerate(self._models):
            if (mine := folds == fold).any():
                believed[mine] = self._believe(pair, wide[mine], narrow[mine])
        return believed

    def _believe(self, pair: tuple[_Regression, _Regression], wide: Any, narrow: Any) -> Floats:
        believed: Floats = (pair[0].predict(wide) + pair[1].predict(narrow)) / 2
        return believed if self._multilabel else believed / believed.sum(axis=1, keepdims=True)


class _Regression:
    """Logistic regression, one a label or one for all, on features optionally weighted for each label."""

    def __init__(self, features: Any, targets: Floats, multilabel: bool, c: float, *, weighted: bool) -> None:
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


def number_of_folds(texts: Sequence[str], labels: int, multilabel: bool) -> int:
    """How many folds the work allows: fewer for much text with many labels, and 0 where a teacher is too dear."""
    regressions = 1 if labels == 2 and not multilabel else labels
    work = sum(map(len, texts)) * regressions
    allowed = min(len(texts) // 2, int(FOLDS * MOST_WORK / max(work, MOST_WORK)))
    return allowed if allowed >= 2 else 0


def assign_folds(targets: Floats, folds: int, seed: int) -> Integers:
    """(n,) a fold for each text, at random, with every fold having its share of each (first) label."""
    order = np.random.default_rng(seed).permutation(len(targets))
    fold = np.empty(len(targets), dtype=np.int64)
    fold[order[np.argsort(targets[order].argmax(axis=1), kind="stable")]] = np.arange(len(targets)) % max(1, folds)
    return fold


def _characters(longest: int, rarest: int) -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char", ngram_range=(1, longest), min_df=rarest, sublinear_tf=True, dtype=np.float32
    )


def _words() -> TfidfVectorizer:
    # One-letter words count too; a token pattern without them would find no word in "a b c".
    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\w+|[^\w\s]", sublinear_tf=True, dtype=np.float32)


def _log_count_ratio(features: Any, column: Floats) -> Floats:
    present = features.sign()
    with_label = np.asarray(present[column == 1].sum(axis=0)).ravel() + 1.0
    without = np.asarray(present[column == 0].sum(axis=0)).ravel() + 1.0
    ratio: Floats = np.log((with_label / with_label.sum()) / (without / without.sum()))
    return ratio


def _weighted(features: Any, ratio: Floats | None) -> Any:
    return features if ratio is None else normalize(features @ sparse.diags(ratio.astype(np.float32)))
