"""Prints a workbook's sheet as JSON lines: ``python -m backend.data.sheet_rows FILE [SHEET]``.

A process of its own, because the library that reads workbooks ends its process when memory runs out. First line:
``{"sheets": [...], "sheet": name, "rows": n}`` or ``{"error": reason}``; then blocks of rows, every cell a text or
null. It imports next to nothing, so that it starts quickly.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum

from backend.data.cells import cell_text

BLOCK_ROWS = 2000
LARGEST_SHEET_CELLS = 64_000_000


def main(path: str, asked: str) -> None:
    """Print the sheet that is asked for, else the first visible one with a table, else the first one."""
    try:
        workbook = CalamineWorkbook.from_path(path)
        sheets = [sheet.name for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
        visible = [s.name for s in workbook.sheets_metadata if s.name in sheets and str(s.visible).endswith("Visible")]
        if not sheets or (asked and asked not in sheets):
            say({"error": "sheet", "sheets": sheets})
            return
        name, sheet = _chosen(workbook, [asked] if asked else [*visible, *sheets])
    except PasswordError:
        say({"error": "encrypted"})
    except (CalamineError, OSError, ValueError):
        say({"error": "damaged"})
    else:
        if sheet.height * sheet.width > LARGEST_SHEET_CELLS:
            say({"error": "size"})
            return
        say({"sheets": sheets, "sheet": name, "rows": sheet.height})
        rows = _rows_of(sheet)
        while block := list(islice(rows, BLOCK_ROWS)):
            say(block)


def _chosen(workbook: CalamineWorkbook, names: list[str]) -> tuple[str, CalamineSheet]:
    found = None
    for name in names:
        sheet = workbook.get_sheet_by_name(name)
        found = found or (name, sheet)
        if sheet.width > 1 and sheet.height > 1:
            return name, sheet
    assert found is not None
    return found


def _rows_of(sheet: CalamineSheet) -> Iterator[list[str | None]]:
    rows: Iterable[list[Any]] = sheet.iter_rows()
    for row in rows:
        yield [cell_text(value) for value in row]


def say(document: Any) -> None:
    """Print one line."""
    sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
