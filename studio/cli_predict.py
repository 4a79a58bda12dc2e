"""``python -m studio predict``: texts to a finished run's model, which answers in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from backend.errors import TextMissing
from backend.inference.client import Predictor
from backend.jobs.store import RunStore
from studio.cli_runs import find_run
from studio.terminal import Terminal, build_table

SCORES_SHOWN = 5
TEXTS_AT_ONCE = 256
"""Texts in one question to the model's process, whose answer is awaited for a limited time."""


def predict(terminal: Terminal, store: RunStore, given: str, texts: Sequence[str], *, with_before: bool) -> int:
    """Classify the texts, or the lines of standard input where there are none; returns the exit status.

    Raises:
        RunMissing, RunAmbiguous: no one run is meant.
        RunNotFinished: it has no model.
        TextMissing: there is nothing to classify.
        PredictorFailed: the model's process could not answer.
    """
    run = find_run(store, given)
    store.model_folder(run.id)
    asked = [text for text in texts or _lines(terminal) if text.strip()]
    if not asked:
        raise TextMissing
    answers: list[dict[str, Any]] = []
    with Predictor(run.path) as predictor:
        for start in range(0, len(asked), TEXTS_AT_ONCE):
            found = predictor.predict(asked[start : start + TEXTS_AT_ONCE], before=with_before)
            earlier = found.before if with_before and found.before else [None] * len(found.answers)
            answers += [_answer(now, then) for now, then in zip(found.answers, earlier, strict=True)]
    if terminal.as_json:
        terminal.document(answers)
    else:
        _show(terminal, answers, with_before)
    return 0


def _lines(terminal: Terminal) -> list[str]:
    if sys.stdin.isatty():
        terminal.say("cli.predict.type_lines")
    # As bytes: a file piped in may begin with a byte-order mark, or hold what is no text.
    return sys.stdin.buffer.read().decode("utf-8-sig", "replace").splitlines()


def _answer(answer: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {name: answer[name] for name in ("text", "label", "scores")}
    return found | ({"before": {"label": before["label"], "scores": before["scores"]}} if before else {})


def _show(terminal: Terminal, answers: Sequence[Mapping[str, Any]], with_before: bool) -> None:
    names = ["text", "label", "scores", *(["labels_before"] if with_before else [])]
    table = build_table(*(terminal.words(f"cli.column.{name}") for name in names))
    for answer in answers:
        cells = [answer["text"], _label_text(answer["label"]), _scores_text(answer["scores"])]
        table.add_row(*cells, *([_scores_text(answer["before"]["scores"])] if with_before else []))
    terminal.show(table)


def _label_text(label: str | Sequence[str]) -> str:
    # Of a multi-label run an answer is a list, and may be empty.
    return label if isinstance(label, str) else ", ".join(label) or "–"


def _scores_text(scores: Mapping[str, float]) -> str:
    likeliest = sorted(scores.items(), key=lambda pair: -pair[1])
    shown = [f"{label} {score:.1%}" for label, score in likeliest[:SCORES_SHOWN]]
    return " · ".join(shown + (["…"] if len(likeliest) > SCORES_SHOWN else []))
