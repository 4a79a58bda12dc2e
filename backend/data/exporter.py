"""The export job: ``python -m backend.data.exporter JOB``. Writes the training, validation and test parts as files.

CSV is written as UTF-8 with a byte-order mark, without which Excel reads Chinese as something else; the readers that
matter here (pandas with ``utf-8-sig``, the studio itself) know it. A text of several labels has them with a mark
between that no label holds. The column ``row`` is the row's number in the imported table, from 1.
"""

from __future__ import annotations

import codecs
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from backend.data.cells import joining
from backend.data.datasets import dataset_folder, load_profile
from backend.data.describer import surroundings
from backend.data.exporting import ARCHIVE, fold_folder
from backend.data.labelling import LabelledTexts
from backend.data.pipeline import divide_prepared, label_prepared, needed_columns, prepare_rows, read_table
from backend.data.rows import Indices, TextRows
from backend.data.splitting import PARTS
from backend.jobs.files import place, write_json
from backend.jobs.process import JobContext, run_job
from backend.settings import Home
from backend.specs import Choices

ROWS_AT_ONCE = 50_000
ABOUT = "prepared.json"


def export(context: JobContext) -> dict[str, Any]:
    """Write the parts that the spec asks for; the result is what `backend.data.exporting.start_export` promises."""
    home, choices = Home(Path(context.spec["home"])), Choices(**context.spec["choices"])
    folder, profile = dataset_folder(home, choices.data.dataset), load_profile(home, choices.data.dataset)
    target = Path(context.spec["out"]) if context.spec["out"] else context.path / "prepared"
    target.mkdir(parents=True, exist_ok=True)
    with context.phase("profiling"):
        around = surroundings(context, folder)
        prepared = prepare_rows(read_table(folder, needed_columns(choices, profile)), profile, choices, around)
        labelled = label_prepared(prepared, choices, with_texts=False)
        folds = range(1, choices.split.folds + 1) if context.spec.get("all_folds") else ()
        wanted = [choices.replaced({"split.fold": fold}) for fold in folds] or [choices]
        # All of them before the first is written: one that is not possible leaves no half of the files.
        divisions = [divide_prepared(labelled, prepared, one) for one in wanted]
    written: list[dict[str, Any]] = []
    with context.phase("exporting"):
        names = _column_names(choices)
        for one, division in zip(wanted, divisions, strict=True):
            place = target / fold_folder(one.split.fold) if folds else target
            place.mkdir(exist_ok=True)
            files = []
            for name in PARTS:
                path = place / f"{name}.{context.spec['format']}"
                rows: Indices = getattr(division.splits, name)
                _write(path, names, _tables(context, prepared.rows, labelled, rows, names))
                files.append(str(path.relative_to(target)))
            counts = {name: len(getattr(division.splits, name)) for name in PARTS}
            told: dict[str, Any] = {"rows": counts, "split": division.method, "notes": division.notes}
            written.append(({"fold": one.split.fold, "files": files} if folds else {}) | told)
        about: dict[str, Any] = {"labels": labelled.labels, "task": labelled.task, "steps": prepared.steps}
        about |= {"folds": written} if folds else written[0]
        files = [file for fold in written for file in fold["files"]] if folds else files
        write_json(target / ABOUT, {**about, "choices": choices.model_dump(mode="json")})
        if not context.spec["out"]:
            _pack(context.path / ARCHIVE, [target / name for name in (*files, ABOUT)])
    return {"files": files, "archive": not context.spec["out"], **about}


def _column_names(choices: Choices) -> list[str]:
    text, label = choices.data.text_column or "text", choices.data.label_column or "label"
    if choices.data.template:
        text = "text"
    return [text, label if label != text else "label", "row" if "row" not in (text, label) else "row number"]


def _tables(
    context: JobContext, rows: TextRows, labelled: LabelledTexts, part: Indices, names: Sequence[str]
) -> Iterator[pa.Table]:
    """The rows of a part as tables of a few thousand rows."""
    place = np.searchsorted(rows.numbers, labelled.rows)  # both ascend
    words = _label_words(labelled)
    for start in range(0, max(len(part), 1), ROWS_AT_ONCE):
        context.check_stop()
        some = part[start : start + ROWS_AT_ONCE]
        texts = rows.texts.take(pa.array(place[some])).cast(pa.string())
        labels = pa.array([words(row) for row in some], pa.string())
        columns = [texts, labels, pa.array(labelled.rows[some] + 1)]
        yield pa.table(dict(zip(names, columns, strict=True)))


def _label_words(labelled: LabelledTexts) -> Any:
    if labelled.task != "multilabel":
        return lambda row: labelled.labels[labelled.targets[row]]
    mark = joining(labelled.labels)
    return lambda row: mark.join(labelled.labels[i] for i in np.flatnonzero(labelled.targets[row]))


def _write(path: Path, names: Sequence[str], tables: Iterator[pa.Table]) -> None:
    unfinished = path.with_name(f".{path.name}.part")
    schema = pa.schema([(names[0], pa.string()), (names[1], pa.string()), (names[2], pa.int64())])
    if path.suffix == ".parquet":
        with pq.ParquetWriter(unfinished, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
    else:
        with open(unfinished, "wb") as stream:
            stream.write(codecs.BOM_UTF8)
            with pc.CSVWriter(stream, schema) as writer:
                for table in tables:
                    writer.write_table(table)
    place(unfinished, path)


def _pack(archive: Path, files: Sequence[Path]) -> None:
    unfinished = archive.with_name(f".{archive.name}.part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as target:
        for file in files:
            target.write(file, file.name)
            file.unlink()
    place(unfinished, archive)


if __name__ == "__main__":
    sys.exit(run_job(export))
