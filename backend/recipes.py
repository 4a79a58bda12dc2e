"""The training settings that each kind of model gets when the user leaves them open."""

from __future__ import annotations

from dataclasses import dataclass

from backend.specs import STARTER, RunSpec
from backend.training_specs import TrainingSpec

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
    weight_decay: float
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
LORA_RATE = 2e-4
"""The matrices of LoRA begin at nothing: they learn at ten times the rate of weights (Hu et al. 2021)."""


def fitting_rate(width: int, adapter: str) -> float:
    """The learning rate for a pretrained model whose hidden states have this width.

    From the width of BERT on it is BERT's (Devlin et al. 2019). Narrower models need more, as the authors of the small
    BERTs and of MiniLM found too: by the square of how much narrower they are. Measured with MiniLM, 384 wide, on trec
    (six labels, three epochs of 5,000 rows): accuracy 0.918 with 2e-5, 0.962 with 1e-4.
    """
    if adapter == "lora":
        return LORA_RATE
    narrower = max(1.0, USUAL_WIDTH / width)
    return float(f"{min(USUAL_RATE * narrower**2, LARGEST_RATE):.2g}")


def recipe_for(base: str) -> Recipe:
    """The recipe of a base model: the starter's own, or the one for pretrained models."""
    return STARTER_RECIPE if base == STARTER else PRETRAINED_RECIPE


def with_recipe(spec: RunSpec) -> RunSpec:
    """The spec with every open training setting filled in that does not depend on the texts."""
    recipe = recipe_for(spec.model.base)
    filled = {
        name: getattr(recipe, name) if value is None and hasattr(recipe, name) else value
        for name, value in spec.training.model_dump().items()
    }
    if spec.training.batch_size is None:  # every process has its share of a batch
        filled["batch_size"] = -(-recipe.batch_size // spec.compute.together) * spec.compute.together
    return spec.model_copy(update={"training": TrainingSpec(**filled)})


def longest_of(spec: RunSpec) -> int:
    """Tokens of a text that a run reads at most, as far as its settings say."""
    asked = spec.training.max_length or recipe_for(spec.model.base).max_length or LONGEST_FIT
    return min(asked, LONGEST_OF_STARTER) if spec.model.base == STARTER else asked
