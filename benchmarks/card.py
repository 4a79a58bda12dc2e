"""On a graphics card: examples a second, share of its arithmetic and peak memory of Auto beside the plain script.

    python -m benchmarks.card [--only bert,bert-posts,lora,full] [--set PATH=VALUE …] [--steps N] [--tiny] [--json]

Models have the shapes of bert-base and Phi-3-mini (3.8 B) and random weights; texts are pieces of the posts of an MBTI
table. *Plain* is `transformers.Trainer` as people set it up: weights and arithmetic in fp32 (for Phi-3 with tf32, as it
would not end otherwise), random batches, dynamic padding; Phi-3 with LoRA, or whole with 8-bit AdamW, with 8 texts at
a time or as many less as there is memory for. *Auto* is the trainer of the product with everything left open, as
the lab tries it; with ``--set`` a third way, Auto with these settings. Each is measured in a process of its own and
in a second pass over the texts: in the first a card loads kernels and plans attention for every new length.

The share of the card's arithmetic (model FLOP utilisation, Chowdhery et al. 2022) counts the products of the layers'
weights with the texts' own tokens: forward once and backward twice, with LoRA once. Padding, attention and what is
computed again count as nothing. It is a share of what the card does in one large bf16 product, measured in the same
run. ``--tiny`` tries all of this with small shapes, also without a card.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to be run by its path, too

from backend.environment import prepare_environment
from backend.errors import StudioError
from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext
from backend.lab import bench
from backend.models.memory import is_memory_error
from backend.models.starter import learn_tokenizer
from backend.recipes import with_recipe
from backend.specs import build_spec
from backend.training.memory import peak_bytes

TABLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "mbti_1.csv"
MAX_LENGTH, VOCABULARY = 512, 8000
PRODUCT = 8192
TRAIN_ROWS = 300_000
"""Of the run that Auto decides for: a tenth of three million."""
SHAPES: dict[str, dict[str, Any]] = {
    "bert": {"model_type": "bert", "vocab_size": 30_522},
    "phi3": {"model_type": "phi3", "vocab_size": 32_064, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
}
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY_PHI = {"num_key_value_heads": 4}


@dataclass(frozen=True)
class Case:
    """What is trained, and how the two ways are asked for it."""

    shape: str
    words: tuple[int, int]
    """The fewest and the most of a text."""
    batch_size: int
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the product, by path."""
    plain: dict[str, Any] = field(default_factory=dict)
    """`TrainingArguments`."""
    lora: bool = False


CASES = {
    "bert": Case("bert", (60, 600), 64),
    "bert-posts": Case("bert", (5, 60), 64),
    "lora": Case("phi3", (60, 600), 8, {"adapting.adapter": "lora"}, {"tf32": True}, lora=True),
    "full": Case("phi3", (60, 600), 8, {}, {"tf32": True, "optim": "adamw_8bit"}),
}


def main() -> None:
    """Measure what is asked for, each in a process of its own, and print a line for each."""
    options = read_options()
    names = options.only.split(",") if options.only else list(CASES)
    with tempfile.TemporaryDirectory() as folder:
        found = run_all(Path(folder), names, options)
    print(json.dumps(found) if options.json else "")


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Training on a graphics card: Auto beside the plain script")
    parser.add_argument("--only", default="", help=f"some of {', '.join(CASES)}")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--set", action="append", default=[], help="PATH=VALUE of a setting: a third way beside Auto")
    parser.add_argument("--data", type=Path, default=TABLE)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def run_all(folder: Path, names: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Figures by case and way; and ``tflops``, what the card does in a large product."""
    tflops = run_one({"way": "matmul", "tiny": options.tiny})["tflops"]
    print(f"large bf16 products: {tflops:.1f} TFLOP/s", flush=True)
    found: dict[str, Any] = {"tflops": tflops}
    for name in names:
        case = CASES[name]
        base = folder / case.shape
        if not base.exists():
            run_one({"way": "base", "case": name, "base": str(base), "data": str(options.data), "tiny": options.tiny})
        asked = {"case": name, "base": str(base), "data": str(options.data), "steps": options.steps}
        ways: dict[str, dict[str, str]] = {"plain": {}, "auto": {}}
        if options.set:
            ways["set"] = dict(each.split("=", 1) for each in options.set)
        found[name] = {}
        for way, changes in ways.items():
            found[name][way] = run_one({**asked, "way": way, "changes": changes})
            print(line(name, way, found[name][way], tflops), flush=True)
    return found


def run_one(asked: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own measures; its error if it ended with one."""
    several = multiprocessing.get_context("spawn")  # a fork of a process that knows of a card cannot use it
    ours, theirs = several.Pipe(duplex=False)
    started = time.monotonic()
    process = several.Process(target=measure_and_tell, args=(asked, theirs))
    process.start()
    theirs.close()
    try:
        figures: dict[str, Any] = ours.recv()
    except EOFError:
        figures = {"error": "its process ended without a word"}
    process.join()
    return figures | {"process_s": round(time.monotonic() - started, 1)}


def measure_and_tell(asked: dict[str, Any], pipe: Connection) -> None:
    """Send what is measured, or how it failed."""
    try:
        pipe.send(measure(asked))
    except (RuntimeError, MemoryError, OSError, ValueError, StudioError):  # told where the figures would be
        pipe.send({"error": traceback.format_exc()[-1500:]})


def line(name: str, way: str, figures: dict[str, Any], tflops: float) -> str:
    """One measurement as it is read."""
    if "error" in figures:
        return f"{name:10s} {way:6s} {figures['error']}"
    share = figures["flops_a_second"] / (tflops * 1e12)
    told = (
        f"{figures['examples_per_second']:8.2f} examples/s  {figures['tokens_per_second']:9.0f} tokens/s  "
        f"{share:6.1%} of the card  {figures['peak_bytes'] / 1e9:5.1f} GB  step {figures['step_seconds']:.3f} s"
    )
    return f"{name:10s} {way:6s} {told}  {figures['note']}"


def measure(asked: dict[str, Any]) -> dict[str, Any]:
    """What a process of its own is started for."""
    if asked["way"] == "matmul":
        return {"tflops": product_tflops(256 if asked["tiny"] else PRODUCT)}
    case = CASES[asked["case"]]
    if asked["way"] == "base":
        return make_base(Path(asked["base"]), case, read_words(Path(asked["data"])), tiny=asked["tiny"])
    texts = pieces(read_words(Path(asked["data"])), case.words, (asked["steps"] + 1) * case.batch_size)
    figures = measure_plain(case, asked, texts) if asked["way"] == "plain" else measure_auto(case, asked, texts)
    weights = json.loads((Path(asked["base"]) / "layers.json").read_text())["layer_parameters"]
    passes = 4 if case.lora else 6
    return figures | {"flops_a_second": passes * weights * figures["tokens_per_second"]}


def product_tflops(side: int) -> float:
    """What the device does in products of square bf16 matrices: the best of ten."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    left, right = (torch.randn(side, side, dtype=torch.bfloat16, device=device) for _ in range(2))
    best = min(seconds_of(lambda: left @ right, device) for _ in range(13))
    return 2 * side**3 / best / 1e12


def seconds_of(work: Callable[[], Any], device: torch.device) -> float:
    """How long it takes until the device has done it."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: torch.device) -> None:
    """Let the device end what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def read_words(table: Path) -> list[str]:
    """All words of the table's posts, one after the other."""
    with open(table, encoding="utf-8", newline="") as stream:
        return [word for row in csv.DictReader(stream) for word in row["posts"].replace("|||", " ").split()]


def pieces(words: list[str], length: tuple[int, int], count: int) -> list[str]:
    """So many texts: pieces of the posts of as many words as are drawn between the fewest and the most."""
    draw = random.Random(0)
    starts = [(draw.randrange(len(words) - length[1]), draw.randint(*length)) for _ in range(count)]
    return [" ".join(words[start : start + size]) for start, size in starts]


def make_base(folder: Path, case: Case, words: list[str], *, tiny: bool) -> dict[str, Any]:
    """Write a base model of the shape with random weights, in bf16 as large ones come, and a tokenizer of the texts."""
    shape = dict(SHAPES[case.shape])
    shape |= (TINY | (TINY_PHI if case.shape == "phi3" else {})) if tiny else {}
    config = AutoConfig.for_model(**shape)
    torch.manual_seed(0)
    large = case.shape == "phi3"
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModel.from_config(config, dtype=torch.bfloat16 if large else torch.float32)  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    tokenizer = learn_tokenizer(pieces(words, (200, 300), 500), MAX_LENGTH, VOCABULARY)
    tokenizer.save_pretrained(folder)
    layers = sum(p.numel() for name, p in model.named_parameters() if "layer" in name and p.dim() == 2)
    (folder / "layers.json").write_text(json.dumps({"layer_parameters": layers}))
    return {"layer_parameters": layers}


def measure_auto(case: Case, asked: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """The product's trainer, the way the lab tries it."""
    data = {"source": "t", "dataset": "d", "text_column": "t", "label_column": "l"}
    training = {"batch_size": case.batch_size, "max_length": MAX_LENGTH}
    spec = build_spec({"data": data, "model": {"base": asked["base"]}, "training": training})
    changes = {path.replace(".", "__"): value for path, value in (case.settings | asked["changes"]).items()}
    spec = with_recipe(spec.replaced(**changes))
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        targets = [number % 2 for number in range(len(texts))]
        rows.write_text(json.dumps({"texts": texts, "targets": targets, "labels": ["E", "I"], "task": "binary"}))
        about = {"steps": asked["steps"], "train_rows": TRAIN_ROWS}
        trial = {"run": spec.model_dump(mode="json"), "rows": str(rows)} | about
        job = JobDirectory.create(Path(folder), kind="trial", module="backend.lab.trial", spec=trial)
        context = JobContext(job)
        figures = bench.try_out(context)
        told = [f"{note.code} {note.facts}" for note in job.events() if type(note).__name__ == "Noted"]  # type: ignore[attr-defined]
    figures["tokens_per_second"] = figures["examples_per_second"] * figures["tokens"] / figures["rows"]
    return figures | {"note": "; ".join(told)}


class Clock(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Note the time."""
        wait_for(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self.ends.append(time.perf_counter())


def measure_plain(case: Case, asked: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """The script that people write; with fewer texts at a time, and then checkpointing, where memory is too small."""
    size = case.batch_size
    attempts = [(size, False), (size // 2, False), (size // 2, True)] if case.shape == "phi3" else [(size, False)]
    for at_once, checkpointing in attempts:
        try:
            figures = try_plain(case, asked, texts, at_once, checkpointing)
        except RuntimeError as error:
            if not is_memory_error(error):
                raise
            torch.cuda.empty_cache()
            continue
        note = f"batch {at_once}" + (" with activation checkpointing" if checkpointing else "")
        return figures | {"note": note}
    raise MemoryError("no room for the plain script")


def try_plain(case: Case, asked: dict[str, Any], texts: list[str], at_once: int, checkpointing: bool) -> dict[str, Any]:
    """Figures of the plain script with so many texts at a time."""
    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(asked["base"])
    encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
    rows = Dataset.from_dict({**encoded, "labels": [number % 2 for number in range(len(texts))]})
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        asked["base"], num_labels=2, dtype=torch.float32, pad_token_id=tokenizer.pad_token_id
    )
    if case.lora:
        lora = LoraConfig(task_type="SEQ_CLS", r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear")
        model = get_peft_model(model, lora)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=2 * (asked["steps"] + 1),
            per_device_train_batch_size=at_once,
            gradient_checkpointing=checkpointing,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **(case.plain if torch.cuda.is_available() else {}),
        )
        collator = DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8)
        Trainer(model, arguments, collator, train_dataset=rows, callbacks=[clock]).train()
    counted = clock.ends[asked["steps"] :]
    seconds = (counted[-1] - counted[0]) / (len(counted) - 1)
    tokens = sum(map(len, encoded["input_ids"])) / len(texts)
    return {
        "examples_per_second": at_once / seconds,
        "tokens_per_second": at_once * tokens / seconds,
        "step_seconds": seconds,
        "peak_bytes": peak_bytes(arguments.device),
    }


if __name__ == "__main__":
    prepare_environment()
    main()
