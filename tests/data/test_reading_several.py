"""Folders of texts and several files: each gives one table that says the parts, or says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.data.files import SourceFile, part_of, with_parts
from backend.data.reading import label_names_of, open_files, read_table, whole
from backend.errors import (
    ColumnsDiffer,
    PartsUnclear,
)
from tests.data.given_files import joined, packed, several

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
