"""Asking a model in its own process. Never imports torch: the studio and the command line hold these."""

from __future__ import annotations

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from backend.errors import PredictorFailed, StudioError, TextMissing
from backend.jobs.launch import child_environment

SERVICE_MODULE = "backend.inference.service"
TIMEOUT_S = 120.0
ENDING_S = 5.0


@dataclass(frozen=True)
class Answers:
    """Answers to texts, in their order, each ``{"text", "label", "scores": {label: p}}``."""

    answers: list[dict[str, Any]]
    before: list[dict[str, Any]] | None = None
    """The same of the model before fine-tuning, if it was asked."""


class Predictor:
    """One model's process: started when first asked, held until closed, started anew after a crash."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def warm(self) -> None:
        """Start loading the model without waiting for it."""
        with self._lock:
            self._start()

    def predict(self, texts: Sequence[str], before: bool = False, timeout_s: float = TIMEOUT_S) -> Answers:
        """Answers to the texts, and with ``before`` those of the model before fine-tuning too.

        Raises:
            TextMissing: there is no text, or only blank ones.
            PredictorFailed: the process crashed or did not answer in time; the next call starts a fresh one.
            ModelError: the model, or the base model that the one before fine-tuning is rebuilt from, is not there.
        """
        if not any(text.strip() for text in texts):
            raise TextMissing
        question = {"texts": list(texts), "which": "both" if before else "after"}
        with self._lock:
            child = self._start()
            try:
                reply = _exchange(child, question, timeout_s)
            except (OSError, ValueError) as error:
                raise self._failed(error) from error
        if "error" in reply:
            raise StudioError.from_dict(reply["error"])
        return Answers(reply["answers"], reply["before"])

    def close(self) -> None:
        """End the process; waits for an answer that is on its way."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The process's number; None where none runs."""
        return self._child.pid if self._child is not None and self._child.poll() is None else None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (held as long as the process: closed in `_end`)
        self._child = subprocess.Popen(
            [sys.executable, "-m", SERVICE_MODULE, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=child_environment({}),
        )
        return self._child

    def _failed(self, error: Exception) -> PredictorFailed:
        said = ""
        if self._log is not None:
            self._log.seek(0)
            said = self._log.read().decode("utf-8", "replace").strip()[-300:]
        self._end(at_once=True)
        return PredictorFailed(detail=said or str(error))

    def _end(self, *, at_once: bool = False) -> None:
        if self._child is not None:
            assert self._child.stdin is not None
            assert self._child.stdout is not None
            if at_once:
                self._child.kill()
            with suppress(BrokenPipeError):  # it may have ended already
                self._child.stdin.close()  # the service ends when its input does
            try:
                self._child.wait(ENDING_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
            self._child.stdout.close()
        if self._log is not None:
            self._log.close()
        self._child = self._log = None


def _exchange(child: subprocess.Popen[bytes], question: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send the question and read the line that answers it. Raises ``OSError`` or ``ValueError`` where none comes."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(question, ensure_ascii=False).encode() + b"\n")
    child.stdin.flush()
    deadline, pieces = time.monotonic() + timeout_s, [b""]
    while not pieces[-1].endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([child.stdout], [], [], left)[0]:
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        pieces.append(os.read(child.stdout.fileno(), 1 << 16))
        if not pieces[-1]:
            raise ConnectionResetError(f"the process ended with status {child.wait(ENDING_S)}")
    reply: dict[str, Any] = json.loads(b"".join(pieces))
    return reply


class PredictorPool:
    """The processes of the models that were asked last: at most ``limit``, each ended after ``idle_s`` unasked."""

    def __init__(self, limit: int = 2, idle_s: float = 300.0) -> None:
        self._limit, self._idle_s = limit, idle_s
        self._held: OrderedDict[Path, tuple[Predictor, float]] = OrderedDict()
        self._lock = threading.Lock()
        self._sweeper: threading.Thread | None = None
        self._closed = threading.Event()

    def predict(
        self, folder: Path, texts: Sequence[str], before: bool = False, timeout_s: float = TIMEOUT_S
    ) -> Answers:
        """Ask the model of ``folder``; see `Predictor.predict`."""
        predictor = self._predictor(folder)
        try:
            return predictor.predict(texts, before, timeout_s)
        finally:
            self._touch(folder)

    def warm(self, folder: Path) -> None:
        """Start loading the model of ``folder`` without waiting for it."""
        self._predictor(folder).warm()
        self._touch(folder)

    def forget(self, name: str) -> None:
        """End the processes of the run with this id, as when it is deleted."""
        with self._lock:
            gone = [self._held.pop(folder)[0] for folder in list(self._held) if folder.name == name]
        for predictor in gone:
            predictor.close()

    def close(self) -> None:
        """End all processes."""
        self._closed.set()
        with self._lock:
            held = [predictor for predictor, _used in self._held.values()]
            self._held.clear()
        for predictor in held:
            predictor.close()

    def _predictor(self, folder: Path) -> Predictor:
        with self._lock:
            predictor = self._held.pop(folder, (Predictor(folder), 0.0))[0]
            self._held[folder] = (predictor, math.inf)  # in use until `_touch`: never idle meanwhile
            surplus = [self._held.popitem(last=False)[1][0] for _ in range(len(self._held) - self._limit)]
            if self._sweeper is None:
                self._sweeper = threading.Thread(target=self._sweep, name="idle predictors", daemon=True)
                self._sweeper.start()
        for old in surplus:
            old.close()
        return predictor

    def _touch(self, folder: Path) -> None:
        with self._lock:
            if folder in self._held:
                self._held[folder] = (self._held[folder][0], time.monotonic())

    def _sweep(self) -> None:
        while not self._closed.wait(min(self._idle_s / 4, 15.0)):
            before = time.monotonic() - self._idle_s
            with self._lock:
                idle = [folder for folder, (_predictor, used) in self._held.items() if used < before]
                gone = [self._held.pop(folder)[0] for folder in idle]
            for predictor in gone:
                predictor.close()
