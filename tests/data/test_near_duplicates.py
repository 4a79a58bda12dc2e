"""Near-duplicates are those that comparing each text with every other finds; they can be stopped, and are bounded."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from backend.data import near_duplicates, sketches
from backend.data.near_duplicates import jaccard, near
from backend.data.report.rows import untold
from backend.data.rows import TextRows
from backend.data.sketches import bands_for, shingles

SAID = "the service was slow but food came warm and i would order again maybe not on friday"
ENGLISH = [*SAID.split()]
CHINESE = [*"的一是了我不人在他有这上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能"]


def rows_of(texts: list[str]) -> TextRows:
    half = len(texts) // 2  # in two pieces, as long tables are
    column = pa.chunked_array([pa.array(texts[:half], pa.string()), pa.array(texts[half:], pa.string())])
    return TextRows(column, pa.chunked_array([pa.nulls(len(texts), pa.string())]), np.arange(len(texts)))


def drawn(language: str, count: int = 400) -> list[str]:
    """Texts of which half are others with a letter or two changed, left out or added."""
    rng = np.random.default_rng(7)
    if language == "zh":
        texts = ["".join(rng.choice(CHINESE, rng.integers(1, 40))) for _ in range(count // 2)]
    else:
        texts = [" ".join(rng.choice(ENGLISH, rng.integers(1, 20))) for _ in range(count // 2)]
    for _ in range(count // 2):
        letters = [*texts[rng.integers(len(texts))]]
        for _ in range(rng.integers(1, 3)):
            at = rng.integers(len(letters) + 1)
            letters[at : at + rng.integers(2)] = ["啊"] if rng.random() < 0.5 else []
        texts.append("".join(letters))
    return texts


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.9, 1.0])
def test_what_is_left_out_is_what_comparing_all_with_all_leaves_out(language: str, threshold: float) -> None:
    texts = drawn(language)
    pieces = [shingles(text) for text in texts]
    kept: list[int] = []
    for row in range(len(texts)):
        if not texts[row].strip() or all(jaccard(pieces[row], pieces[other]) < threshold for other in kept):
            kept.append(row)
    found = near(rows_of(texts), threshold, untold)
    left_out = np.flatnonzero(~found.keep)
    for row in left_out:
        assert any(jaccard(pieces[row], pieces[o]) >= threshold for o in np.flatnonzero(found.keep) if o < row), row
    differing = set(np.flatnonzero(found.keep).tolist()) ^ set(kept)
    assert len(left_out) > 20
    assert len(differing) <= 0.02 * len(texts)
    assert [pair.similarity for pair in found.pairs] == sorted(pair.similarity for pair in found.pairs)
    for pair in found.pairs:
        assert pair.kept < pair.row
        assert pair.similarity == jaccard(pieces[pair.row], pieces[pair.kept]) >= threshold


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8, 0.9, 0.99, 1.0])
def test_the_bands_find_texts_at_the_threshold_and_few_below(threshold: float) -> None:
    bands, width = bands_for(threshold)
    assert bands * width <= sketches.PERMUTATIONS
    assert 1 - (1 - threshold**width) ** bands >= sketches.LEAST_RECALL
    assert 1 - (1 - (threshold / 2) ** width) ** bands < 0.75


def test_sketches_do_not_depend_on_what_else_is_sketched(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["", " ", "a", "很好", "ab cd", *drawn("zh", 40), *drawn("en", 40)]
    together = np.concatenate(list(sketches.sketched(texts)))
    monkeypatch.setattr(sketches, "CHARACTERS_AT_ONCE", 1)
    assert (together == np.concatenate(list(sketches.sketched(texts)))).all()


def test_many_texts_of_one_pattern_do_not_all_have_to_be_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MOST_IN_A_BUCKET", 4)
    texts = [f"your order {n * 7919:07d} has been sent and will be there soon" for n in range(300)]
    texts.append(texts[0].replace("soon", "soon!"))
    found = near(rows_of(texts), 0.9, untold)
    assert np.flatnonzero(~found.keep).tolist() == [300]


def test_the_search_tells_how_far_it_is_and_can_be_stopped_in_either_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "TEXTS_AT_ONCE", 50)
    texts = drawn("en")
    told: list[tuple[int, int]] = []
    near(rows_of(texts), 0.9, lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert len({total for _done, total in told}) == 1
    for part in (0.25, 0.75):

        def stop(done: int, total: int, part: float = part) -> None:
            if done >= part * total:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            near(rows_of(texts), 0.9, stop)
