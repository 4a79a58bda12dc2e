"""Asking somebody who may never answer: the answer in time, or none. Knows nothing of networks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def outcome_in_time(ask: Callable[[float], Answer], deadline: float) -> Answer | Exception | None:
    """What ``ask(seconds left)`` returns or raises; None if it does neither before ``deadline`` (`time.monotonic`).

    In a thread, since looking up a host name heeds no timeout of the connection; a thread that hangs is left to
    itself and ends with the process.
    """
    box: list[Answer | Exception] = []

    def run() -> None:
        try:
            box.append(ask(max(0.1, deadline - time.monotonic())))
        except Exception as error:  # noqa: BLE001  (handed over to the thread that waits, which raises it)
            box.append(error)

    thread = threading.Thread(target=run, name="asking", daemon=True)
    thread.start()
    thread.join(max(0.0, deadline - time.monotonic()))
    return box[0] if box else None


def answer_in_time(ask: Callable[[float], Answer], timeout_s: float) -> Answer:
    """What ``ask(seconds left)`` returns.

    Raises:
        TimeoutError: it has neither returned nor raised within the time.
        Exception: whatever it raised.
    """
    outcome = outcome_in_time(ask, time.monotonic() + timeout_s)
    if outcome is None:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
