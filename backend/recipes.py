"""The training settings that each kind of model gets when the user leaves them open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from backend.specs import STARTER, RunSpec
from backend.training_specs import AdaptingSpec, TrainingSpec

LONGEST_FIT = 512
"""Tokens that a maximum length which is left open becomes at most."""
LONGEST_OF_STARTER = 4096
"""Tokens for which the starter has positions at most: it has weights for each."""


@dataclass(frozen=True)
class Recipe:
    """Values for every training setting that a user may leave open."""

    epochs: int
    batch_size: int
    learning_rate: float | None
    """None: what suits the model's width and how it is adapted (`fitting_rate`)."""
    max_length: int | None
    """None: as many tokens as the training texts need (`backend.data.token_lengths.fitting_length`)."""
    warmup_share: float
    weight_decay: float | None
    """None: none."""
    patience: int
    """Evaluations without a better result after which training ends; 0 never ends early."""


STARTER_RECIPE = Recipe(
    epochs=1,
    batch_size=64,
    learning_rate=3e-4,
    max_length=256,
    warmup_share=0.1,
    weight_decay=0.01,
    patience=0,
)
PRETRAINED_RECIPE = Recipe(
    epochs=3,
    batch_size=64,
    learning_rate=None,
    max_length=None,
    warmup_share=0.1,
    weight_decay=0.01,
    patience=0,
)


USUAL_RATE, USUAL_WIDTH, LARGEST_RATE = 2e-5, 768, 3e-4
HEAD_RATE = 5e-3
"""Of a head alone, which is new. MiniLM on 1,500 questions of trec, two epochs: accuracy 0.19 with 2e-5, 0.46 with
1e-3, 0.47 to 0.49 from 5e-3 to 3e-2, where the loss is lowest with 5e-3."""
SGD_RATE, SGD_RATE_UNCLIPPED = 0.3, 0.03
"""Its steps are as long as the gradient, which is clipped. There accuracy came to 0.12 with 2e-5, 0.37 with 0.1, 0.87
with 0.25, 0.91 with 0.5 and 0.83 with 1; with AdamW's usual rate to 0.74. Lion does best with AdamW's: 0.78 with 8e-5,
0.47 with half of it."""
LORA_RATE = 2e-4
"""The matrices of LoRA begin at nothing: they learn at ten times the rate of weights (Hu et al. 2021)."""


def fitting_rate(width: int, adapting: AdaptingSpec) -> float:
    """The learning rate for a pretrained model whose hidden states have this width.

    From the width of BERT on it is BERT's (Devlin et al. 2019). Narrower models need more, as the authors of the small
    BERTs and of MiniLM found too: by the square of how much narrower they are. Measured with MiniLM, 384 wide, on trec
    (six labels, three epochs of 5,000 rows): accuracy 0.918 with 2e-5, 0.962 with 1e-4.
    """
    if adapting.adapter == "lora":
        return LORA_RATE
    if adapting.freeze == "body":
        return HEAD_RATE
    narrower = max(1.0, USUAL_WIDTH / width)
    return float(f"{min(USUAL_RATE * narrower**2, LARGEST_RATE):.2g}")


ENOUGH_TEXTS, LEAST_TEXTS = 20_000, 2000
"""Real and made-up texts that a starter learns from: as many as give enough steps an epoch, but of a small table no
more than three made-up texts for each real one; and never fewer than the second number."""
MADE_UP_FOR_EACH = (1, 3)
"""The fewest and the most made-up texts for each real one that has one label. Of several labels a text that is cut
and spliced shows too little of each: with such texts micro F1 came to 0.37, without to 0.41."""
MOST_MADE_UP = 20_000
BAG_BATCH_SIZE, LEAST_BAG_STEPS, MOST_BAG_STEPS = 64, 300, 4000
BAG_EPOCHS, BAG_EPOCHS_OF_SEVERAL = 4, 12
"""Where a text has one label, and where it may have several."""


def made_up_for(texts: int, *, multilabel: bool) -> int:
    """How many texts are made up for a starter that has so many real ones to learn from."""
    fewest, most = (0 if multilabel else times * texts for times in MADE_UP_FOR_EACH)
    return min(MOST_MADE_UP, max(fewest, min(most, ENOUGH_TEXTS - texts), LEAST_TEXTS - texts))


def bag_steps(texts: int, *, multilabel: bool, max_steps: int = 0) -> int:
    """Steps of a starter's first part of training.

    Args:
        texts: those made up among them.
        max_steps: of the whole training, of which it has three quarters at most, or none where that is a single one;
            0: no limit.
    """
    epochs = BAG_EPOCHS_OF_SEVERAL if multilabel else BAG_EPOCHS
    steps = min(MOST_BAG_STEPS, max(LEAST_BAG_STEPS, epochs * math.ceil(texts / BAG_BATCH_SIZE)))
    if not max_steps:
        return steps
    share = 3 * max_steps // 4
    return min(steps, share) if share > 1 else 0


def learned_rows(rows: int, training: TrainingSpec, steps_before: int = 0) -> int:
    """Rows that are learned from in all epochs, or in all steps where these are limited.

    Args:
        rows: of an epoch.
        training: with its recipe's values (`with_recipe`).
        steps_before: of a limited number those that are a starter's first part.
    """
    if training.max_steps:
        a_step = min((training.batch_size or 1) * training.accumulation, rows)  # which ends with the epoch
        return (training.max_steps - steps_before) * a_step
    return (training.epochs or 1) * rows


def recipe_for(base: str, optimizer: str = "auto") -> Recipe:
    """The recipe of a base model: the starter's own, or the one for pretrained models.

    Args:
        optimizer: as it is asked for. The rate of SGD is told by `backend.decisions`; decay goes by the rate: with so
            high a one it would undo the weights.
    """
    recipe = STARTER_RECIPE if base == STARTER else PRETRAINED_RECIPE
    return replace(recipe, learning_rate=None, weight_decay=None) if optimizer == "sgd" else recipe


def open_where_recipe(spec: RunSpec) -> RunSpec:
    """The spec with what its recipe says anyway left open, so that it says only what was chosen."""
    recipe = recipe_for(spec.model.base, spec.training.optimizer)
    unsaid = spec.model_copy(update={"training": spec.training.model_copy(update=dict.fromkeys(vars(recipe)))})
    filled = with_recipe(unsaid).training
    said = {
        name: None
        for name, value in vars(recipe).items()
        if getattr(spec.training, name) in (value, getattr(filled, name))
    }
    return spec.model_copy(update={"training": spec.training.model_copy(update=said)})


def typed_values(recipe: Recipe, shown: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, by path, that were typed: what stands there is not as the recipe has it, or was known to be typed.

    Args:
        shown: values by path, those that are left open None.
        known: what was typed beside another recipe, with which this one may agree.
    """
    found = {f"training.{name}": usual for name, usual in vars(recipe).items()}
    return {
        path: shown[path]
        for path, usual in found.items()
        if shown[path] is not None and (shown[path] != usual or known.get(path) == shown[path])
    }


def recipe_changes(recipe: Recipe, shown: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of the settings, by path, that were not typed, so that they stand as the recipe has them."""
    found = {f"training.{name}": value for name, value in vars(recipe).items()}
    return {path: value for path, value in found.items() if path not in typed and shown[path] != value}


def with_recipe(spec: RunSpec) -> RunSpec:
    """The spec with every open training setting filled in that does not depend on the texts."""
    recipe = recipe_for(spec.model.base, spec.training.optimizer)
    filled = {
        name: getattr(recipe, name) if value is None and hasattr(recipe, name) else value
        for name, value in spec.training.model_dump().items()
    }
    filled["weight_decay"] = filled["weight_decay"] or 0.0
    if spec.training.batch_size is None:  # every process has its share of a batch
        filled["batch_size"] = -(-recipe.batch_size // spec.compute.together) * spec.compute.together
    return spec.model_copy(update={"training": TrainingSpec(**filled)})


def longest_of(spec: RunSpec) -> int:
    """Tokens of a text that a run reads at most, as far as its settings say."""
    asked = spec.training.max_length or recipe_for(spec.model.base).max_length or LONGEST_FIT
    return min(asked, LONGEST_OF_STARTER) if spec.model.base == STARTER else asked
