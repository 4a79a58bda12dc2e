"""Every format and encoding gives the same table, and what is no table is refused by name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backend.data.datasets import samples
from backend.data.reading import read_table
from backend.errors import FileEmpty, FileMissing, FormatUnknown, NotATable, QuoteNeverClosed, StudioError, TooLarge

Rows = list[list[str]]
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489") + bytes(range(256)) * 8


def dump(rows: Rows, delimiter: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()


def records(rows: Rows) -> list[dict[str, str]]:
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def zipped(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._" + name, b"clutter")
    return buffer.getvalue()


def parquet(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    columns = [list(cells) for cells in zip(*rows[1:], strict=True)]
    pq.write_table(pa.table(dict(zip(rows[0], columns, strict=True))), buffer)
    return buffer.getvalue()


VARIANTS = {
    "bom.csv": lambda rows: dump(rows).encode("utf-8-sig"),
    "gb18030.csv": lambda rows: dump(rows).encode("gb18030"),
    "utf16.csv": lambda rows: dump(rows).encode("utf-16"),
    "utf16-no-mark.csv": lambda rows: dump(rows).encode("utf-16-le"),
    "crlf.csv": lambda rows: dump(rows, end="\r\n").encode(),
    "semicolon.csv": lambda rows: dump(rows, ";").encode(),
    "tab.tsv": lambda rows: dump(rows, "\t").encode(),
    "bar.txt": lambda rows: dump(rows, "|").encode(),
    "quoted.csv": lambda rows: dump(rows, quoting=csv.QUOTE_ALL).encode(),
    "excel-tab-utf16.txt": lambda rows: dump(rows, "\t", "\r\n").encode("utf-16"),
    "nul.csv": lambda rows: dump(rows).replace("\n", "\0\n", 3).encode(),
    "blank-lines.csv": lambda rows: dump(rows).replace("\n", "\n\n").encode(),
    "packed.csv.gz": lambda rows: gzip.compress(dump(rows).encode()),
    "packed.zip": lambda rows: zipped("inner.csv", dump(rows).encode("gb18030")),
    "packed.jsonl.gz": lambda rows: gzip.compress("\n".join(json.dumps(r) for r in records(rows)).encode()),
    "array.json": lambda rows: json.dumps(records(rows), ensure_ascii=False).encode(),
    "lines-called.json": lambda rows: "\n".join(json.dumps(r, ensure_ascii=False) for r in records(rows)).encode(),
    "lines.jsonl": lambda rows: "\r\n".join(json.dumps(r, ensure_ascii=False) for r in records(rows)).encode(),
    "inside.json": lambda rows: json.dumps({"version": "1", "data": records(rows)}).encode(),
    "columns.json": lambda rows: json.dumps({n: [r[i] for r in rows[1:]] for i, n in enumerate(rows[0])}).encode(),
    "table.parquet": parquet,
    "misnamed.csv": parquet,
}

WAIMAI_VARIANTS = (
    *("bom.csv", "gb18030.csv", "utf16.csv", "crlf.csv", "semicolon.csv", "tab.tsv"),
    *("packed.csv.gz", "packed.zip", "lines.jsonl", "table.parquet"),
)


def rows_of(path: Path) -> Rows:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def as_rows(table: pa.Table) -> Rows:
    return [table.column_names, *([cell or "" for cell in row.values()] for row in table.to_pylist())]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_copy_of_the_takeaway_sample_gives_the_same_table(name: str, tmp_path: Path) -> None:
    rows = rows_of(samples()[0].file)
    path = tmp_path / name
    path.write_bytes(VARIANTS[name](rows))
    table, _facts = read_table(path)
    assert as_rows(table) == rows


@pytest.mark.data
@pytest.mark.parametrize("name", WAIMAI_VARIANTS)
def test_every_copy_of_waimai_gives_the_same_table(name: str, tmp_path: Path, shared_data: Path) -> None:
    rows = rows_of(shared_data / "waimai_10k.csv")
    path = tmp_path / name
    path.write_bytes(VARIANTS[name](rows))
    table, _facts = read_table(path)
    assert table.num_rows == 11987
    assert as_rows(table) == rows


TRADITIONAL = "這家的牛肉麵很好吃，湯頭也夠味，下次還會再來"
WESTERN = "Café crème très bon – très «chic», l'œuf était parfait…"


@pytest.mark.parametrize(
    ("encoding", "texts", "expected"),
    [
        ("gb18030", ["味道不错"], "gb18030"),
        ("gbk", ["送餐太慢了，面都坨了", "好吃"], "gb18030"),
        ("big5", [TRADITIONAL, "等了兩個小時才送到，難吃"], "big5"),
        ("cp1252", [WESTERN, "Schöne Grüße"], "cp1252"),
        ("cp1252", ["naïve"], "cp1252"),
        ("utf-8", ["é"], "utf-8"),
        ("utf-16-be", ["味道不错", "good"], "utf-16-be"),
        ("utf-32", ["味道不错"], "utf-32"),
    ],
)
def test_short_texts_are_decoded_rightly(encoding: str, texts: list[str], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    path.write_bytes(dump([["label", "text"], *(["1", text] for text in texts)]).encode(encoding))
    table, facts = read_table(path)
    assert facts.encoding == expected
    assert table["text"].to_pylist() == texts


def test_a_broken_byte_costs_one_character_and_is_told(tmp_path: Path) -> None:
    rows = [["label", "text"], *(["1", f"第{n}条评论，味道不错"] for n in range(200))]
    content = dump(rows).encode()
    at = content.index("第100条".encode())
    path = tmp_path / "broken.csv"
    path.write_bytes(content[:at] + b"\xff" + content[at + 3 :])
    table, facts = read_table(path)
    assert (table.num_rows, facts.encoding) == (200, "utf-8")
    assert table["text"][100].as_py().startswith("\ufffd100")
    assert [(note["code"], note["count"]) for note in facts.notes] == [("undecodable", 1)]


def test_texts_that_look_missing_stay_texts_and_empty_cells_are_null(tmp_path: Path) -> None:
    path = tmp_path / "na.csv"
    path.write_text('text,label\nNA,null\nNone,nan\n"",1\n  ,2\n')
    table, _facts = read_table(path)
    assert table["text"].to_pylist() == ["NA", "None", None, "  "]
    assert table["label"].to_pylist() == ["null", "nan", "1", "2"]


def test_quoted_line_breaks_stay_in_their_cell(tmp_path: Path) -> None:
    path = tmp_path / "breaks.csv"
    path.write_bytes(b'text,label\r\n"two\r\nlines, ""quoted""",a\r\nplain,b\r\n')
    table, _facts = read_table(path)
    assert table["text"].to_pylist() == ['two\nlines, "quoted"', "plain"]


def test_stray_quotes_in_a_tab_table_swallow_nothing(tmp_path: Path) -> None:
    path = tmp_path / "stray.tsv"
    path.write_text('text\tlabel\n" an opening quote\t1\nplain\t0\nend" here\t1\nlast\t0\n')
    table, _facts = read_table(path)
    assert table["text"].to_pylist() == ['" an opening quote', "plain", 'end" here', "last"]


def test_ragged_rows_are_filled_up_or_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "ragged.csv"
    path.write_text("label,text\n1,good\n0\n1,fine,,\n0,bad, really bad\n1,nice\n")
    table, facts = read_table(path)
    assert table["text"].to_pylist() == ["good", None, "fine", "nice"]
    notes = {note["code"]: note for note in facts.notes}
    assert notes["rows_filled_up"]["count"] == 1
    assert notes["rows_left_out"]["count"] == 1
    assert notes["rows_left_out"]["facts"]["lines"] == [5]


def test_a_quote_that_never_closes_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "open.csv"
    path.write_text("label,text\n" + "1,good\n" * 3000 + '0,"never closed\n' + "1,lost\n" * 3000)
    with pytest.raises(QuoteNeverClosed) as raised:
        read_table(path)
    assert raised.value.line == 3002


def test_headers_are_made_unique_and_missing_ones_are_made(tmp_path: Path) -> None:
    path = tmp_path / "header.csv"
    path.write_text("text,text,,label\na,b,c,x\nd,e,f,y\n")
    assert read_table(path)[0].column_names == ["text", "text_2", "column_3", "label"]
    path.write_text("a fine day,1\na bad day,0\na long day,1\nno day,0\n")
    table, facts = read_table(path)
    assert table.column_names == ["column_1", "column_2"]
    assert table.num_rows == 4
    assert facts.notes[0]["code"] == "no_header"


def test_the_numbers_that_pandas_gives_nameless_columns_are_a_header(tmp_path: Path) -> None:
    path = tmp_path / "pandas.csv"
    path.write_text(",0,1\n0,a fine day,1\n1,a bad day,0\n2,a long day,1\n3,no day,0\n")
    table, _facts = read_table(path)
    assert table.column_names == ["column_1", "0", "1"]
    assert table["0"].to_pylist() == ["a fine day", "a bad day", "a long day", "no day"]


def test_json_values_become_the_texts_people_would_write(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    lines = [
        '{"text": "a", "label": 1.0, "tags": ["x", "y|z"], "ok": true}',
        '{"text": "half \\ud83d emoji", "label": 12345678901234567890, "tags": [], "new": 0.10}',
        '{"text": "", "label": null, "tags": ["x"], "new": {"a": "b"}}',
    ]
    path.write_text("\n".join(lines))
    table, facts = read_table(path)
    assert table.column_names == ["text", "label", "tags", "ok", "new"]
    assert table["label"].to_pylist() == ["1", "12345678901234567890", None]
    assert table["tags"].to_pylist() == ["x;y|z", None, "x"]
    assert facts.list_separators == {"tags": ";"}
    assert table["ok"].to_pylist() == ["true", None, None]
    assert table["new"].to_pylist() == [None, "0.10", '{"a": "b"}']
    assert table["text"].to_pylist() == ["a", "half ? emoji", None]


def test_parquet_values_become_texts(tmp_path: Path) -> None:
    path = tmp_path / "typed.parquet"
    columns = {
        "text": pa.array(["a", None, "NA"]).dictionary_encode(),
        "label": [1.0, float("nan"), 2.5],
        "tags": [["x", "y"], None, ["z"]],
        "ok": [True, False, None],
    }
    pq.write_table(pa.table(columns), path)
    table, facts = read_table(path)
    assert table["text"].to_pylist() == ["a", None, "NA"]
    assert table["label"].to_pylist() == ["1", None, "2.5"]
    assert table["tags"].to_pylist() == ["x|y", None, "z"]
    assert table["ok"].to_pylist() == ["true", "false", None]
    assert facts.list_separators == {"tags": "|"}


@pytest.mark.data
def test_the_csv_spectrum_is_read_as_its_json_says(shared_data: Path) -> None:
    for path in sorted((shared_data / "csv_spectrum" / "csvs").glob("*.csv")):
        expected = json.loads((shared_data / "csv_spectrum" / "json" / f"{path.stem}.json").read_text("utf-8"))
        table, _facts = read_table(path)
        found = [{name: cell or "" for name, cell in row.items()} for row in table.to_pylist()]
        assert found == [{n: v.replace("\r\n", "\n") for n, v in row.items()} for row in expected], path.name


PROSE = (
    "It was a quiet evening in the town.\nNobody had expected rain, wind, or snow.\n"
    "The lamps were lit one by one, slowly.\nThen, at last, the bell rang, once, twice.\n"
)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("empty.csv", b"", FileEmpty(file="empty.csv")),
        ("white.csv", b" \r\n\t\n", FileEmpty(file="white.csv")),
        ("mark.csv", b"\xef\xbb\xbf", FileEmpty(file="mark.csv")),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), FileEmpty(file="empty.csv.gz")),
        ("picture.csv", PNG, NotATable(file="picture.csv", detail="binary")),
        ("noise.tsv", os.urandom(5000), NotATable(file="noise.tsv", detail="binary")),
        ("letter.csv", b"%PDF-1.7\n1 0 obj\nBT (a, b) Tj ET\n", NotATable(file="letter.csv", detail="binary")),
        ("prose.txt", PROSE.encode(), NotATable(file="prose.txt", detail="one_column")),
        (
            "中文.txt",
            "今天天气很好。\n我们去公园玩，很开心。\n".encode(),
            NotATable(file="中文.txt", detail="one_column"),
        ),
        ("header.csv", b"text,label\n", NotATable(file="header.csv", detail="no_rows")),
        ("bad.json", b'[{"text": "a",', NotATable(file="bad.json", detail="json_syntax")),
        ("numbers.json", b"[1, 2, 3]", NotATable(file="numbers.json", detail="json_shape")),
        ("bad.jsonl", b'{"a": 1, "b": 2}\n{"a"\n', NotATable(file="bad.jsonl", detail="json_syntax")),
        ("bad.parquet", b"PAR1 and nothing more", NotATable(file="bad.parquet", detail="damaged")),
        ("fake.parquet", b"text,label\na,b\n", NotATable(file="fake.parquet", detail="damaged")),
        ("cut.csv.gz", gzip.compress(b"text,label\n" + os.urandom(9000))[:-5000], NotATable("cut.csv.gz", "damaged")),
        ("two.zip", b"", NotATable(file="two.zip", detail="archive")),
    ],
)
def test_what_is_no_table_is_refused(name: str, content: bytes, error: StudioError, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    if name == "two.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.csv", "text,label\nx,y\n")
            archive.writestr("b.csv", "text,label\nx,y\n")
    with pytest.raises(type(error)) as raised:
        read_table(path)
    assert raised.value.facts == error.facts


@pytest.mark.parametrize("name", ["picture.png", "letter.docx", "no-suffix"])
def test_formats_that_are_not_read_are_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(PNG)
    if name == "letter.docx":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("[Content_Types].xml", "<Types/>")
    with pytest.raises(FormatUnknown) as raised:
        read_table(path)
    assert "CSV" in raised.value.known


def test_a_missing_file_and_a_folder_are_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(FileMissing):
            read_table(path)


def test_a_bomb_is_refused_before_it_bursts(tmp_path: Path) -> None:
    packed = tmp_path / "bomb.csv.gz"
    packed.write_bytes(gzip.compress(b"text,label\n" + b"a" * 20_000_000 + b",1\n"))
    assert packed.stat().st_size < 50_000
    with pytest.raises(TooLarge):
        read_table(packed, limit_bytes=10_000_000)
    columns = tmp_path / "bomb.parquet"
    repeated = pa.array(["x" * 100_000] * 300).dictionary_encode()
    pq.write_table(pa.table({"text": repeated, "label": ["1"] * 300}), columns)
    assert columns.stat().st_size < 300_000
    with pytest.raises(TooLarge):
        read_table(columns, limit_bytes=10_000_000)


def test_damaged_copies_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    rows = rows_of(samples()[0].file)
    rng = random.Random(3)
    outcomes = Counter[str]()
    for name in VARIANTS:
        whole = VARIANTS[name](rows)
        for _ in range(8):
            content = bytearray(whole)
            start = rng.randrange(len(content))
            content[start : start + rng.choice([0, 1, 500])] = rng.choice([b"", b'"', b"\0", b"\xff\xfe", b"]", b",,"])
            path = tmp_path / name
            path.write_bytes(content[: rng.choice([len(content), start + 1])])
            try:
                outcomes[type(read_table(path)[0]).__name__] += 1
            except StudioError as refusal:
                outcomes[refusal.code] += 1
    assert outcomes["Table"] > 20
    assert outcomes["data.not_a_table"] > 20
