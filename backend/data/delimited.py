"""CSV and its kin: which character divides the cells, whether there is a header, and the rows. Child process only."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from backend.data.encodings import Opener, TextFacts
from backend.errors import DelimiterInvalid, NotATable, QuoteNeverClosed
from backend.specs import Header

DELIMITERS = ("\t", ",", ";", "|")
"""Of two that fit alike the first one: commas may stand in every text, tabs hardly do."""
TAB_SUFFIXES = (".tsv", ".tab")
SAMPLE_CHARACTERS = 1 << 18
SAMPLE_ROWS = 2000
CONSISTENT_SHARE = 0.5
NAMED_SHARE = 0.9
"""How many rows must agree with the delimiter that the file's name tells."""
LONGEST_CELL = 1 << 24

Row = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written."""

    delimiter: str
    quoting: int
    width: int
    """Cells a row."""
    has_header: bool
    consistency: float = 1.0
    """The share of the first rows that have as many cells as the first one."""


@dataclass
class Irregularities:
    """What was met while reading: rows filled up, and rows left out because they hold too many cells."""

    short: int = 0
    long: int = 0
    long_lines: list[int] | None = None


def sniff(open_bytes: Opener, text: TextFacts, file: str, delimiter: str = "", header: Header = "auto") -> Dialect:
    """The dialect that fits the beginning of the file best; ``delimiter`` and ``header`` override what is found.

    Raises:
        NotATable: no delimiter makes rows of two or more cells of it.
        DelimiterInvalid: the given one cannot be one.
    """
    delimiters = (_character(delimiter),) if delimiter else DELIMITERS
    with open_text(open_bytes, text) as stream:
        sample = stream.read(SAMPLE_CHARACTERS).replace("\0", "")
        whole = not stream.read(1)
    trials = [trial for delimiter in delimiters if (trial := _try(sample, whole, delimiter, csv.QUOTE_MINIMAL))]
    if not trials:
        raise NotATable(file=file, detail="one_column")
    best = max(trials, key=lambda trial: (round(trial.consistency, 2), trial.width))
    tab = next((trial for trial in trials if trial.delimiter == "\t" and trial.consistency >= NAMED_SHARE), None)
    if tab and file.lower().removesuffix(".gz").endswith(TAB_SUFFIXES):
        best = tab
    if best.consistency < CONSISTENT_SHARE and not delimiter:
        raise NotATable(file=file, detail="one_column")
    plain = _try(sample, whole, best.delimiter, csv.QUOTE_NONE)
    # Where each line is a whole row without minding quotes, a quote that spans lines is a stray one in a text.
    if plain and plain.consistency == 1 and plain.width == best.width and len(plain.rows) > len(best.rows):
        best = plain
    has_header = has_header_row(best.rows) if header == "auto" else header == "yes"
    return Dialect(best.delimiter, best.quoting, best.width, has_header, best.consistency)


def _character(delimiter: str) -> str:
    """The delimiter that people name: one character, or ``tab``."""
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter.strip().lower() or delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise DelimiterInvalid(delimiter=delimiter)
    return delimiter


@dataclass(frozen=True)
class _Trial:
    delimiter: str
    quoting: int
    width: int
    consistency: float
    rows: list[Row]


def _try(sample: str, whole: bool, delimiter: str, quoting: int) -> _Trial | None:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
    rows = [row for row in islice(reader, SAMPLE_ROWS) if any(row)]
    if not whole and len(rows) > 1 and len(rows) < SAMPLE_ROWS:
        rows.pop()  # cut off in the middle
    if not rows or len(rows[0]) < 2:
        return None
    width = len(rows[0])
    widths = Counter(len(row) for row in rows)
    return _Trial(delimiter, quoting, width, widths[width] / len(rows), rows)


def has_header_row(rows: list[Row]) -> bool:
    """Whether the first row names the columns: not if one of its cells is a number or a value that comes again."""
    first, others = rows[0], rows[1:]
    if not others or first in others:  # a repeated first row is a header that was pasted in again
        return True
    numbered = first[1:] if first[0] == "" else first
    if numbered == [str(number) for number in range(len(numbered))]:  # how pandas writes columns without names
        return True
    for index, name in enumerate(first):
        column = [row[index].strip() for row in others if len(row) > index]
        numbers = sum(_is_number(cell) for cell in column)
        if _is_number(name) and numbers > 0.5 * len(column):
            return False
        if name.strip() and column.count(name.strip()) >= max(2, 0.01 * len(column)):
            return False
    return True


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower() not in ("nan", "inf", "infinity", "-inf")


def first_row(open_bytes: Opener, text: TextFacts, dialect: Dialect) -> Row:
    """The first row that is not blank, as it stands."""
    with open_text(open_bytes, text) as stream:
        return next((row for row in _reader(stream, text, dialect) if any(row)), [])


def header_of(open_bytes: Opener, text: TextFacts, dialect: Dialect) -> list[str]:
    """The columns' names: unique and never empty; ``column_1`` … where the file names none."""
    names = first_row(open_bytes, text, dialect) if dialect.has_header else []
    return unique_names(names or [""] * dialect.width)


def unique_names(names: Iterable[str]) -> list[str]:
    """The names stripped; empty ones become ``column_<n>``, repeated ones get a number."""
    taken: list[str] = []
    for number, name in enumerate(names, 1):
        base = " ".join(name.split()) or f"column_{number}"
        name, copy = base, 2
        while name in taken:
            name, copy = f"{base}_{copy}", copy + 1
        taken.append(name)
    return taken


def read_rows(
    open_bytes: Opener, text: TextFacts, dialect: Dialect, irregular: Irregularities, file: str
) -> Iterator[Row]:
    """The data rows, each ``dialect.width`` cells; blank lines are passed over.

    Raises:
        QuoteNeverClosed: a quotation mark swallows the rest of the file.
    """
    irregular.long_lines = []
    header_is_next, start, line = dialect.has_header, 0, 0
    header: Row | None = None
    with open_text(open_bytes, text) as stream:
        reader = _reader(stream, text, dialect)
        try:
            for row in reader:
                start, line = line, reader.line_num
                if not row or (not row[0] and not any(row)):
                    continue
                if header_is_next:
                    header, header_is_next = row, False
                    continue
                if len(row) != dialect.width:
                    row = _fitted(row, dialect.width, irregular, start + 1)
                    if not row:
                        continue
                elif row == header:
                    continue
                if text.has_return:
                    row = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in row]
                yield row
        except csv.Error as error:
            raise QuoteNeverClosed(file=file, line=line + 1) from error
    if dialect.quoting != csv.QUOTE_NONE and line - start > 1 and _is_open_at_end(open_bytes, text, dialect, start):
        raise QuoteNeverClosed(file=file, line=start + 1)


def _fitted(row: Row, width: int, irregular: Irregularities, line: int) -> Row:
    if len(row) < width:
        irregular.short += 1
        return row + [""] * (width - len(row))
    if any(cell.strip() for cell in row[width:]):
        # Which cells belong together cannot be known: left out and told, never guessed.
        irregular.long += 1
        if irregular.long_lines is not None and len(irregular.long_lines) < 5:
            irregular.long_lines.append(line)
        return []
    return row[:width]


def _is_open_at_end(open_bytes: Opener, text: TextFacts, dialect: Dialect, start: int) -> bool:
    with open_text(open_bytes, text) as stream:
        lines = list(islice(stream, start, None))
    try:
        list(csv.reader(lines, delimiter=dialect.delimiter, strict=True))
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _reader(stream: io.TextIOBase, text: TextFacts, dialect: Dialect) -> csv._reader:  # type: ignore[name-defined]
    csv.field_size_limit(LONGEST_CELL)
    lines: Iterable[str] = (line.replace("\0", "") for line in stream) if text.has_nul else stream
    return csv.reader(lines, delimiter=dialect.delimiter, quoting=dialect.quoting)  # type: ignore[arg-type]


def open_text(open_bytes: Opener, text: TextFacts) -> io.TextIOWrapper:
    """The stream as text, with line ends as they stand."""
    return io.TextIOWrapper(open_bytes(), encoding=text.encoding, errors="replace", newline="")
