"""Reads files one after the other under an import's limits: a path a line in, an outcome a line out.

``python -m tests.data.fuzz_reader MEMORY_BYTES``. An outcome is ``table ROWS`` or ``refused CODE``; anything else that
a reader raises ends the process, as it would end an import without a word.
"""

from __future__ import annotations

import sys
from pathlib import Path

from backend.data.importer import limit_memory
from backend.data.reading import open_table
from backend.errors import StudioError


def main() -> None:
    """Answer until the input ends."""
    limit_memory(int(sys.argv[1]))
    for line in sys.stdin:
        try:
            rows = sum(batch.num_rows for batch in open_table(Path(line.rstrip("\n"))).batches)
            print(f"table {rows}", flush=True)
        except StudioError as refusal:
            print(f"refused {refusal.code}", flush=True)
        except MemoryError:
            print("refused data.too_large", flush=True)  # what the import makes of it


if __name__ == "__main__":
    main()
