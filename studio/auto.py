"""What Auto decided, in words: the same lines on the model page and from ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from backend.decisions import Decision, decide
from backend.machine import Machine, this_machine
from backend.specs import RunSpec
from studio.i18n import Words, size
from studio.markup import tag, text


@dataclass(frozen=True)
class Line:
    """One decision as it is read."""

    setting: str
    value: str
    reason: str


def lines(t: Words, spec: RunSpec) -> list[Line]:
    """What the options become on this machine, each with its reason."""
    return [_line(t, decision) for decision in decide(spec, this_machine())]


def _line(t: Words, decision: Decision) -> Line:
    path, value = decision.setting, decision.value
    if isinstance(value, bool):
        shown = t("auto.on" if value else "auto.off")
    else:
        shown = t("auto.open") if value is None else t(key) if t.has(key := f"choice.{path}.{value}") else f"{value:,g}"
    reason = t(f"decision.{path}.{decision.reason}", **decision.facts)
    return Line(t(f"setting.{path}.name"), shown, reason)


def machine_line(t: Words, machine: Machine) -> str:
    """The machine in one line: what computes, its memory, and what of it makes training quick."""
    if machine.device == "cuda":
        parts = [machine.card, size(machine.card_memory_bytes)]
    else:
        parts = [machine.processor, t("auto.cores", count=machine.cores), size(machine.memory_bytes)]
    marks = (("bf16", machine.bf16), ("AMX", machine.amx), ("TF32", machine.tf32))
    return " · ".join([*parts, *(name for name, has in marks if has)])


def listed(t: Words, spec: RunSpec) -> str:
    """The lines as HTML, below the machine they hold for."""
    rows = (
        tag("li", tag("b", text(line.setting)), f" {text(line.value)} ", tag("span", text(line.reason), class_="muted"))
        for line in lines(t, spec)
    )
    about = tag("p", text(machine_line(t, this_machine())), class_="muted")
    return tag("h4", text(t("decision.title"))) + about + tag("ul", *rows, class_="decisions")
