"""The phases of a training run, in order, and how long each tends to take beside the others."""

from __future__ import annotations

READING = "reading"
SPLITTING = "splitting"
BASELINES = "baselines"
TOKENISING = "tokenising"
TRAINING = "training"
EVALUATING = "evaluating"
SAVING = "saving"

TRAINING_PHASES = (READING, SPLITTING, BASELINES, TOKENISING, TRAINING, EVALUATING, SAVING)
