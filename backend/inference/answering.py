"""Answers of a loaded model to texts, with the user's label names. Imports torch: only the service may import this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from backend.data.text_cleaning import clean, recipe_of
from backend.evaluation.metrics import THRESHOLD, probabilities
from backend.models.before import load_before
from backend.models.forward import choose_device, predict_logits
from backend.models.loading import LoadedModel, load_finished


class Answerer:
    """One model, loaded once and asked often."""

    def __init__(self, loaded: LoadedModel, device: torch.device, recipe: Sequence[Mapping[str, Any]] = ()) -> None:
        self._recipe = recipe
        self._loaded = loaded
        self._loaded.model.to(device)
        config = loaded.model.config
        self._labels: list[str] = [config.id2label[number] for number in range(config.num_labels)]
        self._multilabel: bool = config.problem_type == "multi_label_classification"

    def answer(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """``{"text", "label", "scores": {label: p}}`` of each text; of several labels, ``label`` lists the likely."""
        cleaned = [clean(text, self._recipe) for text in texts]
        logits = predict_logits(self._loaded.model, self._loaded.encoded(cleaned))
        chances = probabilities("multilabel" if self._multilabel else "multiclass", logits)
        return [self._answer(text, row.tolist()) for text, row in zip(texts, chances, strict=True)]

    def _answer(self, text: str, chances: list[float]) -> dict[str, Any]:
        scores = dict(zip(self._labels, chances, strict=True))
        likely = [label for label, chance in scores.items() if chance >= THRESHOLD]
        return {
            "text": text,
            "label": likely if self._multilabel else max(scores, key=scores.__getitem__),
            "scores": scores,
        }


class Models:
    """The models of one run (or of a plain model folder), each loaded when it is first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._device = choose_device()
        self._loaded: dict[str, Answerer] = {}

    def answerer(self, which: str) -> Answerer:
        """The model ``after`` or ``before`` fine-tuning.

        Raises:
            NotAModelFolder, ModelUnusable: it is not there, or cannot be loaded.
        """
        if which not in self._loaded:
            loaded = load_before(self._folder) if which == "before" else load_finished(self._finished())
            self._loaded[which] = Answerer(loaded, self._device, recipe_of(self._finished()))
        return self._loaded[which]

    def _finished(self) -> Path:
        inside = self._folder / "model"
        return inside if inside.is_dir() else self._folder
