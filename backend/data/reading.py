"""A user's file or files as one table of texts. Parses what others made: in a child process with limits only.

Several files become one table with a column that says which part of the data a row belongs to; so do several tables
in a zip, and a zip of texts in folders. Each of them is read by `backend.data.formats`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from backend.data.delimited import unique_names
from backend.data.encodings import BinaryContent, detect_text, read_block
from backend.data.files import LABEL_NAMES, SourceFile, part_of, with_parts
from backend.data.folders import TextFolderReader, find_text_folders
from backend.data.formats import Batches, Reading, ReadingFacts, open_source, schema_of, text_batches
from backend.data.sources import (
    DECODED_BYTES_LIMIT,
    SUFFIXES,
    ZIP_MARK,
    Source,
    is_office,
    members_of,
    reading_errors,
    suffix_of,
)
from backend.errors import ColumnsDiffer, FileMissing, NotATable
from backend.specs import ReadingSpec

AS_FOUND = ReadingSpec()
SPLIT_COLUMN = "split"
LONGEST_LABEL_FILE = 1 << 18
LONGEST_LABEL = 120


@dataclass
class _Piece:
    """One file of several, opened."""

    file: SourceFile
    reading: Reading


def open_table(
    path: Path, name: str = "", asked: ReadingSpec = AS_FOUND, limit_bytes: int = DECODED_BYTES_LIMIT
) -> Reading:
    """Open the file at ``path``, which the user knows as ``name``; see `open_files`."""
    return open_files([SourceFile(path, name or path.name)], asked, limit_bytes)


def open_files(
    files: Sequence[SourceFile], asked: ReadingSpec = AS_FOUND, limit_bytes: int = DECODED_BYTES_LIMIT
) -> Reading:
    """Open files that make one table; ``asked`` overrides what is found of itself.

    Raises:
        FileMissing, FileEmpty, FormatUnknown, NotATable, QuoteNeverClosed: a file holds no table that can be read.
        EncodingUnknown, DelimiterInvalid, SheetMissing: what was asked for cannot be.
        PartsUnclear, ColumnsDiffer: the files do not make one table.
        TooLarge: a file unpacks to more than ``limit_bytes``.
    """
    for file in files:
        if not file.path.is_file():
            raise FileMissing(path=str(file.path))
    tables = [file for file in files if file.part != LABEL_NAMES]
    if len(tables) == 1 and not tables[0].member:
        only = tables[0]
        if _is_archive(only):
            if folders := find_text_folders(only.path, only.name):
                return _read_folders(TextFolderReader(folders, asked.encoding, limit_bytes))
            tables = [file for file in _members(only) if file.part != LABEL_NAMES]
    if len(tables) == 1:
        return _open(tables[0], asked, limit_bytes)
    pieces = [_Piece(file, _open(file, asked, limit_bytes)) for file in with_parts(tables)]
    return _joined(pieces, asked, limit_bytes)


def read_table(
    path: Path, name: str = "", asked: ReadingSpec = AS_FOUND, limit_bytes: int = DECODED_BYTES_LIMIT
) -> tuple[pa.Table, ReadingFacts]:
    """The whole file as a table in memory: every column text, missing cells null. Raises what `open_files` does."""
    return whole(open_table(path, name, asked, limit_bytes))


def whole(reading: Reading) -> tuple[pa.Table, ReadingFacts]:
    """An opened table in memory."""
    return pa.Table.from_batches(reading.batches, schema=schema_of(reading.columns)), reading.facts


def label_names_of(files: Sequence[SourceFile], limit_bytes: int = DECODED_BYTES_LIMIT) -> dict[str, str]:
    """What the labels are called, from the file among these that says it: the names one a line, numbered from 0, or
    each line a label and its name. Empty if there is none.

    Raises:
        NotATable: it is no such list.
    """
    given = [file for file in files if file.part == LABEL_NAMES]
    if len(files) == 1 and not given and _is_archive(files[0]):
        given = [file for file in _members(files[0]) if file.part == LABEL_NAMES]
    if not given:
        return {}
    file = given[0]
    source = Source(file.path, file.name, limit_bytes, file.member)
    try:
        with source.reading_errors(), source.open() as stream:
            text = detect_text(source.open)
            content = read_block(stream, LONGEST_LABEL_FILE).decode(text.encoding, "replace")
    except BinaryContent as error:
        raise NotATable(file=file.name, detail="label_names") from error
    lines = [line.strip("\ufeff\0 \t\r") for line in content.split("\n")]
    lines = [line for line in lines if line]
    if not lines or any(len(line) > LONGEST_LABEL for line in lines):
        raise NotATable(file=file.name, detail="label_names")
    pairs = [line.replace("\t", " ").replace(",", " ").replace("=", " ").split(None, 1) for line in lines]
    if all(len(pair) == 2 and pair[0].isdigit() for pair in pairs):
        return {label: name.strip() for label, name in pairs}
    return {str(number): line for number, line in enumerate(lines)}


def _is_archive(file: SourceFile) -> bool:
    with open(file.path, "rb") as stream:
        return stream.read(len(ZIP_MARK)) == ZIP_MARK and not is_office(file.path, file.name)


def _members(file: SourceFile) -> list[SourceFile]:
    """The tables in an archive: all of them where their names tell the parts of one, else the archive as it is."""
    with reading_errors(file.name):
        members = [m.filename for m in members_of(file.path)]
    tables = [member for member in members if suffix_of(member.removesuffix(".gz")) in SUFFIXES] or members
    found = [replace(file, name=member, member=member, part=part_of(member, beside_others=True)) for member in tables]
    named = [one for one in found if one.part and one.part != LABEL_NAMES]
    return [one for one in found if one.part] if len(named) > 1 or len(named) == len(found) - 1 > 0 else [file]


def _open(file: SourceFile, asked: ReadingSpec, limit_bytes: int) -> Reading:
    return open_source(Source(file.path, file.name, limit_bytes, file.member), asked)


def _read_folders(reader: TextFolderReader) -> Reading:
    folders = reader.folders
    columns = ["text", "label", *([SPLIT_COLUMN] if folders.has_parts else []), "file"]
    facts = ReadingFacts("folders", "zip", encoding=reader.encoding)
    facts.given_split = SPLIT_COLUMN if folders.has_parts else ""

    def batches() -> Batches:
        rows = reader.rows()
        yield from text_batches(columns, rows if folders.has_parts else ([*row[:2], row[3]] for row in rows))
        facts.note("files_left_out", folders.left_out, severity="note")
        broken = reader.broken
        numbers = [text["row"] for text in broken]
        facts.note(
            "undecodable",
            reader.undecodable,
            examples=broken,
            encoding=reader.encoding,
            rows=reader.broken_texts,
            numbers=numbers,
        )

    return Reading(columns, batches(), facts, lambda: reader.done / len(folders.texts))


def _joined(pieces: list[_Piece], asked: ReadingSpec, limit_bytes: int) -> Reading:
    """The rows of all pieces, one after the other, under the columns of the first that names its columns."""
    pieces = sorted(pieces, key=lambda piece: ("train", "validation", "test", "").index(piece.file.part))
    leader = next((piece for piece in pieces if piece.reading.facts.has_header), pieces[0])
    fitted = [piece if piece is leader else _fitted(piece, leader, asked, limit_bytes) for piece in pieces]
    columns = leader.reading.columns
    has_parts = len({piece.file.part for piece in pieces}) > 1
    split = unique_names([*columns, SPLIT_COLUMN])[-1]
    _agree_on_separators(fitted)
    facts = replace(leader.reading.facts, notes=[], given_split=split if has_parts else "")
    for piece in fitted:
        facts.list_separators = {**piece.reading.facts.list_separators, **facts.list_separators}
    sizes = [piece.file.path.stat().st_size for piece in fitted]
    current = [0]

    def batches() -> Batches:
        rows = 0
        for number, piece in enumerate(fitted):
            current[0], before = number, rows
            for batch in _in_order(piece.reading, columns):
                if has_parts:
                    part = pa.array([piece.file.part] * batch.num_rows, pa.string())
                    batch = pa.record_batch([*batch.columns, part], schema=schema_of([*columns, split]))
                rows += batch.num_rows
                yield batch
            _merge_notes(facts.notes, piece.reading.facts.notes, before)

    def position() -> float:
        done = sum(sizes[: current[0]]) + sizes[current[0]] * fitted[current[0]].reading.position()
        return done / max(1, sum(sizes))

    return Reading([*columns, split] if has_parts else columns, batches(), facts, position)


def _merge_notes(notes: list[dict[str, Any]], more: list[dict[str, Any]], rows_before: int) -> None:
    """Add the findings on one piece to those on the pieces before it; its rows are numbered on from theirs."""
    for note in more:
        facts = note["facts"]
        if "numbers" in facts:
            facts["numbers"] = [number + rows_before for number in facts["numbers"]]
            note["examples"] = [{**one, "row": one["row"] + rows_before} for one in note["examples"]]
        known = next((one for one in notes if one["code"] == note["code"]), None)
        if known is None:
            notes.append(note)
        elif note["code"] != "no_header":
            known["count"] += note["count"]
            for name in facts.keys() & {"rows", "numbers", "lines"}:
                known["facts"][name] = known["facts"][name] + facts[name]
            known["examples"] = known.get("examples", []) + note.get("examples", [])


def _in_order(reading: Reading, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """The batches with their cells under these columns: by name where the names are the same, else by place."""
    same = set(reading.columns) == set(columns)
    order = [reading.columns.index(name) for name in columns] if same else range(len(columns))
    for batch in reading.batches:
        yield pa.record_batch([batch.column(place) for place in order], schema=schema_of(columns))


def _fitted(piece: _Piece, leader: _Piece, asked: ReadingSpec, limit_bytes: int) -> _Piece:
    """The piece if it has the leader's columns; a file whose first row names none of them has no header."""
    mine, theirs = piece.reading.columns, leader.reading.columns
    if set(mine) == set(theirs) or (len(mine) == len(theirs) and not piece.reading.facts.has_header):
        return piece
    if len(mine) == len(theirs) and not set(mine) & set(theirs) and asked.header == "auto":
        again = _Piece(piece.file, _open(piece.file, asked.model_copy(update={"header": "no"}), limit_bytes))
        if not again.reading.facts.has_header and len(again.reading.columns) == len(theirs):
            return again
    raise ColumnsDiffer(file=leader.file.name, other=piece.file.name, columns=theirs[:50], other_columns=mine[:50])


def _agree_on_separators(pieces: list[_Piece]) -> None:
    known = [piece.reading.separators for piece in pieces if piece.reading.separators is not None]
    for first in known:
        for second in known:
            first.agree_with(second)
    for piece in pieces:
        if piece.reading.separators is not None:
            piece.reading.facts.list_separators = piece.reading.separators.found()
