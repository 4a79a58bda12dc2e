"""Examples a second of the studio's Auto against the plain script that people write, in one run.

    python -m benchmarks.training_speed [--rows N] [--seeds N] [--precision fp32] [--json]

The shape is that of rbt3 (3 layers of width 768, vocabulary 21,128) with random weights, the texts are waimai_10k at
batch 64 and at most 128 tokens. *Plain* is `transformers.Trainer` as it comes: fp32, AdamW, random batches, dynamic
padding. *Auto* is a run of the product with everything left open: its worker, events, checkpoints and evaluations.
Both learn one epoch of the same rows, each in a process of its own; seconds are those of training, for Auto with all
that goes on within it. With ``--precision fp32`` everything else is left open, as on a processor without bf16.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertModel,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend import worker
from backend.data.datasets import dataset_of, start_import, wait
from backend.evaluation.metrics import mean_loss
from backend.jobs.events import Evaluated
from backend.jobs.process import JobContext
from backend.jobs.store import RunStore
from backend.models.encoding import encode
from backend.models.forward import predict_logits
from backend.settings import Home
from backend.specs import RunSpec, build_spec

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LAYERS, BATCH_SIZE, MAX_LENGTH, LEARNING_RATE = 3, 64, 128, 2e-5


def main() -> None:
    """Measure both ways with each seed and print their ratio."""
    options = read_options()
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder) / "rbt3-shape", options.data)
        home = Home(Path(folder) / "home").prepare()
        imported = start_import(home, options.data / "waimai_10k.csv")
        wait(imported)
        dataset = dataset_of(imported)
        specs = [spec_of(dataset, base, options.rows, seed, options.precision) for seed in range(options.seeds)]
        results = [measure(home, spec) for spec in specs]
    summary = {name: float(np.mean([result[name] for result in results])) for name in results[0]}
    summary["ratio"] = summary["auto"] / summary["plain"]
    for name, value in summary.items():
        print(f"{name:12s} {value:.4g}")
    if options.json:
        print(json.dumps({name: round(value, 4) for name, value in summary.items()}))


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Training speed of Auto against a plain script")
    parser.add_argument("--rows", type=int, default=0, help="rows of the table that are used; 0: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--precision", default="auto", help="of Auto's run")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def make_base(folder: Path, data: Path) -> Path:
    """A base model of the shape with random weights and the real tokenizer."""
    source = data / "bert-base-chinese-tokenizer"
    torch.manual_seed(0)
    BertModel(AutoConfig.from_pretrained(source, num_hidden_layers=LAYERS)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def spec_of(dataset: str, base: Path, rows: int, seed: int, precision: str) -> RunSpec:
    """One epoch, in which nothing else is asked for than what the plain script says, too."""
    return build_spec(
        {
            "data": {"source": "waimai_10k.csv", "dataset": dataset, "text_column": "review", "label_column": "label"},
            "sample": {"rows": rows},
            "split": {"seed": seed},
            "model": {"base": str(base)},
            "training": {
                "epochs": 1,
                "batch_size": BATCH_SIZE,
                "learning_rate": LEARNING_RATE,
                "max_length": MAX_LENGTH,
                "precision": precision,
            },
        }
    )


def measure(home: Home, spec: RunSpec) -> dict[str, float]:
    """Examples a second of both ways, and their losses on the same validation rows after the epoch."""
    auto, plain = (in_its_own_process(way, home, spec) for way in (measure_auto, measure_plain))
    print(
        f"seed {spec.split.seed}  " + "  ".join(f"{name} {value:.4g}" for name, value in (auto | plain).items()),
        flush=True,
    )
    return auto | plain


def in_its_own_process(way: Callable[[Home, RunSpec], dict[str, float]], home: Home, spec: RunSpec) -> dict[str, float]:
    """What is measured that way, where nothing was set or learned before."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(way, (home, spec))


def measure_auto(home: Home, spec: RunSpec) -> dict[str, float]:
    """The product's own run, from the first step of training to its last."""
    run = RunStore(home).create(spec)
    context = JobContext(run)
    worker.train(context)
    split = next(event for event in run.events() if type(event).__name__ == "DataSplit")
    evaluated = [event for event in run.events() if isinstance(event, Evaluated) and event.split == "validation"]
    rows: int = split.train  # type: ignore[attr-defined]
    return {"auto": rows / context.seconds["training"], "auto_loss": evaluated[-1].loss}


def measure_plain(home: Home, spec: RunSpec) -> dict[str, float]:
    """The script that people write, on the rows that the product's run had."""
    context = JobContext(RunStore(home).create(spec))
    rows, labelled = worker.read(context, spec)
    labelled, splits = worker.divide(context, rows, labelled, spec)
    tokenizer = AutoTokenizer.from_pretrained(spec.model.base)

    def dataset_of_rows(chosen: Any) -> Dataset:
        texts = [labelled.texts[i] for i in chosen]
        document = {"text": texts, "labels": labelled.targets[chosen].tolist()}
        tokenise = lambda batch: tokenizer(batch["text"], truncation=True, max_length=MAX_LENGTH)  # noqa: E731
        return Dataset.from_dict(document).map(tokenise, batched=True, remove_columns=["text"])

    set_seed(spec.split.seed)
    model = AutoModelForSequenceClassification.from_pretrained(spec.model.base, num_labels=2, dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            per_device_train_batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            weight_decay=0.01,
            warmup_steps=0.1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=spec.split.seed,
        )
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=dataset_of_rows(splits.train),
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        started = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - started
    texts = [labelled.texts[i] for i in splits.validation]
    logits = predict_logits(model, encode(tokenizer, texts, MAX_LENGTH))
    loss = mean_loss("binary", logits, labelled.targets[splits.validation])
    return {"plain": len(splits.train) / seconds, "plain_loss": loss}


if __name__ == "__main__":
    main()
