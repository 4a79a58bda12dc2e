"""Runs that cannot go on: memory that is too small, a loss that is no number; what is kept and what can be tried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from backend.errors import LossNotFinite, MemoryFull, NoRemedy, ProcessKilled, RemedyMissing, SpecError, StudioError
from backend.jobs.directory import JobDirectory
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.models.encoding import EncodedTexts, encode
from backend.models.forward import predict_logits
from backend.models.loading import load_base
from backend.models.memory import bring
from backend.remedies import changed, remedies
from backend.specs import RunSpec
from backend.training.division import Division
from backend.training.memory import fitting_tokens, token_bytes, training_bytes
from backend.training.rows import Rows
from studio.remedies import again, remedy_of
from tests.processes import free_port
from tests.tiny_models import UNCLIPPED, make_enormous
from tests.training.conftest import BAD, GOOD, Workshop, ended
from tests.training.little_trainer import arguments_in, trainer_of


def train_in(
    workshop: Workshop, folder: Path, *, spare_mb: int, accumulation: int = 1, number: int = 0
) -> dict[str, Any]:
    """Two or more steps of 256 texts in a process that may have only so much memory more than it begins with."""
    module = "tests.training.little_memory"
    command = [sys.executable, "-m", module, str(workshop.models["bert"]), str(folder)]
    told = map(str, (spare_mb, accumulation, number))
    done = subprocess.run([*command, *told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(("accumulation", "steps"), [(1, 2), (2, 1)])
def test_batch_that_memory_has_no_room_for_is_computed_in_parts(
    workshop: Workshop, tmp_path: Path, accumulation: int, steps: int
) -> None:
    done = train_in(workshop, tmp_path, spare_mb=150, accumulation=accumulation)
    assert (done["step"], done["failure"]) == (steps, None)
    at_once = [note["rows"] for note in done["notes"]]
    assert at_once, "it was not small enough to test anything"
    assert at_once == [256 >> halvings for halvings in range(1, len(at_once) + 1)]


def test_memory_without_room_for_one_text_ends_the_run_with_a_reason(workshop: Workshop, tmp_path: Path) -> None:
    done = train_in(workshop, tmp_path, spare_mb=1)
    assert done["failure"]["code"] == "run.memory_full"
    assert done["failure"]["facts"]["kept"] == "last"


def test_process_that_keeps_no_model_says_that_its_memory_was_too_small(workshop: Workshop, tmp_path: Path) -> None:
    # The first process of several could only say that another one was lost.
    done = train_in(workshop, tmp_path, spare_mb=1, number=1)
    assert done["raised"]["code"] == "run.memory_full"


def train_both(
    base: Path, folder: Path, *, texts: int, named: str = "forward", accumulation: int = 1
) -> list[dict[str, Any]]:
    """What two processes say that have learned together, of which the second has room for so many texts; 0: for all."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = []
    for number in range(2):
        (folder / str(number)).mkdir(parents=True)
        given = map(str, (base, folder / str(number), texts * number, named, accumulation))
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.training.little_room", *given],
                stdout=subprocess.PIPE,
                env={**os.environ, **shared, "RANK": str(number), "LOCAL_RANK": str(number), "OMP_NUM_THREADS": "1"},
                text=True,
            )
        )
    try:
        said = [process.communicate(timeout=240)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0]
    return [json.loads(each.splitlines()[-1]) for each in said]


@pytest.mark.parametrize(("named", "accumulation"), [("forward", 1), ("backward", 2)])
def test_one_of_two_processes_without_room_for_its_batch_computes_it_in_parts_while_the_other_waits(
    workshop: Workshop, tmp_path: Path, named: str, accumulation: int
) -> None:
    base = workshop.models["bert"]
    first, second = train_both(base, tmp_path / "little", texts=2, named=named, accumulation=accumulation)
    assert first["steps"] == second["steps"] == 12 // accumulation
    assert 2 <= first["apart"] == second["apart"] < first["steps"], "where there is room gradients go meanwhile"
    assert first["at_once"] == [4, 2], "the first process tells what another one had no room for, once"
    assert not second["at_once"]
    whole, _ = train_both(base, tmp_path / "plenty", texts=0, accumulation=accumulation)
    assert not whole["at_once"]
    assert first["norms"] == pytest.approx(whole["norms"], rel=1e-4, abs=1e-6), "no gradient counts twice or not at all"


def test_room_is_proven_by_as_many_tokens_and_as_many_pairs_of_them() -> None:
    def batch(rows: int, length: int) -> dict[str, torch.Tensor]:
        ones = torch.ones(rows, length, dtype=torch.int64)
        return {"input_ids": ones, "attention_mask": ones, "labels": torch.zeros(rows)}

    division = Division("cpu")
    assert not division.is_proven(batch(1, 1))
    division.prove(batch(512, 8))
    assert division.is_proven(batch(512, 8))
    assert not division.is_proven(batch(8, 512)), "as many tokens have more pairs"
    division.prove(batch(8, 512))
    assert division.is_proven(batch(16, 256))
    division.prove(batch(4, 128))
    assert len(division.proven) == 1, "the larger one stands for the others"
    division.most_tokens = 512 * 8
    assert division.is_proven(batch(64, 512)), "it is computed in parts that are"


def test_parts_of_a_batch_add_up_to_its_loss_and_weights(workshop: Workshop, tmp_path: Path) -> None:
    texts = [f"{word} {'soup ' * (number % 9)}" for number in range(20) for word in ("fast delivery", "cold and late")]

    def trained(most_tokens: int | None) -> torch.Tensor:
        loaded = load_base(
            workshop.models["bert"], name="bert", labels=["a", "b"], task="binary", max_length=16, seed=1
        )
        for module in loaded.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        rows = Rows(encode(loaded.tokenizer, texts, 16), np.arange(40) % 2)
        arguments = arguments_in(tmp_path, epochs=2, batch_size=20)
        trainer_of(loaded.model, rows, arguments, most_tokens=most_tokens).train()
        return torch.cat([p.detach().flatten() for p in loaded.model.parameters()])

    assert torch.allclose(trained(None), trained(50), atol=2e-5)


def test_estimated_memory_grows_with_what_is_kept(workshop: Workshop) -> None:
    cpu = torch.device("cpu")
    model = load_base(workshop.models["bert"], name="m", labels=["a", "b"], task="binary", max_length=64, seed=1).model
    assert token_bytes(model, 128, short=False, checkpointing=False) == token_bytes(
        model, 64, short=False, checkpointing=False
    ), "fused attention keeps nothing of the pairs of tokens"
    model.set_attn_implementation("eager")
    whole = token_bytes(model, 64, short=False, checkpointing=False)
    assert token_bytes(model, 128, short=False, checkpointing=False) > whole, "attention grows with the length"
    assert token_bytes(model, 64, short=True, checkpointing=False) == whole / 2
    assert token_bytes(model, 64, short=False, checkpointing=True) < whole
    model.bert.requires_grad_(False)
    model.bert.encoder.layer[1].requires_grad_(True)
    assert token_bytes(model, 64, short=False, checkpointing=False) == whole / 2, "one of two layers is passed back"
    assert fitting_tokens(model, 64, cpu, short=False, checkpointing=False, optimizer="adamw") > 10_000


def test_processes_of_a_processor_share_its_memory(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_base(workshop.models["bert"], name="m", labels=["a", "b"], task="binary", max_length=64, seed=1).model

    def room() -> int:
        cpu = torch.device("cpu")
        return fitting_tokens(model, 64, cpu, short=False, checkpointing=False, optimizer="adamw")

    alone = room()
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert room() == pytest.approx(alone / 4, rel=0.1)


def test_memory_of_an_optimizer_is_that_of_what_it_keeps(workshop: Workshop) -> None:
    model = load_base(workshop.models["bert"], name="m", labels=["a", "b"], task="binary", max_length=64, seed=1).model
    weights = sum(p.numel() for p in model.parameters())
    assert training_bytes(model, "adamw_fused", short=False) == 12 * weights
    assert training_bytes(model, "adamw_8bit", short=False) == 6 * weights
    assert training_bytes(model, "sgd", short=True) == (4 + 2) * weights, "products take copies of the weights"
    model.bert.requires_grad_(False)
    head = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert training_bytes(model, "adamw_fused", short=False) == 12 * head


class Crowded(torch.nn.Module):
    """A model for which only so many texts have room at one time; whose logit is the number of a text's tokens."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.config = SimpleNamespace(num_labels=1)
        self.most, self.asked = most, list[int]()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        self.asked.append(len(input_ids))
        if len(input_ids) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return SimpleNamespace(logits=attention_mask.sum(dim=1, keepdim=True).float())


def test_texts_that_memory_has_no_room_for_are_asked_in_halves() -> None:
    lengths = np.array([*range(2, 40), 2, 3, 5], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    encoded = EncodedTexts(np.ones(starts[-1], np.int32), starts, pad_token=0)
    model = Crowded(most=6)
    assert predict_logits(model, encoded)[:, 0].tolist() == lengths.tolist()
    assert max(model.asked) > 6, "it was not too much at first"
    with pytest.raises(torch.OutOfMemoryError):
        predict_logits(Crowded(most=0), encoded)


class TooLarge(torch.nn.Linear):
    """A model that a card has no room for."""

    def to(self, device: torch.device | str) -> TooLarge:  # type: ignore[override]
        if torch.device(device).type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().to(device)


def test_model_that_a_card_has_no_room_for_stays_on_the_processor() -> None:
    model = TooLarge(2, 2)
    assert not bring(model, torch.device("cuda"))
    assert model.weight.device.type == "cpu"
    assert bring(model, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="nowhere"):
        bring(Broken(2, 2), torch.device("cuda"))


class Broken(torch.nn.Linear):
    """A model that cannot be moved for another reason."""

    def to(self, device: torch.device | str) -> Broken:  # type: ignore[override]
        raise RuntimeError(f"{device} is nowhere")


@pytest.fixture(scope="module")
def diverged(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> JobDirectory:
    """A run whose second step overflows: the base has enormous weights, and nothing holds its gradients back."""
    base = make_enormous(tmp_path_factory.mktemp("enormous"), [*GOOD, *BAD])
    return ended(workshop.start(workshop.spec(str(base), name="too fast", training__evaluations=7, **UNCLIPPED)))


def test_run_that_diverges_says_why_and_keeps_a_model_that_answers(diverged: JobDirectory) -> None:
    status = diverged.status()
    assert status.state is JobState.FAILED, diverged.log_path.read_text()
    assert isinstance(status.error, LossNotFinite), status.error
    assert (status.error.cause, status.error.kept) == ("no_clipping", "best")
    report = read_report(diverged)
    assert report is not None
    assert (report["state"], report["metrics"]) == ("failed", None)
    assert report["kept"]["step"] < status.error.step
    answers = pipeline("text-classification", model=str(diverged.path / "model"))(["cold and late"])
    assert np.isfinite(answers[0]["score"])


def test_diverged_run_is_started_again_with_its_remedy(workshop: Workshop, diverged: JobDirectory) -> None:
    remedy = remedy_of(diverged)
    assert remedy.changes == {"training.max_gradient_norm": 1.0}
    assert remedy_of(diverged, "learning_rate").changes == {"training.learning_rate": 0.1}
    spec = again(workshop.store, diverged)
    assert spec == changed(RunSpec(**diverged.spec), remedy).replaced(name="too fast 2"), (
        "told from the one that failed"
    )
    assert spec.training.max_gradient_norm == 1.0
    with pytest.raises(RemedyMissing) as caught:
        remedy_of(diverged, "lora")
    assert caught.value.remedies == ["clipping", "learning_rate"]
    with pytest.raises(NoRemedy):
        remedy_of(workshop.store.create(spec))


@pytest.mark.parametrize(
    ("error", "codes"),
    [
        (LossNotFinite(step=3, learning_rate=2e-5, cause="fp16"), ["precision", "learning_rate"]),
        (LossNotFinite(step=3, learning_rate=2e-5, cause="bf16"), ["precision", "learning_rate"]),
        (LossNotFinite(step=3, learning_rate=0.1), ["learning_rate"]),
        (LossNotFinite(step=1, learning_rate=0.0, cause="bf16"), ["precision", "learning_rate"]),
        (MemoryFull(device="cuda"), ["checkpointing", "lora", "four_bits", "shorter"]),
        (ProcessKilled(signal="SIGKILL"), ["again"]),
    ],
)
def test_each_failure_has_its_remedies(workshop: Workshop, error: StudioError, codes: list[str]) -> None:
    spec = workshop.spec("bert", training__max_length=None)
    assert [remedy.code for remedy in remedies(error, spec)] == codes
    for remedy in remedies(error, spec):
        assert (changed(spec, remedy) == spec) is (remedy.code == "again")


def test_tenth_of_a_rate_that_was_left_open_is_that_of_what_the_schedule_rises_to() -> None:
    spec = RunSpec().replaced(model__base="some/model")
    told = LossNotFinite(step=1, learning_rate=0.0, cause="fp16", highest_rate=2e-5)
    exact, slower = remedies(told, spec)
    assert exact.changes == {"training.precision": "fp32"}
    assert slower.changes == {"training.learning_rate": 2e-6}
    old = StudioError.from_dict({"code": told.code, "facts": {"step": 1, "learning_rate": 0.0, "cause": "fp16"}})
    assert [remedy.code for remedy in remedies(old, spec)] == ["precision"], "nothing tells what the rate was"


def test_remedies_leave_out_what_excludes_other_settings(workshop: Workshop) -> None:
    asked = {"speed__activation_checkpointing": True, "adapting__adapter": "lora", "training__max_length": None}
    spec = workshop.spec("bert", **asked)
    assert [remedy.code for remedy in remedies(MemoryFull(device="cuda"), spec)] == ["four_bits", "shorter"]


@pytest.mark.parametrize(("length", "shorter"), [(None, 256), (512, 256), (200, 100), (72, 64), (64, None), (40, None)])
def test_shorter_texts_are_shorter_than_those_of_the_run(length: int | None, shorter: int | None) -> None:
    found = remedies(MemoryFull(device="cpu"), RunSpec().replaced(model__base="some/model"), length=length)
    lengths = [remedy.changes["training.max_length"] for remedy in found if remedy.code == "shorter"]
    assert lengths == ([shorter] if shorter else [])


def test_checkpointing_is_no_remedy_for_an_architecture_that_has_none() -> None:
    spec = RunSpec().replaced(model__base="some/model")
    for architecture, has_it in (("mpnet", False), ("bert", True)):
        found = {remedy.code for remedy in remedies(MemoryFull(device="cpu"), spec, architecture=architecture)}
        assert ("checkpointing" in found) is has_it


def test_memory_that_is_too_small_for_several_processes_has_remedies_of_its_own() -> None:
    spec = RunSpec().replaced(model__base="some/base", compute__processes=2, training__accumulation=3)
    first = remedies(MemoryFull(device="cuda"), spec)[0]
    assert first.code == "shards", "smaller batches were tried"
    assert changed(spec, first).compute.fsdp
    spec = spec.replaced(compute__fsdp=True)
    found = {remedy.code: remedy for remedy in remedies(MemoryFull(device="cuda"), spec)}
    assert list(found)[:2] == ["accumulation", "checkpointing"]
    accumulated = changed(spec, found["accumulation"]).training
    assert (accumulated.batch_size, accumulated.accumulation) == (32, 6), "the same rows a step"
    least = spec.replaced(training__batch_size=2)
    assert "accumulation" not in {remedy.code for remedy in remedies(MemoryFull(device="cuda"), least)}


@pytest.mark.parametrize("processes", [1, 2])
def test_run_whose_settings_hold_no_longer_says_which(workshop: Workshop, processes: int) -> None:
    # As one that another version has accepted.
    spec = workshop.spec("bert", adapting__adapter="lora", adapting__freeze="lower", compute__processes=processes)
    status = ended(workshop.start(spec)).status()
    assert status.state is JobState.FAILED
    assert isinstance(status.error, SpecError)
    assert [problem["setting"] for problem in status.error.problems] == ["adapting.freeze"]
