"""Copies of waimai_10k as people have them: each gives the same table as the clean file, or a named error."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.data import datasets
from backend.data.reading import read_table
from backend.errors import QuoteNeverClosed, TooLarge
from backend.settings import Home
from tests.data.workbooks import ods, xlsx

pytestmark = pytest.mark.data
WAIT_S = 120
Rows = list[list[str]]


@pytest.fixture(scope="module")
def waimai(shared_data: Path) -> Rows:
    """The clean file's rows, the header first."""
    with open(shared_data / "waimai_10k.csv", encoding="utf-8", newline="") as stream:
        # XML, and so a workbook, has no word for the control character that one review begins with.
        return [[cell.replace("\b", "") for cell in row] for row in csv.reader(stream)]


def dump(rows: Rows, delimiter: str = ",", end: str = "\n") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=end).writerows(rows)
    return buffer.getvalue()


def parquet(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    labels, texts = zip(*rows[1:], strict=True)
    pq.write_table(pa.table({rows[0][0]: [int(label) for label in labels], rows[0][1]: list(texts)}), buffer)
    return buffer.getvalue()


def floats(rows: Rows) -> bytes:
    frame = {rows[0][0]: [float(row[0]) for row in rows[1:]], rows[0][1]: [row[1] for row in rows[1:]]}
    buffer = io.BytesIO()
    pq.write_table(pa.table(frame), buffer)
    return buffer.getvalue()


SAME: dict[str, Callable[[Rows], bytes]] = {
    "gb18030.csv": lambda rows: dump(rows).encode("gb18030"),
    "utf16-le.csv": lambda rows: dump(rows).encode("utf-16-le"),
    "utf16-be-mark.csv": lambda rows: b"\xfe\xff" + dump(rows).encode("utf-16-be"),
    "bom.csv": lambda rows: dump(rows).encode("utf-8-sig"),
    "crlf.csv": lambda rows: dump(rows, end="\r\n").encode(),
    "cr.csv": lambda rows: dump(rows, end="\r").encode(),
    "semicolon.csv": lambda rows: dump(rows, ";").encode(),
    "bar.txt": lambda rows: dump(rows, "|").encode(),
    "book.xlsx": lambda rows: xlsx({"Sheet1": rows}),
    "numbers.xlsx": lambda rows: xlsx({"Sheet1": [rows[0], *([float(label), text] for label, text in rows[1:])]}),
    "book.ods": lambda rows: ods({"Sheet1": rows}),
    "table.parquet": parquet,
    "floats.parquet": floats,
    "packed.csv.gz": lambda rows: gzip.compress(dump(rows).encode()),
    "book.xlsx.gz": lambda rows: gzip.compress(xlsx({"Sheet1": rows})),
    "repeated-header.csv": lambda rows: dump([*rows[:5000], rows[0], *rows[5000:]]).encode(),
    "lines.jsonl": lambda rows: "\n".join(json.dumps({"label": int(a), "review": b}) for a, b in rows[1:]).encode(),
}


@pytest.mark.parametrize("name", SAME)
def test_a_copy_in_another_form_is_the_same_table(name: str, waimai: Rows, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(SAME[name](waimai))
    table, _facts = read_table(path)
    assert table.column_names == waimai[0]
    assert [list(row.values()) for row in table.to_pylist()] == waimai[1:]


def test_without_a_header_only_the_names_differ(waimai: Rows, tmp_path: Path) -> None:
    path = tmp_path / "no-header.csv"
    path.write_text(dump(waimai[1:]), encoding="utf-8")
    table, facts = read_table(path)
    assert table.column_names == ["column_1", "column_2"]
    assert [list(row.values()) for row in table.to_pylist()] == waimai[1:]
    assert [note["code"] for note in facts.notes] == ["no_header"]


def test_ragged_rows_are_counted_and_the_others_are_untouched(waimai: Rows, tmp_path: Path) -> None:
    ragged = [list(row) for row in waimai]
    ragged[100].append("too much")
    ragged[200].append("")
    ragged[300] = ragged[300][:1]
    path = tmp_path / "ragged.csv"
    path.write_text(dump(ragged), encoding="utf-8")
    table, facts = read_table(path)
    expected = [row for number, row in enumerate(waimai[1:], 1) if number != 100]
    expected[298] = [expected[298][0], ""]
    assert [[cell or "" for cell in row.values()] for row in table.to_pylist()] == expected
    assert {note["code"]: note["count"] for note in facts.notes} == {"rows_filled_up": 1, "rows_left_out": 1}


def test_a_cell_of_five_megabytes_is_one_cell(waimai: Rows, tmp_path: Path) -> None:
    large = [list(row) for row in waimai]
    large[5000][1] = "长" * 1_700_000
    path = tmp_path / "cell.csv"
    path.write_text(dump(large), encoding="utf-8")
    table, facts = read_table(path)
    assert [list(row.values()) for row in table.to_pylist()] == large[1:]
    assert facts.notes == []


def test_a_stray_quote_is_named_with_its_line(waimai: Rows, tmp_path: Path) -> None:
    lines = dump(waimai).split("\n")
    after = 1 + max(number for number, line in enumerate(lines) if '"' in line)
    lines[after] = lines[after].replace(",", ',"', 1)
    path = tmp_path / "quote.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(QuoteNeverClosed) as raised:
        read_table(path)
    assert raised.value.line == after + 1


# -- through the import, with the report


def imported(home: Home, path: Path) -> dict[str, Any]:
    return datasets.load_profile(home, str(datasets.wait(datasets.start_import(home, path), WAIT_S)["dataset"]))


def labels_of(home: Home, profile: dict[str, Any]) -> Counter[str | None]:
    guess = profile["guess"]
    return Counter(datasets.load_table(home, profile["dataset"], [guess["label"]])[guess["label"]].to_pylist())


def test_copies_have_the_clean_file_s_roles_and_rows(waimai: Rows, home: Home, tmp_path: Path) -> None:
    clean = Counter(row[0] for row in waimai[1:])
    for name in ("gb18030.csv", "numbers.xlsx"):
        path = tmp_path / name
        path.write_bytes(SAME[name](waimai))
        profile = imported(home, path)
        guess = profile["guess"]
        assert (guess["text"], guess["label"], guess["task"]) == ("review", "label", "binary"), name
        assert labels_of(home, profile) == clean, name


@pytest.mark.parametrize(
    ("name", "change", "labels"),
    [
        ("blank", lambda n, label: "" if n % 1000 == 7 else label, {"0", "1", None}),
        ("decimals", lambda _n, label: f"{label}.0", {"0.0", "1.0"}),
        ("variants", lambda n, label: ["差评", "好评 "][int(label)] if n % 2 else ["差评 ", "好评"][int(label)], None),
        ("one-class", lambda _n, _label: "1", {"1"}),
        ("singleton", lambda n, label: "9" if n == 5 else label, {"0", "1", "9"}),
    ],
)
def test_odd_labels_come_in_as_they_are_and_keep_their_role(
    name: str,
    change: Callable[[int, str], str],
    labels: set[str | None] | None,
    waimai: Rows,
    home: Home,
    tmp_path: Path,
) -> None:
    rows = [waimai[0], *([change(n, label), text] for n, (label, text) in enumerate(waimai[1:]))]
    path = tmp_path / f"{name}.csv"
    path.write_text(dump(rows), encoding="utf-8")
    profile = imported(home, path)
    assert (profile["rows"], profile["guess"]["text"], profile["guess"]["label"]) == (11987, "review", "label")
    found = set(labels_of(home, profile))
    assert found == labels if labels is not None else {label.strip() for label in found if label} == {"差评", "好评"}


# -- every real data set


REAL: dict[tuple[str, ...], dict[str, Any]] = {
    ("waimai_10k.csv",): {"rows": 11987, "text": "review", "label": "label", "task": "binary"},
    ("online_shopping_10_cats.zip",): {"rows": 62774, "text": "review", "label": "label", "task": "binary"},
    ("anime_no_adult.csv",): {"rows": 8582, "text": "synopsis", "label": "genres", "task": "multilabel"},
    ("mbti_1.csv",): {"rows": 99, "text": "posts", "label": "type", "task": "multiclass"},
    ("goemotions/train.tsv", "goemotions/dev.tsv", "goemotions/test.tsv", "goemotions/labels.txt"): {
        "rows": 54263,
        "text": "column_1",
        "label": "column_2",
        "task": "multilabel",
        "given_split": "split",
        "names": 28,
    },
    ("trec/train_5500.label", "trec/TREC_10.en.label"): {
        "rows": 5943,
        "text": "text",
        "label": "label",
        "task": "multiclass",
        "given_split": "split",
    },
    ("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv"): {
        "rows": 9613,
        "text": "column_1",
        "label": "column_2",
        "task": "binary",
        "given_split": "split",
    },
    ("sst2/train.tsv",): {"rows": 6920, "text": "column_1", "label": "column_2", "task": "binary"},
}


@pytest.mark.parametrize("names", REAL, ids=lambda names: names[0])
def test_every_real_data_set_goes_in_by_drop_alone(names: tuple[str, ...], home: Home, shared_data: Path) -> None:
    expected = REAL[names]
    files = [datasets.SourceFile(shared_data / name, Path(name).name) for name in names]
    result = datasets.wait(datasets.start_import(home, files), WAIT_S)
    profile = datasets.load_profile(home, str(result["dataset"]))
    guess = profile["guess"]
    assert profile["rows"] == expected["rows"]
    assert (guess["text"], guess["label"], guess["task"]) == (expected["text"], expected["label"], expected["task"])
    assert profile["given_split"] == expected.get("given_split")
    assert len(profile["label_names"]) == expected.get("names", 0)


def test_a_parquet_file_that_holds_gigabytes_is_refused(home: Home, tmp_path: Path) -> None:
    """Two megabytes of dictionary indices, each to a text of a megabyte: 20 GB of text."""
    path = tmp_path / "bomb.parquet"
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 20_000, pa.int32()), pa.array(["长" * 350_000]))
    pq.write_table(pa.table({"text": texts, "label": ["1", "2"] * 10_000}), path)
    assert path.stat().st_size < 2_000_000
    with pytest.raises(TooLarge):
        imported(home, path)
    assert list(home.datasets.iterdir()) == []
