"""A finished run with a real, tiny, untrained model, and a Hub to push it to."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.events import DataSplit, EventLog, JobCompleted
from backend.jobs.files import write_json
from backend.jobs.status import JobStatus
from backend.settings import Home
from backend.specs import build_spec
from tests.hub_standin import HubStandIn

LABELS = ["差评", 'good | "quoted" *bold* <b>']
NAME = "外卖 waimai · test"
SECRET_FOLDER = "/home/somebody/private-folder"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that Transformers itself wrote: BERT of random weights, about 1 MB, with the labels above."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny") / "model"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"饭菜有些咸很好吃！", "good", "bad", "food"]
    vocabulary = folder.parent / "vocab.txt"
    vocabulary.write_text("\n".join(words), "utf-8")
    torch.manual_seed(1)
    shape = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 512}
    names = dict(enumerate(LABELS))
    config = BertConfig(
        vocab_size=len(words),
        id2label=names,
        label2id={v: k for k, v in names.items()},
        max_position_embeddings=64,
        **shape,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(vocab=str(vocabulary), model_max_length=64).save_pretrained(folder)
    return folder


@pytest.fixture
def run(home: Home, tiny_model: Path) -> JobDirectory:
    """A completed run in the home, as the training worker leaves it."""
    return make_run(home, tiny_model)


def make_run(home: Home, model: Path, *, name: str = NAME, base: str = "starter", **report: Any) -> JobDirectory:
    """A completed run of this model. ``report`` replaces entries of its report."""
    spec = build_spec(
        {
            "data": {
                "source": f"{SECRET_FOLDER}/waimai_10k.csv",
                "dataset": "0123456789abcdef",
                "text_column": "review",
                "label_column": "label",
            },
            "model": {"base": base},
            "training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.001, "max_length": 64},
        }
    )
    job = JobDirectory.create(home.runs, kind="train", module="backend.worker", spec=spec.model_dump())
    job.set_name(name)
    shutil.copytree(model, job.path / "model")
    (job.path / "checkpoints" / "checkpoint-4").mkdir(parents=True)
    (job.path / "checkpoints" / "checkpoint-4" / "optimizer.pt").write_bytes(b"state")
    (job.path / "model" / "training_args.bin").write_bytes(b"a pickle that must not be handed on")
    metrics = {
        "accuracy": 0.9125,
        "f1": 0.871,
        "f1_macro": 0.9,
        "mcc": 0.8,
        "precision": 0.88,
        "recall": 0.862,
        "loss": 0.25,
    }
    lower = {name: value / 2 for name, value in metrics.items()}
    document = {
        "run": job.id,
        "state": "completed",
        "task": "binary",
        "labels": LABELS,
        "positive_label": LABELS[1],
        "metrics": metrics,
        "baselines": {"majority": lower, "tfidf": lower, "before": lower},
        "per_label": [{"label": label, "precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 60} for label in LABELS],
        "confusion": [[50, 10], [5, 55]],
        "rows": {"train": 972, "validation": 108, "test": 120},
        "best": {"step": 4, "epoch": 1.0, "metrics": metrics},
        "kept": None,
        "model": str(job.path / "model"),
        "base": base,
        "parameters": 123456,
        "device": "cpu",
        "precision": "fp32",
        "examples_per_second": 100.0,
        "seconds": {"training": 2.0},
    }
    write_json(job.path / "report.json", {**document, **report})
    counts = {"train": {LABELS[0]: 400, LABELS[1]: 572}}
    log = EventLog(job.events_path)
    log.write(DataSplit(train=972, validation=108, test=120, labels=LABELS, counts=counts))
    log.write(JobCompleted({"metrics": metrics}))
    log.close()
    job.write_exit(
        {"state": "completed", "ended": time.time(), "exit_code": 0, "signal": None, "error": None, "kept": None}
    )
    return job


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub of its own for the test, where every process started from here looks for the Hub."""
    with HubStandIn() as standin:
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for name, value in standin.environ().items():
            monkeypatch.setenv(name, value)
        yield standin


def ended(job: JobDirectory, timeout_s: float = 60.0) -> JobStatus:
    """The job's status when it is over."""
    deadline = time.monotonic() + timeout_s
    while not (status := job.status()).state.is_final:
        assert time.monotonic() < deadline, f"still {status.state} in {status.phase}: {job.log_path.read_text()}"
        time.sleep(0.05)
    return status
