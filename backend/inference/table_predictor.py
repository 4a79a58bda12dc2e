"""The job that asks a finished run about a table: ``python -m backend.inference.table_predictor JOB``.

The table is read here, with the limits of an import; the model answers in a process of its own, which cleans each text
as those of training were. Never imports torch.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backend.data.cells import joining
from backend.data.composing import composed_texts
from backend.data.delimited import unique_names
from backend.data.files import SourceFile
from backend.data.formats import Reading
from backend.data.importer import TIME_LIMIT_S, limit_memory, limited_time, too_large, write_table
from backend.data.new_labels import Truth, read_truth
from backend.data.reading import open_files
from backend.data.template import label_columns, text_columns
from backend.data.text_cleaning import clean, recipe_of
from backend.errors import ColumnMissing, RunNotFinished, TextMissing
from backend.inference.client import Predictor
from backend.inference.result_files import Write, written_table
from backend.inference.table_predicting import predictions_path
from backend.jobs.phases import READING
from backend.jobs.platform import limits_kept
from backend.jobs.process import JobContext, run_job
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from backend.settings import Home
from backend.specs import DataSpec, ReadingSpec, RunSpec, build_spec

PREDICTING = "predicting"
ROWS_AT_ONCE = 4096
FEWEST_TEXTS, MOST_TEXTS = 32, 2048
QUESTION_S = 2.0
"""About how long one question to the model may take: a stop is heard between two."""
UNKNOWN_TOLD = 20
DECIMALS = 6


def predict_table(context: JobContext) -> dict[str, Any]:
    """Predict the rows of the table that the spec names; see `backend.inference.table_predicting.start_table`.

    Raises:
        RunMissing, RunNotFinished: the run is gone, or has no report yet.
        DataError: the table cannot be read, or has not the columns that the run's texts are made of.
        TextMissing: no row has a text.
        PredictorFailed, ModelError: the model cannot be asked.
    """
    run = RunStore(Home(context.path.parents[1])).get(context.spec["run"])
    spec, report = build_spec(run.spec), read_report(run)
    if report is None:
        raise RunNotFinished(run=run.name or run.id, state=run.status().state)
    data, text = spec.data, context.spec["text"]
    if text:
        data = data.model_copy(update={"text_column": text, "template": ""})
    table = context.path / "table.parquet"
    try:
        with context.phase(READING), reading_limits(context):
            write_table(context, open_with(context, spec.reading, text_columns(data)), table)
            truth = truth_of(table, data, spec, report)
        with context.phase(PREDICTING), Predictor(run.path) as predictor:
            steps = recipe_of(run.path / "model")
            asked = Asked(context, data, report["task"], report["labels"], steps, predictor)
            told = write_predictions(table, asked)
    finally:
        table.unlink(missing_ok=True)
    measured = measured_by(truth, asked) if truth is not None else None
    out = context.spec["out"]
    kept = None if out else context.spec["format"]
    return {"file": Path(out).name if out else "", "predictions": kept, **told, "measured": measured}


# ------------------------------------------------------------------------------------------------ reading


@contextmanager
def reading_limits(context: JobContext) -> Iterator[None]:
    """The limits of an import for the block alone: the model's process, started later, must not inherit them.

    Raises:
        TooLarge, TooSlow: they were reached.
    """
    with limits_kept():
        limit_memory()
        try:
            with limited_time(context.spec["name"], TIME_LIMIT_S, context):
                yield
        except MemoryError as error:
            raise too_large(context.spec["name"]) from error


def open_with(context: JobContext, asked: ReadingSpec, columns: Sequence[str]) -> Reading:
    """The table opened as it is found, or as the run's table was read where that alone gives the columns.

    Raises:
        ColumnMissing: it has not all of them.
    """
    file = SourceFile(Path(context.spec["table"]), context.spec["name"])
    reading = open_files([file])
    if not set(columns) <= set(reading.columns) and asked != ReadingSpec():
        reading = open_files([file], asked)
    for column in columns:
        if column not in reading.columns:
            raise ColumnMissing(column=column, available=reading.columns)
    return reading


def truth_of(table: Path, data: DataSpec, spec: RunSpec, report: dict[str, Any]) -> Truth | None:
    """What the table says of its labels; None where it says nothing of them. Raises `LabelColumnNotBinary`."""
    there = pq.read_schema(table).names
    columns = pq.read_table(table, columns=[name for name in label_columns(data) if name in there])
    steps = [step.model_dump(mode="json") for step in spec.prepare.steps]
    return read_truth(columns, data, steps, report["task"], report["labels"])


# ------------------------------------------------------------------------------------------------ predicting


@dataclass
class Asked:
    """A run's model on its way through a table."""

    context: JobContext
    data: DataSpec
    task: str
    labels: list[str]
    steps: list[dict[str, Any]]
    """What the model's process does to each text first: one of which nothing is left counts as blank."""
    predictor: Predictor
    texts_at_once: int = FEWEST_TEXTS

    def __post_init__(self) -> None:
        self.number = {label: index for index, label in enumerate(self.labels)}
        self.decided: list[np.ndarray[Any, Any]] = []
        """For each piece of the table the predicted label numbers (rows,), of several labels 0 and 1 (rows, labels)."""
        self.asked: list[np.ndarray[Any, np.dtype[np.bool_]]] = []
        """And whether each row had a text."""

    def answers(self, texts: list[str], done: int, total: int) -> list[dict[str, Any] | None]:
        """The answer to each text, None where it is blank; ``done`` of the ``total`` rows came before."""
        found: list[dict[str, Any] | None] = [None] * len(texts)
        rows = [row for row, text in enumerate(texts) if clean(text, self.steps).strip()]
        while rows:
            self.context.check_stop()
            some, rows = rows[: self.texts_at_once], rows[self.texts_at_once :]
            begun = time.monotonic()
            answers = self.predictor.predict([texts[row] for row in some]).answers
            for row, answer in zip(some, answers, strict=True):
                found[row] = answer
            spent = time.monotonic() - begun
            if len(some) == self.texts_at_once:
                fitting = int(self.texts_at_once * min(2.0, QUESTION_S / max(spent, 1e-3)))
                self.texts_at_once = min(MOST_TEXTS, max(FEWEST_TEXTS, fitting))
            self.context.progress(done + some[-1] + 1, total, unit="texts")
        return found

    def keep(self, answers: Sequence[dict[str, Any] | None]) -> None:
        """Note what was decided."""
        several = self.task == "multilabel"
        decided = np.zeros((len(answers), len(self.labels)) if several else len(answers), np.int8 if several else int)
        for row, answer in enumerate(answers):
            if answer is None:
                continue
            if several:
                decided[row, [self.number[label] for label in answer["label"]]] = 1
            else:
                decided[row] = self.number[answer["label"]]
        self.decided.append(decided)
        self.asked.append(np.array([answer is not None for answer in answers], dtype=bool))

    @property
    def counts(self) -> dict[str, int]:
        """Rows with each predicted label."""
        counts: Counter[int] = Counter()
        for decided, asked in zip(self.decided, self.asked, strict=True):
            numbers = np.nonzero(decided[asked])[1] if decided.ndim == 2 else decided[asked]
            counts.update(numbers.tolist())
        return {label: counts[index] for index, label in enumerate(self.labels)}


def write_predictions(table: Path, asked: Asked) -> dict[str, Any]:
    """Ask about all rows and write the result; gives the numbers of rows and of predicted labels.

    Raises:
        TextMissing: no row has a text; nothing is written.
    """
    spec = asked.context.spec
    with pq.ParquetFile(table) as file:
        rows, columns = file.metadata.num_rows, file.schema_arrow.names
        added = ["predicted_label", *(f"probability_{label}" for label in asked.labels)]
        added = unique_names([*columns, *added])[len(columns) :]
        one = pa.list_(pa.string()) if asked.task == "multilabel" and spec["format"] != "csv" else pa.string()
        fields = [*((name, pa.string()) for name in columns), (added[0], one)]
        schema = pa.schema([*fields, *((name, pa.float64()) for name in added[1:])])
        target = Path(spec["out"]) if spec["out"] else predictions_path(asked.context.job)
        with written_table(target, spec["format"], schema) as write:
            _write_rows(file, asked, schema, write)
            if not any(part.any() for part in asked.asked):
                raise TextMissing
    predicted = sum(int(part.sum()) for part in asked.asked)
    asked.context.progress(rows, rows, unit="texts")
    return {"rows": rows, "predicted": predicted, "blank": rows - predicted, "labels": asked.counts}


def _write_rows(file: pq.ParquetFile, asked: Asked, schema: pa.Schema, write: Write) -> None:
    done, total = 0, file.metadata.num_rows
    mark = joining(asked.labels, asked.data.label_separator)
    for batch in file.iter_batches(ROWS_AT_ONCE):
        piece = pa.Table.from_batches([batch])
        column = composed_texts(piece, asked.data.template) if asked.data.template else piece[asked.data.text_column]
        answers = asked.answers([text or "" for text in column.to_pylist()], done, total)
        asked.keep(answers)
        labels = [None if answer is None else answer["label"] for answer in answers]
        if schema.types[len(piece.column_names)] == pa.string():
            labels = [mark.join(label) if isinstance(label, list) else label for label in labels]
        chances = [
            [None if answer is None else round(answer["scores"][label], DECIMALS) for answer in answers]
            for label in asked.labels
        ]
        added = zip((labels, *chances), schema.types[len(piece.column_names) :], strict=True)
        write(pa.table([*piece.columns, *(pa.array(cells, kind) for cells, kind in added)], schema=schema))
        done += len(piece)


def measured_by(truth: Truth, asked: Asked) -> dict[str, Any]:
    """How well the run did on the rows whose label it knows."""
    from backend.evaluation.metrics import compare

    had_text, decided = np.concatenate(asked.asked), np.concatenate(asked.decided)
    used = np.flatnonzero(had_text & truth.known)
    metrics = compare(asked.task, decided[used], truth.targets[used], len(asked.labels)) if len(used) else None
    unknown = dict(truth.unknown.most_common(UNKNOWN_TOLD))
    return {"rows": len(used), "left_out": int(had_text.sum()) - len(used), "unknown": unknown, "metrics": metrics}


if __name__ == "__main__":
    sys.exit(run_job(predict_table))
