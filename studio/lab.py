"""The optimization lab in words: what was measured, a line for each way to train, for page and command line."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.data.datasets import result_of
from backend.errors import StudioError
from backend.jobs.directory import JobDirectory
from backend.jobs.events import CombinationTried
from backend.lab.others import telling_share
from backend.lab.starting import estimate, quickest, tried
from backend.specs import RunSpec, settings
from studio.i18n import Words, duration, size

COMPARED_WITH = "plain"


@dataclass(frozen=True)
class Line:
    """One way to train as it is read."""

    code: str
    name: str
    rate: float | None
    """Examples a second; None where it could not be measured."""
    ratio: float | None
    """The rate as a multiple of that without any optimization; None where that was not measured."""
    step_seconds: float | None
    peak_bytes: int | None
    flags: str
    """Its settings as flags of ``train``; empty for the settings as they were."""
    why_not: str
    """What went wrong; empty where it was measured."""


def lines(t: Words, found: Sequence[CombinationTried]) -> list[Line]:
    """A line for each way that was tried, in the order of trying."""
    base = next((each.figures for each in found if each.code == COMPARED_WITH and each.figures), None)
    return [_line(t, each, base) for each in found]


def _line(t: Words, each: CombinationTried, base: Mapping[str, Any] | None) -> Line:
    figures, why_not = each.figures or {}, ""
    if each.error:
        why_not = " ".join(t.error(StudioError.from_dict(each.error)))
    rate = figures.get("examples_per_second")
    return Line(
        code=each.code,
        name=t(f"lab.{each.code}"),
        rate=rate,
        ratio=rate / base["examples_per_second"] if rate and base else None,
        step_seconds=figures.get("step_seconds"),
        peak_bytes=figures.get("peak_bytes"),
        flags=flags_of(each.changes),
        why_not=why_not,
    )


def flags_of(changes: Mapping[str, Any]) -> str:
    """The values of settings, by path, as flags of a command; without those that are so anyway."""
    parts: list[str] = []
    for setting in settings():
        value = changes.get(setting.path, setting.default)
        if value == setting.default:
            continue
        if setting.kind == "switch":
            parts.append(setting.flag if value else f"--no-{setting.flag.removeprefix('--')}")
        else:
            parts += [setting.flag, str(value)]
    return shlex.join(parts)


def told(t: Words, job: JobDirectory) -> dict[str, Any]:
    """All that the page shows of a measurement: its lines, the advice and the estimate."""
    found = tried(job)
    rows = int(result_of(job).get("train_rows", 0))
    best = quickest(found)
    return {
        "lines": [
            {**asdict(line), "ratio": ratio_text(line), "memory": size(line.peak_bytes) if line.peak_bytes else ""}
            for line in lines(t, found)
        ],
        "best": best.code if best else "",
        "advice": advice(t, found),
        "estimate": estimate_words(t, found, RunSpec(**job.spec["run"]), rows),
    }


def ratio_text(line: Line) -> str:
    """``5.2×``, empty where there is nothing to compare with."""
    return f"{line.ratio:.1f}×" if line.ratio else ""


def advice(t: Words, found: Sequence[CombinationTried]) -> str:
    """Which way is the quickest that trains all weights, and what may have slowed them; empty where none was
    measured."""
    best = quickest(found)
    if best is None:
        return ""
    most = max(telling_share(each.figures or {}) for each in found)
    said = [t("lab.quickest", name=t(f"lab.{best.code}"))]
    return " ".join([*said, t("lab.beside", percent=round(100 * most))] if most else said)


def estimate_words(t: Words, found: Sequence[CombinationTried], spec: RunSpec, train_rows: int) -> str:
    """How long a run with the settings as they were would take, and its memory; empty where they were not measured."""
    figures = next((each.figures for each in found if each.code == "chosen" and each.figures), None)
    if figures is None or not train_rows:
        return ""
    seconds = max(1.0, estimate(figures, spec, train_rows))
    return t("lab.estimate", time=duration(seconds), memory=size(figures["peak_bytes"]))
