"""Several labels in one cell."""

from __future__ import annotations

import pytest

from backend.data.cells import joining
from backend.data.labels import split_cell


@pytest.mark.parametrize(
    ("labels", "preferred", "mark"),
    [
        (["Drama", "Comedy"], "", "|"),
        (["Drama", "Comedy"], ", ", ", "),
        (["Drama, late", "Comedy"], ", ", "|"),
        (["a|b", "c"], "", ";"),
        (["Drama", "Comedy"], "[]", "|"),
    ],
)
def test_labels_are_joined_by_what_none_of_them_holds(labels: list[str], preferred: str, mark: str) -> None:
    assert joining(labels, preferred) == mark
    assert split_cell(joining(labels, preferred).join(labels), mark) == labels
