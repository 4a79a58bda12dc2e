"""What follows training: measuring on the test split, saving the model, and the report."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.data.splitting import LabelledTexts, Splits
from backend.data.text_cleaning import RECIPE_FILE, text_steps
from backend.evaluation.metrics import Array
from backend.evaluation.report import no_test_figures, test_figures, write_predictions
from backend.jobs import checkpoints, phases
from backend.jobs.events import Evaluated, Noted
from backend.jobs.files import place, write_json
from backend.jobs.process import JobContext
from backend.models.forward import describe_device, predict_logits
from backend.models.memory import bring
from backend.specs import RunSpec
from backend.training.checkpoints import check_disk, weights_bytes
from backend.training.fine_tuning import Outcome
from backend.training.memory import peak_bytes
from backend.training.setup import Prepared


@dataclass(frozen=True)
class TrainedRun:
    """A run whose training is over: what remains is to measure, save and report."""

    context: JobContext
    spec: RunSpec
    labelled: LabelledTexts
    splits: Splits
    prepared: Prepared
    outcome: Outcome
    baselines: dict[str, dict[str, float]]

    def ask_test_split(self) -> Array:
        """The trained model's logits (n, k) for the test split."""
        rows, model = self.prepared.test, self.prepared.loaded.model
        if not bring(model, self.prepared.device):
            self.context.emit(Noted("asked_on_processor", {}))

        def step(done: int) -> None:
            self.context.check_stop()
            self.context.progress(done, len(rows), unit="texts")

        return predict_logits(model, rows.texts, step=step)

    def complete(self, logits: Array) -> dict[str, Any]:
        """Save the model, its predictions and the report of a completed run; returns its metrics."""
        task, labels, truth = self.labelled.task, self.labelled.labels, self.prepared.test.targets
        figures = test_figures(task, labels, logits, truth)
        metrics = {name: value for name, value in figures["metrics"].items() if name != "loss"}
        self.context.emit(Evaluated("test", self.outcome.step, self.outcome.epoch, figures["metrics"]["loss"], metrics))
        self.save_model()
        asked = self.splits.test
        write_predictions(
            self.context.path / "predictions.parquet",
            task=task,
            labels=labels,
            rows=self.labelled.rows[asked],
            texts=[self.labelled.texts[i] for i in asked],
            logits=logits,
            truth=truth,
        )
        self.write_report("completed", figures, kept=None)
        checkpoints.clear(self.context.path)  # nothing follows: a run that is completed is final
        return {"metrics": figures["metrics"]}

    def keep_stopped(self) -> dict[str, Any]:
        """Save the best model so far and the report of a stopped run; returns what was kept."""
        return self._keep("stopped")

    def keep_failed(self) -> None:
        """Save the best model so far, if one is left, and the report of a run that could not go on."""
        if self.outcome.failure and self.outcome.failure.kept != "none":
            self._keep("failed")

    def _keep(self, state: str) -> dict[str, Any]:
        self.save_model()
        outcome = self.outcome
        kept = outcome.best.to_dict() if outcome.best else {"step": outcome.step, "epoch": outcome.epoch, "metrics": {}}
        self.write_report(state, no_test_figures(), kept)
        return kept

    def save_model(self) -> None:
        """Write ``model/`` whole or not at all."""
        loaded, path = self.prepared.loaded, self.context.path
        with self.context.phase(phases.SAVING, hears_stop=False):
            check_disk(path, weights_bytes(loaded.model))
            unfinished = path / "model.saving"
            shutil.rmtree(unfinished, ignore_errors=True)
            loaded.model.save_pretrained(unfinished)
            loaded.tokenizer.save_pretrained(unfinished)
            self._save_recipe(unfinished)
            for file in unfinished.iterdir():
                file.chmod(0o644)  # weights are written for the owner alone, but a model is made to be passed on
            shutil.rmtree(path / "model", ignore_errors=True)  # what an earlier attempt kept
            place(unfinished, path / "model")

    def _save_recipe(self, folder: Path) -> None:
        """Keep, beside the model, what must be done to a text before it is asked about it."""
        steps = text_steps([step.model_dump(mode="json") for step in self.spec.prepare.steps])
        if steps or self.spec.data.template:
            write_json(folder / RECIPE_FILE, {"steps": steps, "template": self.spec.data.template})

    def write_report(self, state: str, figures: dict[str, Any], kept: dict[str, Any] | None) -> None:
        """Write ``report.json`` as docs/architecture.md describes it."""
        splits, prepared, outcome = self.splits, self.prepared, self.outcome
        document = {
            "run": self.context.job.id,
            "state": state,
            "task": self.labelled.task,
            "labels": self.labelled.labels,
            "positive_label": self.labelled.labels[1] if self.labelled.task == "binary" else None,
            **figures,
            "baselines": self.baselines,
            "rows": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
            "prepared": self.labelled.told,
            "best": outcome.best.to_dict() if outcome.best else None,
            "kept": kept,
            "model": str(self.context.path / "model"),
            "base": self.spec.model.base,
            "parameters": prepared.loaded.parameters,
            "device": describe_device(prepared.device, self.spec.compute.together),
            "precision": prepared.precision,
            "decisions": [decision.to_dict() for decision in prepared.decisions],
            "examples_per_second": outcome.examples_per_second,
            "peak_memory_bytes": peak_bytes(prepared.device),
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.context.seconds.items()},
        }
        write_json(self.context.path / "report.json", document)
