"""How good the starter model is, against TF-IDF with logistic regression on the same splits.

    python -m benchmarks.starter_quality --dataset waimai --splits 10 --json

Trains through the product's own code, in this process. The data sets are read from ``--data``, by default the folder
``shared/data`` beside the repository; a data set with a test part of its own has one split whatever is asked.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend import worker
from backend.data.splitting import LabelledTexts, Splits
from backend.environment import prepare_environment
from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext
from backend.models.forward import predict_logits
from backend.recipes import with_recipe
from backend.specs import RunSpec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SHOPPING_ROWS = 20_000
Table = tuple[list[str], list[str]]


def main() -> None:
    """Measure every split and print a table, and with ``--json`` a last line for programs."""
    options = read_options()
    results = []
    seeds = range(options.first, options.first + options.splits)
    for seed, labelled, splits in all_splits(options.dataset, options.data, seeds, options.validation):
        results.append(measure_split(labelled, splits, seed))
        shown = {name: round(value, 4) for name, value in results[-1].items()}
        print(f"split {seed}  " + "  ".join(f"{name} {value}" for name, value in shown.items()), flush=True)
    summary = {name: _mean_and_sd([result[name] for result in results]) for name in results[0]}
    for name, figure in summary.items():
        print(f"{name:22s} {figure['mean']:.4f} ± {figure['sd']:.4f}")
    if options.json:
        print(json.dumps({"dataset": options.dataset, "splits": len(results), **summary}))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Quality of the starter model against TF-IDF")
    parser.add_argument("--dataset", choices=["waimai", "sst2", "trec", "shopping"], default="waimai")
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="seed of the first split")
    parser.add_argument("--validation", type=float, default=0.1, help="share of the training rows")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def measure_split(labelled: LabelledTexts, splits: Splits, seed: int) -> dict[str, float]:
    """Train on one split; accuracy and F1 (of the second label, or macro) of the starter and of TF-IDF."""
    spec = with_recipe(RunSpec().replaced(split__seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        job = JobDirectory.create(Path(folder), kind="run", module="backend.worker", spec=spec.model_dump())
        context = JobContext(job)
        tfidf = worker.measure_baselines(context, labelled, splits)["tfidf"]
        started, computed = time.monotonic(), time.process_time()
        prepared = worker.prepare_model(context, spec, labelled, splits)
        before = predict_logits(prepared.loaded.model, prepared.test.texts).argmax(axis=1)
        ready = time.monotonic()
        data = worker.learned_from(labelled, splits)
        arguments = worker.training_arguments(context, spec, prepared, data)
        outcome = worker.fine_tune(context, spec, prepared, arguments, labelled.task, data, resumed=None)
        seconds, cpu_seconds = time.monotonic() - started, time.process_time() - computed
        answers = predict_logits(prepared.loaded.model, prepared.test.texts).argmax(axis=1)
    truth = labelled.targets[splits.test]
    average = "binary" if labelled.task == "binary" else "macro"
    f1 = "f1" if labelled.task == "binary" else "f1_macro"
    return {
        "accuracy": float(np.mean(answers == truth)),
        "f1": float(f1_score(truth, answers, average=average)),
        "tfidf_accuracy": tfidf["accuracy"],
        "tfidf_f1": tfidf[f1],
        "accuracy_before": float(np.mean(before == truth)),
        "best_epoch": outcome.best.epoch if outcome.best else 0.0,
        "seconds": seconds,
        "of_it_preparing": ready - started,
        "processor_seconds": cpu_seconds,
    }


def all_splits(
    dataset: str, data: Path, seeds: range, validation_share: float
) -> Iterator[tuple[int, LabelledTexts, Splits]]:
    """The seed, the texts and the stratified parts of each split."""
    if dataset in ("sst2", "trec"):
        known, asked = (
            (_sst2(data), _sst2(data, "test")) if dataset == "sst2" else (_trec(data), _trec(data, "TREC_10.en"))
        )
        labelled = _labelled((known[0] + asked[0], known[1] + asked[1]))
        given = np.arange(len(known[0])), np.arange(len(known[0]), len(labelled))
        seeds = seeds[:1]
    else:
        labelled = _labelled(_waimai(data) if dataset == "waimai" else _shopping(data))
        given = None
    for seed in seeds:
        rows, targets = np.arange(len(labelled)), labelled.targets
        train, test = given or train_test_split(rows, test_size=0.1, random_state=seed, stratify=targets)
        train, validation = train_test_split(
            train, test_size=validation_share, random_state=seed + 100, stratify=targets[train]
        )
        yield seed, labelled, Splits(np.sort(train), np.sort(validation), np.sort(test))


def _labelled(table: Table) -> LabelledTexts:
    texts, names = table
    labels = sorted(set(names))
    numbers = {label: number for number, label in enumerate(labels)}
    targets = np.array([numbers[name] for name in names])
    return LabelledTexts("binary" if len(labels) == 2 else "multiclass", texts, labels, targets, np.arange(len(texts)))


def _from_csv(source: Any, text: str, label: str) -> Table:
    table = pd.read_csv(source, dtype=str, keep_default_na=False)
    table = table[table[text].str.strip() != ""]
    return table[text].tolist(), table[label].tolist()


def _waimai(data: Path) -> Table:
    return _from_csv(data / "waimai_10k.csv", "review", "label")


def _shopping(data: Path) -> Table:
    with zipfile.ZipFile(data / "online_shopping_10_cats.zip") as archive:
        name = next(entry for entry in archive.namelist() if entry.endswith(".csv"))
        texts, cats = _from_csv(io.BytesIO(archive.read(name)), "review", "cat")
    rows, _ = train_test_split(np.arange(len(texts)), train_size=SHOPPING_ROWS, random_state=0, stratify=cats)
    return [texts[row] for row in rows], [cats[row] for row in rows]


def _sst2(data: Path, part: str = "train") -> Table:
    rows = [line.rsplit("\t", 1) for line in (data / "sst2" / f"{part}.tsv").read_text("utf-8").strip().split("\n")]
    return [row[0] for row in rows], [row[1] for row in rows]


def _trec(data: Path, part: str = "train_5500") -> Table:
    lines = (data / "trec" / f"{part}.label").read_text("utf-8", "replace").strip().split("\n")
    rows = [line.split(" ", 1) for line in lines]
    return [row[1] for row in rows], [row[0].split(":")[0] for row in rows]


def _mean_and_sd(values: list[float]) -> dict[str, float]:
    return {"mean": float(np.mean(values)), "sd": float(np.std(values))}


if __name__ == "__main__":
    prepare_environment()
    main()
