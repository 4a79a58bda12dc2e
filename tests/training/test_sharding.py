"""A model whose weights lie in shards over two processes (FSDP): it learns what one process learns, and goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from backend.inference.client import Predictor
from backend.jobs import phases
from backend.jobs.checkpoints import list_checkpoints
from backend.jobs.events import (
    BaselineMeasured,
    CheckpointSaved,
    Evaluated,
    LossLogged,
    Noted,
    PhaseStarted,
    Resumed,
)
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.machine import most_processes, this_machine
from backend.models.before import load_before
from backend.specs import RunSpec, conflicts
from tests.processes import WORKER, processes_of, until
from tests.training.conftest import Workshop, ended, events_of

pytestmark = pytest.mark.skipif(most_processes(this_machine()) < 2, reason="one card: a run cannot be shared among two")
SHARDED: dict[str, Any] = {"compute__processes": 2, "compute__fsdp": True}
STEADY: dict[str, Any] = {
    "training__batch_size": 10,
    "training__accumulation": 2,
    "training__precision": "fp32",
    "training__evaluations": 2,
    "training__metric": "accuracy",
    "speed__batching": "length_grouped",
}


@pytest.fixture(scope="module")
def steady(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Tiny models without dropout, whose random numbers would be others in each process."""
    folders = {}
    for name in ("bert", "gpt2"):
        folder = tmp_path_factory.mktemp(f"steady-{name}")
        for file in workshop.models[name].iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config |= {key: 0.0 for key in config if "drop" in key and config[key] is not None}
        (folder / "config.json").write_text(json.dumps(config), "utf-8")
        folders[name] = str(folder)
    return folders


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_sharded_processes_learn_what_one_learns(workshop: Workshop, steady: dict[str, str], family: str) -> None:
    alone = workshop.start(workshop.spec(steady[family], **STEADY))
    both = workshop.start(workshop.spec(steady[family], **STEADY, **SHARDED))
    for run in (alone, both):
        assert ended(run).status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
    curves = [[(e.step, e.loss, e.gradient_norm) for e in events_of(run, LossLogged)] for run in (alone, both)]
    assert len(curves[0]) == 20
    assert np.allclose(curves[0], curves[1], rtol=5e-4, atol=1e-5)
    figures = [[(e.split, e.loss, *e.metrics.values()) for e in events_of(run, Evaluated)] for run in (alone, both)]
    assert [row[0] for row in figures[0]] == [row[0] for row in figures[1]]
    assert np.allclose([row[1:] for row in figures[0]], [row[1:] for row in figures[1]], rtol=2e-3)
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (alone, both)]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.allclose(weights[0][name], weights[1][name], atol=2e-3) for name in weights[0])
    config = [json.loads((run.path / "model" / "config.json").read_text("utf-8")) for run in (alone, both)]
    assert config[0] == config[1], "no word of shards is left in the model"
    scores = []
    for run in (alone, both):
        with Predictor(run.path) as predictor:
            answers = predictor.predict(["order 3: cold and late, rude rider"], before=True)
        scores.append([*answers.answers[0]["scores"].values(), *answers.before[0]["scores"].values()])  # type: ignore[index]
    assert np.allclose(scores[0], scores[1], atol=1e-3)


def test_half_of_the_weights_lie_in_each_process(workshop: Workshop, steady: dict[str, str]) -> None:
    """What the option is for: counted in the process."""
    spec = workshop.spec(steady["bert"], training__epochs=500, **SHARDED)
    run = workshop.start(spec)
    until(lambda: len(events_of(run, LossLogged)) > 2)
    run.request_stop()
    assert ended(run).status().state is JobState.STOPPED, run.log_path.read_text()[-3000:]
    (checkpoint, *_) = list_checkpoints(run.path)
    kept = load_file(checkpoint.path / "model.safetensors")
    assert kept.keys() == load_file(run.path / "model" / "model.safetensors").keys()
    (told,) = [event.facts for event in events_of(run, Noted) if event.code == "weights_sharded"]
    assert told["processes"] == 2
    assert 49 <= told["percent"] <= 51


def test_a_sharded_run_goes_on_as_if_it_had_not_been_left(workshop: Workshop, steady: dict[str, str]) -> None:
    spec = workshop.spec(steady["bert"], **STEADY, **SHARDED).replaced(training__epochs=6)
    whole = ended(workshop.start(spec))
    left = workshop.start(spec)
    until(lambda: len(events_of(left, CheckpointSaved)) >= 2)
    for worker in processes_of(left, WORKER):
        worker.kill()
    assert ended(left).status().state is not JobState.COMPLETED
    workshop.store.resume(left.id)
    assert ended(left).status().state is JobState.COMPLETED, left.log_path.read_text()[-3000:]
    assert events_of(left, Resumed)[0].step > 0
    weights = [load_file(run.path / "model" / "model.safetensors") for run in (whole, left)]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert read_report(whole)["metrics"] == read_report(left)["metrics"]  # type: ignore[index]


def test_frozen_layers_and_short_precision_go_with_shards(workshop: Workshop, steady: dict[str, str]) -> None:
    settings = {"adapting__freeze": "lower", "adapting__trained_layers": 1, "training__precision": "bf16"}
    run = ended(workshop.start(workshop.spec(steady["bert"], training__layer_decay=0.9, **settings, **SHARDED)))
    assert run.status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
    finished = load_file(run.path / "model" / "model.safetensors")
    kept = {name.removeprefix("bert."): tensor for name, tensor in finished.items()}
    base = load_file(Path(steady["bert"]) / "model.safetensors")
    same = {name for name in base.keys() & kept.keys() if np.array_equal(base[name], kept[name])}
    assert any("layer.0." in name for name in same)
    assert not any("layer.1.attention" in name for name in same)
    assert all(tensor.dtype.itemsize == 4 for tensor in kept.values() if tensor.is_floating_point())


def test_what_the_files_lack_is_trained_by_all_processes_though_the_rest_is_frozen(
    workshop: Workshop, steady: dict[str, str], tmp_path: Path
) -> None:
    """Only the first process has seen the files: the others must hear of it, or they would wait for each other."""
    base = shutil.copytree(steady["bert"], tmp_path / "lacking")
    whole, lacking = load_file(base / "model.safetensors"), "encoder.layer.0.attention.self.query.weight"
    save_file({name: v for name, v in whole.items() if name != lacking}, base / "model.safetensors", {"format": "pt"})
    run = ended(workshop.start(workshop.spec(str(base), adapting__freeze="body", **STEADY, **SHARDED)))
    assert run.status().state is JobState.COMPLETED, run.log_path.read_text()[-3000:]
    finished = load_file(run.path / "model" / "model.safetensors")
    begun = load_before(run.path).model.state_dict()
    frozen = lacking.replace("query", "key")
    assert not np.array_equal(finished[f"bert.{lacking}"], begun[f"bert.{lacking}"].numpy()), "it was trained"
    assert np.array_equal(finished[f"bert.{frozen}"], whole[frozen])


def test_stop_between_preparing_and_training_is_heard_by_all(workshop: Workshop, steady: dict[str, str]) -> None:
    run = workshop.start(workshop.spec(steady["bert"], training__epochs=500, **SHARDED))
    until(lambda: [event for event in events_of(run, BaselineMeasured) if event.name == "before"])
    run.request_stop()
    assert ended(run).status().state is JobState.STOPPED, run.log_path.read_text()[-3000:]
    began = any(event.phase == phases.TRAINING for event in events_of(run, PhaseStarted))
    assert (run.path / "model" / "model.safetensors").exists() == began, "heard before it, there is nothing to keep"


def test_what_does_not_go_with_shards_is_refused() -> None:
    def rules(**values: object) -> list[str]:
        spec = RunSpec().replaced(model__base="bert-base-uncased", compute__processes=2, compute__fsdp=True)
        return [problem["rule"].removeprefix("conflict.") for problem in conflicts(spec.replaced(**values))]

    assert rules() == []
    assert rules(compute__processes=1) == ["fsdp_needs_processes"]
    assert rules(compute__machines=2, compute__rendezvous="here:29500") == ["fsdp_one_machine"]
    assert rules(adapting__adapter="lora") == ["fsdp_whole_weights"]
    assert rules(training__optimizer="adamw_8bit") == ["fsdp_optimizer"]
    assert rules(speed__compile="on") == ["fsdp_not_compiled"]
    assert rules(speed__batching="length_split") == ["fsdp_same_batches"]
    assert rules(model__base="starter") == ["fsdp_for_large"]
