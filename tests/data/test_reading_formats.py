"""Workbooks, labelled lines, folders of texts, several files as one table, overrides: each gives the same table."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from backend.data import delimited
from backend.data.encodings import TextFacts
from backend.data.files import SourceFile, part_of, with_parts
from backend.data.formats import ReadingFacts, schema_of, text_batches
from backend.data.reading import label_names_of, open_files, read_table, whole
from backend.data.regular import RegularRows
from backend.errors import (
    ColumnsDiffer,
    DelimiterInvalid,
    EncodingUnknown,
    FormatUnknown,
    NotATable,
    PartsUnclear,
    SheetMissing,
    StudioError,
    TooLarge,
)
from backend.specs import ReadingSpec
from tests.data.workbooks import ods, xlsx

FILES = Path(__file__).parent / "files"
ROWS = [["label", "text"], *([str(n % 2), f"第{n}条评论，味道“不错”, <b>{n}</b>"] for n in range(30))]


def as_rows(table: pa.Table) -> list[list[str]]:
    return [table.column_names, *([cell or "" for cell in row.values()] for row in table.to_pylist())]


def packed(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def several(folder: Path, files: Mapping[str, str | bytes]) -> list[SourceFile]:
    given = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given.append(SourceFile(path, name))
    return given


def joined(folder: Path, files: Mapping[str, str | bytes]) -> tuple[pa.Table, ReadingFacts]:
    return whole(open_files(with_parts(several(folder, files))))


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


# -- folders of texts


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_zip_of_folders_is_one_class_a_folder_and_parts_above_them(encoding: str, tmp_path: Path) -> None:
    texts = {
        f"corpus/{part}/{label}/{n}.txt": f"第{n}条评论，味道不错，\r\n还会再来的 {label}".encode(encoding)
        for part in ("train", "test")
        for label in ("pos", "neg")
        for n in range(6)
    }
    path = tmp_path / "corpus.zip"
    path.write_bytes(packed({**texts, "corpus/README.md": "about", "__MACOSX/x.txt": "clutter"}))
    table, facts = read_table(path)
    assert table.column_names == ["text", "label", "split", "file"]
    assert table.num_rows == 24
    assert table.to_pylist()[0] == {
        "text": "第0条评论，味道不错，\n还会再来的 pos",
        "label": "pos",
        "split": "train",
        "file": "corpus/train/pos/0.txt",
    }
    assert (facts.format, facts.given_split) == ("folders", "split")
    assert [(note["code"], note["count"]) for note in facts.notes] == [("files_left_out", 1)]


def test_a_zip_of_class_folders_without_parts_has_no_split_column(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    path.write_bytes(packed({"pos/1.txt": "good", "neg/1.txt": "bad", "neg/2.txt": "worse"}))
    table, facts = read_table(path)
    assert table.column_names == ["text", "label", "file"]
    assert sorted(table["label"].to_pylist()) == ["neg", "neg", "pos"]
    assert facts.given_split == ""


@pytest.mark.parametrize("name", ["\0.csv", "././."])
def test_a_member_without_a_name_is_left_out(name: str, tmp_path: Path) -> None:
    content = packed({"?????": "text,label\nz,9\n", "a.csv": "text,label\na,0\nb,1\n"})
    path = tmp_path / "odd.zip"
    path.write_bytes(content.replace(b"?????", name.encode()))  # no archive is written so, only damaged
    table, _facts = read_table(path)
    assert table["text"].to_pylist() == ["a", "b"]


# -- several files


def test_the_parts_of_files_are_told_by_their_names() -> None:
    names = ["train.tsv", "dev.tsv", "test.tsv", "sst-val.csv", "x/test/part-1.parquet", "contest.csv", "验证集.csv"]
    assert [part_of(name) for name in names] == ["train", "validation", "test", "validation", "test", "", "validation"]
    assert part_of("labels.txt", beside_others=True) == "labels"
    assert part_of("labels.csv", beside_others=True) == ""


def test_three_files_become_one_table_that_says_the_part(tmp_path: Path) -> None:
    files = {
        "dev.tsv": "so so\t1\tx9\nbad\t0\tx8\n",
        "train.tsv": "good\t0\tx1\nbad\t0,1\tx2\nfine\t1\tx3\nill\t0\tx6\n",
        "test.tsv": "worse\t0\tx4\nbest\t1\tx5\n",
        "labels.txt": "sad\nglad\n",
    }
    given = with_parts(several(tmp_path, files))
    table, facts = whole(open_files(given))
    assert table.column_names == ["column_1", "column_2", "column_3", "split"]
    assert table["split"].to_pylist() == ["train"] * 4 + ["validation"] * 2 + ["test"] * 2
    assert facts.given_split == "split"
    assert [note["count"] for note in facts.notes if note["code"] == "no_header"] == [1]
    assert label_names_of(given) == {"0": "sad", "1": "glad"}


def test_a_zip_of_parts_is_read_like_the_parts(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    content = {
        "set/train.csv": "text,label\na,0\nb,1\n",
        "set/test.csv": "text,label\nc,0\n",
        "set/labels.txt": "x\ny\n",
    }
    path.write_bytes(packed(content))
    table, _facts = read_table(path)
    assert table["split"].to_pylist() == ["train", "train", "test"]
    assert label_names_of([SourceFile(path, "set.zip")]) == {"0": "x", "1": "y"}


def test_a_header_in_one_file_serves_the_other(tmp_path: Path) -> None:
    files = {"train.csv": "text,label\ngood one,1\nbad one,0\n", "test.csv": "fine one,1\nill one,0\nno one,0\n"}
    table, _facts = joined(tmp_path, files)
    assert table.column_names == ["text", "label", "split"]
    assert table["text"].to_pylist() == ["good one", "bad one", "fine one", "ill one", "no one"]


def test_columns_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    table, _facts = joined(tmp_path, {"train.csv": "text,label\na,1\nb,0\n", "test.csv": "label,text\n1,c\n"})
    assert table["text"].to_pylist() == ["a", "b", "c"]


def test_lists_of_all_files_are_joined_alike(tmp_path: Path) -> None:
    lines = {"train.jsonl": [["x", "y"], ["z"]], "test.jsonl": [["x|z", "y"], ["x"]]}
    files = {
        name: "\n".join(json.dumps({"text": f"t{n}", "tags": tags}) for n, tags in enumerate(rows))
        for name, rows in lines.items()
    }
    table, facts = joined(tmp_path, files)
    assert table["tags"].to_pylist() == ["x;y", "z", "x|z;y", "x"]
    assert facts.list_separators == {"tags": ";"}


def test_a_column_called_split_keeps_its_name(tmp_path: Path) -> None:
    table, facts = joined(tmp_path, {"train.csv": "text,split\na,1\nb,0\n", "test.csv": "text,split\nc,1\n"})
    assert (table.column_names, facts.given_split) == (["text", "split", "split_2"], "split_2")


def test_pieces_of_one_part_are_only_joined(tmp_path: Path) -> None:
    table, facts = joined(tmp_path, {"part-1.csv": "text,label\na,1\nb,0\n", "part-2.csv": "text,label\nc,1\n"})
    assert (table.column_names, table.num_rows, facts.given_split) == (["text", "label"], 3, "")


def test_files_with_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ColumnsDiffer) as raised:
        joined(tmp_path, {"train.csv": "text,label\na,1\nb,0\n", "test.csv": "text,kind,label\nc,x,1\n"})
    assert raised.value.facts["columns"] == ["text", "label"]


def test_one_unnamed_file_takes_the_part_that_is_missing() -> None:
    def parts(*names: str) -> list[str]:
        return [file.part for file in with_parts([SourceFile(Path(name), name) for name in names])]

    assert parts("TREC_10.en.label", "train_5500.label") == ["test", "train"]
    assert parts("reviews.csv", "test.csv") == ["train", "test"]
    assert parts("a.csv", "b.csv") == ["", ""]
    with pytest.raises(PartsUnclear):
        parts("train.csv", "a.csv", "b.csv")


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
