"""What a job looks like while it runs: a live display, or plain lines where standard error is no terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.text import Text

from backend.jobs.events import (
    BaselineMeasured,
    Evaluated,
    Event,
    JobCompleted,
    LossLogged,
    Noted,
    PhaseStarted,
    Progressed,
    Resumed,
)
from backend.jobs.phases import TRAINING
from studio.cli_follow import Watcher
from studio.i18n import Words, duration
from studio.terminal import Terminal, metric_text

LINE_INTERVAL_S = 5.0


def build_watcher(terminal: Terminal, *, phases: bool = True) -> Watcher:
    """The display that suits standard error; without ``phases`` lines say only how far a long one is."""
    return LiveWatcher(terminal) if terminal.err.is_terminal else LineWatcher(terminal, phases=phases)


class _Figures:
    """The newest figures of a run in one line: speed, training loss, the last evaluation."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._parts: dict[str, str] = {}

    def take(self, event: Event) -> None:
        """Note what the event tells."""
        if isinstance(event, Progressed) and event.phase == TRAINING and event.rate:
            self._parts["rate"] = self._words("cli.rate", rate=f"{event.rate:,.0f}")
        elif isinstance(event, LossLogged):
            self._parts["loss"] = self._words("cli.loss", loss=f"{event.loss:.4f}")
        elif isinstance(event, Evaluated):
            self._parts["evaluated"] = evaluation_text(event, self._words)

    def __str__(self) -> str:
        return " · ".join(self._parts[name] for name in ("rate", "loss", "evaluated") if name in self._parts)


def evaluation_text(event: Evaluated, words: Words) -> str:
    """The figures of one evaluation: ``validation loss 0.312, accuracy 0.902, F1 0.866``."""
    figures = [words("cli.evaluation_loss", loss=f"{event.loss:.4f}")]
    figures += [
        f"{words(f'metric.{n}')} {metric_text(event.metrics, n)}" for n in ("accuracy", "f1") if n in event.metrics
    ]
    return words("cli.figures", figures=figures)


def phase_text(phase: str, words: Words) -> str:
    """What a phase is called."""
    return words(f"phase.{phase}") if words.has(f"phase.{phase}") else phase


def _note_text(event: Event, words: Words) -> str:
    if isinstance(event, Noted) and words.has(f"note.{event.code}"):
        return words(f"note.{event.code}", **event.facts)
    if isinstance(event, Resumed):
        return words("train.resumed", step=event.step) if event.step else words("train.resumed_anew")
    return ""


class _Times(ProgressColumn):
    """Time spent in the phase, and what is left of it: ``0:12 · 0:30 left``."""

    def __init__(self, words: Words) -> None:
        super().__init__()
        self._words = words

    def render(self, task: Task) -> Text:
        """The column's text for one phase."""
        spent = duration((task.finished_time if task.finished else task.elapsed) or 0)
        left = task.fields["left_s"] if task.fields["training"] else task.time_remaining
        if task.finished or left is None:
            return Text(spent)
        return Text(f"{spent} · {self._words('cli.left_time', left=duration(left))}")


class LiveWatcher:
    """A bar a phase, with time spent and left; beside the training's bar the newest figures."""

    def __init__(self, terminal: Terminal) -> None:
        self._words = terminal.words
        self._figures = _Figures(terminal.words)
        self._task: TaskID | None = None
        self._training: TaskID | None = None
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            _Times(terminal.words),
            TextColumn("{task.fields[figures]}", markup=False),
            console=terminal.err,
        )
        self._progress.start()

    def show(self, event: Event) -> None:
        """Move the bars."""
        self._figures.take(event)
        if isinstance(event, PhaseStarted):
            self._finish()
            fields: dict[str, Any] = {"figures": "", "training": event.phase == TRAINING, "left_s": None}
            self._task = self._progress.add_task(phase_text(event.phase, self._words), total=None, **fields)
            if event.phase == TRAINING:
                self._training = self._task
        elif isinstance(event, Progressed) and self._task is not None:
            self._progress.update(self._task, total=event.total or None, completed=event.done, left_s=event.left_s)
        elif isinstance(event, JobCompleted):
            self._finish()
        elif note := _note_text(event, self._words):
            self._progress.console.print(note)
        if self._training is not None:
            self._progress.update(self._training, figures=str(self._figures))

    def close(self) -> None:
        """Leave the last picture standing: a phase that did not come to its end stays where it was."""
        if self._task is not None:
            self._progress.stop_task(self._task)
        self._progress.stop()

    def _finish(self) -> None:
        if self._task is not None:
            total = next(task.total for task in self._progress.tasks if task.id == self._task) or 1
            self._progress.update(self._task, total=total, completed=total)
            self._task = None


class LineWatcher:
    """A line for each phase, evaluation and baseline, and one every few seconds in between."""

    def __init__(self, terminal: Terminal, *, phases: bool = True) -> None:
        self._terminal = terminal
        self._phases = phases
        self._words = terminal.words
        self._figures = _Figures(terminal.words)
        self._phase_began = self._line_written = time.monotonic()

    def show(self, event: Event) -> None:
        """Write a line if the event is worth one."""
        self._figures.take(event)
        if isinstance(event, PhaseStarted):
            self._phase_began = time.monotonic()
            if self._phases:
                self._line(phase_text(event.phase, self._words))
        elif isinstance(event, Evaluated) and event.split == "validation":
            self._line(self._words("cli.evaluated", epoch=event.epoch, figures=evaluation_text(event, self._words)))
        elif isinstance(event, BaselineMeasured):
            name = self._words(f"baseline.{event.name}")
            shown = (f"{self._words(f'metric.{n}')} {metric_text(event.metrics, n)}" for n in ("accuracy", "f1"))
            self._line(f"{name}: {self._words('cli.figures', figures=list(shown))}")
        elif isinstance(event, Progressed) and time.monotonic() - self._line_written >= LINE_INTERVAL_S:
            self._line(self._progress_text(event))
        elif note := _note_text(event, self._words):
            self._line(note)

    def close(self) -> None:
        """Nothing is held open."""

    def _line(self, text: str) -> None:
        self._line_written = time.monotonic()
        self._terminal.err.print(text, soft_wrap=True)

    def _progress_text(self, event: Progressed) -> str:
        spent, share = time.monotonic() - self._phase_began, event.done / event.total if event.total else 0.0
        # Training knows best: a resumed run has begun in its middle.
        left = event.left_s if event.phase == TRAINING else spent * (1 - share) / share if share else None
        phase = phase_text(event.phase, self._words) + (f" {share:.0%}" if share else "")
        parts = [self._words("cli.progress", phase=phase, spent=duration(spent))]
        if left is not None:
            parts.append(self._words("cli.left_time", left=duration(left)))
        if event.phase == TRAINING and str(self._figures):
            parts.append(str(self._figures))
        return " · ".join(parts)
