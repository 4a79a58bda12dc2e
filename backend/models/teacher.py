"""A linear teacher: what it believes of texts that it has not seen, as soft targets for the starter model.

Knowledge distillation (Hinton, Vinyals, Dean 2015, arXiv:1503.02531) with a teacher that is cheap: logistic regression
on TF-IDF features, cross-fitted so that no target comes from a teacher that knew the text's label.
Knows nothing of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def build_features() -> FeatureUnion:
    """TF-IDF of character 1- to 5-grams and word 1- to 2-grams: good for Chinese and for spaced languages alike."""
    characters = TfidfVectorizer(analyzer="char", ngram_range=(1, 5), min_df=2, sublinear_tf=True, dtype=np.float32)
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32)
    return FeatureUnion([("characters", characters), ("words", words)])


@dataclass(frozen=True)
class SoftTargets:
    """What cross-fitted teachers believe of the training texts."""

    probabilities: Floats
    """(n, k): of every text, by the teacher that has not seen it. Rows sum to 1 unless the task is multi-label."""
    fold: Integers
    """(n,): which teacher that was, or 0 for all where there was too little to divide."""


def cross_fitted_targets(
    texts: list[str], targets: npt.NDArray[np.generic], num_labels: int, folds: int, seed: int
) -> SoftTargets:
    """Soft targets from ``folds`` teachers, each trained on the texts outside of its fold.

    Args:
        targets: (n,) label numbers, or (n, k) zeros and ones for a multi-label task.
    """
    one_hot = as_matrix(targets, num_labels)
    number = len(texts)
    folds = min(folds, number // 2)
    if folds < 2:
        return SoftTargets(one_hot, np.zeros(number, dtype=np.int64))
    try:
        features = csr_matrix(build_features().fit_transform(texts))
    except ValueError:  # nothing left to count: every n-gram occurs once, or there is no word
        return SoftTargets(one_hot, np.zeros(number, dtype=np.int64))
    order = np.random.default_rng(seed).permutation(number)
    fold = np.empty(number, dtype=np.int64)
    # Sorted by label within a random order: dealing them out in turn gives every fold its share of each label.
    fold[order[np.argsort(one_hot[order].argmax(axis=1), kind="stable")]] = np.arange(number) % folds
    believed = np.zeros((number, num_labels))
    for held_out in range(folds):
        known, unknown = fold != held_out, fold == held_out
        believed[unknown] = _fit_and_predict(features[known], targets[known], features[unknown], num_labels)
    return SoftTargets(believed, fold)


def as_matrix(targets: npt.NDArray[np.generic], num_labels: int) -> Floats:
    """Hard targets as an (n, k) matrix of zeros and ones, whatever the task."""
    return np.eye(num_labels)[targets.astype(np.int64)] if targets.ndim == 1 else targets.astype(np.float64)


def _fit_and_predict(
    known: csr_matrix, targets: npt.NDArray[np.generic], unknown: csr_matrix, num_labels: int
) -> Floats:
    believed = np.zeros((unknown.shape[0], num_labels))
    if targets.ndim == 2:
        for label in range(num_labels):
            believed[:, [label]] = _fit_and_predict(known, targets[:, label], unknown, 2)[:, 1:]
        return believed
    present = np.unique(targets).astype(np.int64)
    if len(present) == 1:
        believed[:, present[0]] = 1.0
        return believed
    believed[:, present] = LogisticRegression(C=4.0, max_iter=200).fit(known, targets).predict_proba(unknown)
    return believed
