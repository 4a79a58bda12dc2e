"""Semantic de-duplication: with an encoder of a Hub, in blocks of any size, and as far as memory goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from backend.data import semantic
from backend.data.report.rows import untold
from backend.data.rows import TextRows
from backend.machine import usable_memory
from tests.hub_standin import HubStandIn
from tests.tiny_models import make_tiny

TEXTS = [
    "the delivery was late and the box was open",
    "a screen with bright colours and a loud speaker",
    "THE DELIVERY was late, and the box was open",
    "nobody answers the phone on a sunday morning",
    "the delivery was late and the box was open!",
    "a screen with bright colours, and a loud speaker",
]


def rows_of(texts: list[str]) -> TextRows:
    half = len(texts) // 2
    column = pa.chunked_array([pa.array(texts[:half], pa.string()), pa.array(texts[half:], pa.string())])
    return TextRows(column, pa.chunked_array([pa.nulls(len(texts), pa.string())]), np.arange(len(texts)))


@pytest.fixture
def hub(hub: HubStandIn, tmp_path: Path) -> HubStandIn:
    """A Hub that has an encoder."""
    hub.serve_folder("someone/encoder", make_tiny(tmp_path / "encoder", "bert", TEXTS))
    return hub


def test_an_encoder_of_the_hub_is_downloaded_once_and_used(hub: HubStandIn, tmp_path: Path) -> None:
    found = semantic.semantic(rows_of(TEXTS), 0.98, "someone/encoder", tmp_path / "embeddings", untold)
    assert found.notes == []
    assert not found.keep[[2, 4]].any()
    assert found.keep[[0, 1, 3]].all()
    assert {pair.kept for pair in found.pairs if pair.row in (2, 4)} == {0}
    asked = len(hub.asked)
    again = semantic.semantic(rows_of(TEXTS[:4]), 0.98, "someone/encoder", tmp_path / "embeddings", untold)
    assert again.keep.tolist() == found.keep[:4].tolist()
    assert len(hub.asked) == asked, "it was asked for again"


def test_an_encoder_that_the_hub_does_not_have_is_said(hub: HubStandIn) -> None:
    found = semantic.semantic(rows_of(TEXTS), 0.9, "someone/nothing", None, untold)
    assert found.notes == [{"code": "no_encoder", "facts": {"encoder": "someone/nothing"}}]


def test_what_is_left_out_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    encoder = str(make_tiny(tmp_path / "encoder", "bert", TEXTS))
    words, rng = np.array(" ".join(TEXTS).split()), np.random.default_rng(3)
    texts = [" ".join(rng.choice(words, 12)) for _ in range(150)]
    texts += [" ".join(rng.permutation(text.split())) for text in texts[:30]]
    told: list[tuple[int, int]] = []

    def left_out(at_once: int) -> list[int]:
        monkeypatch.setattr(semantic, "TEXTS_AT_ONCE", at_once)
        told.clear()
        rows = rows_of(texts)
        found = semantic.semantic(rows, 0.999, encoder, None, lambda done, total: told.append((done, total)))
        assert told == sorted(told)
        return np.flatnonzero(~found.keep).tolist()

    whole = left_out(1024)
    assert 10 < len(whole) < len(texts) - 10
    assert left_out(7) == whole


def test_more_texts_than_memory_holds_are_kept_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    total = usable_memory()
    monkeypatch.setattr(semantic, "MEMORY_SHARE", 4.5 * semantic.GRAPH_BYTES / total)
    encoder = str(make_tiny(tmp_path / "encoder", "bert", TEXTS))
    found = semantic.semantic(rows_of(TEXTS), 0.98, encoder, None, untold)
    assert [(note["code"], note["facts"]["texts"], note["facts"]["rows"]) for note in found.notes] == [
        ("compared_in_memory", 4, 6)
    ]
    assert found.keep[4:].all()
    assert not found.keep[2]


def test_a_block_of_repeats_alone_is_left_out_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(semantic, "TEXTS_AT_ONCE", 2)
    encoder = str(make_tiny(tmp_path / "encoder", "bert", TEXTS))
    shouted = [TEXTS[0], TEXTS[1], TEXTS[0].upper(), TEXTS[1].upper(), TEXTS[3]]
    found = semantic.semantic(rows_of(shouted), 0.999, encoder, None, untold)
    assert found.keep.tolist() == [True, True, False, False, True]
