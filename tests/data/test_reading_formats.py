"""Workbooks, labelled lines, overrides, encodings: each gives the same table, or says why not."""

from __future__ import annotations

import csv
import gzip
import io
import random
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from backend.data import delimited
from backend.data.encodings import TextFacts
from backend.data.formats import schema_of, text_batches
from backend.data.reading import read_table
from backend.data.regular import RegularRows
from backend.errors import (
    DelimiterInvalid,
    EncodingUnknown,
    FormatUnknown,
    NotATable,
    SheetMissing,
    StudioError,
    TooLarge,
)
from backend.specs import ReadingSpec
from tests.data.given_files import as_rows, packed
from tests.data.workbooks import ods, xlsx

FILES = Path(__file__).parent / "files"
ROWS = [["label", "text"], *([str(n % 2), f"第{n}条评论，味道“不错”, <b>{n}</b>"] for n in range(30))]


# -- workbooks


@pytest.mark.parametrize("name", ["book.xlsx", "book.ods", "book.xlsx.gz", "book.zip", "book.csv"])
def test_a_workbook_gives_the_table_of_its_first_sheet_with_one(name: str, tmp_path: Path) -> None:
    sheets = {"notes": [["only a remark"]], "评论": ROWS, "more": [["a", "b"], ["c", "d"]]}
    content = ods(sheets) if name.endswith(".ods") else xlsx(sheets)
    if name.endswith(".gz"):
        content = gzip.compress(content)
    if name.endswith(".zip"):
        content = packed({"inner.xlsx": content})
    path = tmp_path / name
    path.write_bytes(content)
    table, facts = read_table(path)
    assert as_rows(table) == ROWS
    assert (facts.format, facts.sheet, facts.sheets) == ("sheet", "评论", ["notes", "评论", "more"])


def test_another_sheet_is_read_when_asked_for_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx({"one": ROWS, "two": [["text", "kind"], ["good", "x"], ["bad", "y"]]}))
    table, facts = read_table(path, asked=ReadingSpec(sheet="two"))
    assert (table.column_names, facts.sheet) == (["text", "kind"], "two")
    with pytest.raises(SheetMissing) as raised:
        read_table(path, asked=ReadingSpec(sheet="three"))
    assert raised.value.available == ["one", "two"]


def test_hidden_sheets_titles_and_empty_columns_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "report.xlsx"
    titled = [
        ["Reviews of a week"],
        [],
        ["", "label", "", "text"],
        *(["", *[n % 2], "", f"text {n}"] for n in range(9)),
    ]
    path.write_bytes(xlsx({"old": ROWS, "new": titled}, hidden=["old"]))
    table, facts = read_table(path)
    assert table.column_names == ["label", "text"]
    assert table["label"].to_pylist() == [str(n % 2) for n in range(9)]
    assert [(note["code"], note["count"]) for note in facts.notes] == [("rows_above_header", 1)]


def test_an_old_workbook_is_read_and_its_numbers_are_plain() -> None:
    table, facts = read_table(FILES / "reviews.xls")
    assert table.column_names == ["label", "text", "stars"]
    assert table["label"].to_pylist() == [str(n % 2) for n in range(12)]
    assert table["stars"].to_pylist()[:2] == ["3", "4.5"]
    assert table["text"][1].as_py() == "第1条评论，味道不错"
    assert facts.sheet == "评论"


def test_a_small_workbook_that_declares_hundreds_of_megabytes_is_refused(tmp_path: Path) -> None:
    whole_book = zipfile.ZipFile(io.BytesIO(xlsx({"s": ROWS})))
    files = {name: whole_book.read(name) for name in whole_book.namelist()}
    sheet = files["xl/worksheets/sheet1.xml"]
    row = b'<row r="%d"><c r="A%d" t="inlineStr"><is><t>a</t></is></c></row>'
    files["xl/worksheets/sheet1.xml"] = sheet.replace(
        b"</sheetData>", b" " * 315_000_000 + row % (99, 99) + b"</sheetData>"
    )
    path = tmp_path / "bomb.xlsx"
    path.write_bytes(packed(files))
    assert path.stat().st_size < 400_000
    with pytest.raises(TooLarge):
        read_table(path)


def test_a_workbook_with_two_cells_a_whole_sheet_apart_is_read_or_refused(tmp_path: Path) -> None:
    book = zipfile.ZipFile(io.BytesIO(xlsx({"s": ROWS})))
    files = {name: book.read(name) for name in book.namelist()}
    far = b'<row r="1048576"><c r="XFD1048576" t="inlineStr"><is><t>far</t></is></c></row></sheetData>'
    files["xl/worksheets/sheet1.xml"] = files["xl/worksheets/sheet1.xml"].replace(b"</sheetData>", far)
    path = tmp_path / "far.xlsx"
    path.write_bytes(packed(files))
    with pytest.raises(TooLarge):
        read_table(path)


def test_documents_that_are_no_workbooks_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "letter.odt"
    path.write_bytes(packed({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<x/>"}))
    with pytest.raises(FormatUnknown):
        read_table(path)
    locked = tmp_path / "locked.xlsx"
    locked.write_bytes(
        bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 600
    )
    with pytest.raises(NotATable) as raised:
        read_table(locked)
    assert raised.value.detail == "encrypted"


# -- labelled lines


TREC = "\n".join(
    f"{'DESC:manner' if n % 2 else 'ENTY:animal'} What{',' * (n % 3)} in the end{',' * (n % 2)} is number {n} ?"
    for n in range(40)
)


def test_lines_that_begin_with_two_levels_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "train_5500.label"
    path.write_text(TREC)
    table, facts = read_table(path)
    assert facts.format == "lines"
    assert table.slice(1, 1).to_pylist() == [
        {"label": "DESC", "label_fine": "DESC:manner", "text": "What, in the end, is number 1 ?"}
    ]


def test_fasttext_lines_give_all_labels_of_a_text(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("__label__a __label__b good, or not\n__label__b bad\n__label__a fine | ok\n__label__c so, so\n")
    table, facts = read_table(path)
    assert table["label"].to_pylist() == ["a|b", "b", "a", "c"]
    assert table["text"].to_pylist() == ["good, or not", "bad", "fine | ok", "so, so"]
    assert facts.list_separators == {"label": "|"}


def test_a_label_and_a_colon_before_the_text(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("".join(f"{'好评' if n % 3 else '差评'}: 第{n}条，味道\n" for n in range(30)))
    table, _facts = read_table(path)
    assert table.to_pylist()[0] == {"label": "差评", "text": "第0条，味道"}


# -- overrides and encodings


def test_what_was_found_can_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_bytes("a|b;好|c\n1|x;差|2\n3|y;中|4\n".encode("gb18030"))
    table, facts = read_table(path, asked=ReadingSpec(delimiter=";", header="no", encoding="GBK"))
    assert table.to_pylist()[0] == {"column_1": "a|b", "column_2": "好|c"}
    assert (facts.delimiter, facts.has_header, facts.encoding) == (";", False, "gbk")
    table, facts = read_table(path, asked=ReadingSpec(delimiter="|", header="yes", encoding="gb18030"))
    assert table.column_names == ["a", "b;好", "c"]
    with pytest.raises(EncodingUnknown):
        read_table(path, asked=ReadingSpec(encoding="klingon"))
    for no_encoding_of_texts in ("rot13", "base64"):
        with pytest.raises(EncodingUnknown):
            read_table(path, asked=ReadingSpec(encoding=no_encoding_of_texts))
    with pytest.raises(DelimiterInvalid):
        read_table(path, asked=ReadingSpec(delimiter="--"))


def test_tab_can_be_asked_for_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tab.csv"
    path.write_text("a,b\tc\nd,e\tf\n")
    assert read_table(path, asked=ReadingSpec(delimiter="tab", header="no"))[0].num_columns == 2


def test_commas_in_every_text_of_a_tab_table_divide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "reviews.tsv"
    path.write_text("".join(f"one, two, and number {n}\t{n % 2}\n" for n in range(20)))
    table, facts = read_table(path)
    assert (facts.delimiter, table.num_columns) == ("\t", 2)
    path = tmp_path / "reviews.txt"
    path.write_text("".join(f"one, and number {n}\t{n % 2}\n" for n in range(20)))
    assert read_table(path)[1].delimiter == "\t"


JAPANESE = ["この店のラーメンはとても美味しかったです", "サービスが遅くて、もう行きたくありません", "普通の味でした"]
KOREAN = [
    "이 식당의 음식은 정말 맛있었습니다",
    "서비스가 너무 느려서 다시는 가고 싶지 않아요",
    "배송이 빨라서 좋았어요",
]


@pytest.mark.parametrize(
    ("encoding", "texts", "expected"),
    [
        ("shift_jis", JAPANESE, "cp932"),
        ("euc_jp", JAPANESE, "euc_jp"),
        ("utf-16-le", JAPANESE, "utf-16-le"),
        ("utf-16-be", ["味道不错，送餐很快", "太慢了"], "utf-16-be"),
        ("utf-16-le", ["味道不错，送餐很快", "太慢了"], "utf-16-le"),
        ("euc_kr", KOREAN * 5, "cp949"),
    ],
)
def test_encodings_of_east_asia_are_told_apart(encoding: str, texts: list[str], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes("".join(f"{n},{text}\n" for n, text in enumerate(["text", *texts])).encode(encoding))
    table, facts = read_table(path)
    assert facts.encoding == expected
    assert table[table.column_names[1]].to_pylist()[-1] == texts[-1]


def test_rows_with_broken_bytes_are_listed(tmp_path: Path) -> None:
    lines = [f"{n % 2},第{n}条评论，味道不错".encode() for n in range(300)]
    for n in (7, 123, 250):
        lines[n] = lines[n][:8] + b"\xff\xfe" + lines[n][8:]
    path = tmp_path / "broken.csv"
    path.write_bytes(b"label,text\n" + b"\n".join(lines))
    table, facts = read_table(path)
    assert (table.num_rows, facts.encoding) == (300, "utf-8")
    (note,) = facts.notes
    assert (note["code"], note["facts"]["rows"], note["facts"]["numbers"]) == ("undecodable", 3, [8, 124, 251])
    assert [example["row"] for example in note["examples"]] == [8, 124, 251]
    assert "\ufffd" in note["examples"][0]["text"]


# -- the quick way and the thorough one


def test_arrow_and_the_row_by_row_reader_agree_on_random_texts(tmp_path: Path) -> None:
    """Blocks of 64 bytes, so that rows lie across their borders."""
    rng = random.Random(5)
    pieces = ['"', '""', ",", ",", "\n", "\n", "a", "b ", "\r\n", "\r", "好", '"x\ny"', '"x, y"']
    whole_cells = ["a", "b c", "好", "", '"x, y"', '"x\ny"', '"say ""no"" twice"', '""']
    text = TextFacts("utf-8", 0, has_nul=False, has_return=True)
    agreed = rows_read_quickly = 0
    for _ in range(1500):
        content = "".join(
            ",".join(
                "".join(rng.choices(pieces, k=rng.randint(0, 3))) if odd else rng.choice(whole_cells) for odd in odds
            )
            + rng.choice(["\n", "\r\n"])
            for odds in ([rng.random() < 0.03] * 2 for _row in range(rng.randint(1, 30)))
        )
        data = content.encode()
        dialect = delimited.Dialect(",", csv.QUOTE_MINIMAL, 2, has_header=False)
        schema = schema_of(["a", "b"])

        def opened(data: bytes = data) -> io.BytesIO:
            return io.BytesIO(data)

        try:
            reader = delimited.read_rows(opened, text, dialect, delimited.Irregularities(), "x")
            expected = pa.Table.from_batches(text_batches(["a", "b"], reader), schema).to_pylist()
        except StudioError:
            continue
        quick = RegularRows(opened, text, dialect, [], block_bytes=64)
        found = pa.Table.from_batches(quick.batches(schema), schema).to_pylist()
        assert found == expected[: len(found)], content
        assert not quick.whole or len(found) == len(expected), content
        agreed += quick.whole
        rows_read_quickly += len(found)
    assert 500 < agreed < 1500
    assert rows_read_quickly > 10_000


def test_an_irregular_row_in_a_large_file_changes_nothing_else(tmp_path: Path) -> None:
    lines = [f'{n},"text {n}, and\nmore"' for n in range(200_000)]
    lines[150_000] = "150000"
    path = tmp_path / "large.csv"
    path.write_text("label,text\n" + "\n".join(lines))
    table, facts = read_table(path)
    assert table.num_rows == 200_000
    assert table["label"].to_pylist() == [str(n) for n in range(200_000)]
    assert table["text"][150_000].as_py() is None
    assert table["text"][199_999].as_py() == "text 199999, and\nmore"
    assert [(note["code"], note["count"]) for note in facts.notes] == [("rows_filled_up", 1)]
