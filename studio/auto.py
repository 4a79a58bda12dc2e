"""What Auto decided, in words: the same lines on the model page and from ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass

from backend.decisions import NOTHING_KNOWN, Decision, Known, decide
from backend.lab.expectations import Expectation, expectations, footprint, room_for_each
from backend.machine import Machine, machine_for
from backend.models.shape import Shape, shape_of
from backend.specs import RunSpec
from studio.i18n import Words, size
from studio.markup import tag, text

SMALLEST_SAVING = 1e6
"""Bytes: less is not worth a word."""


@dataclass(frozen=True)
class Line:
    """One decision as it is read."""

    setting: str
    value: str
    reason: str


def lines(t: Words, spec: RunSpec) -> list[Line]:
    """What the options become on this machine, each with its reason."""
    return [_line(t, decision) for decision in decide(spec, machine_for(spec.compute), known(spec))]


def known(spec: RunSpec) -> Known:
    """What is known of the model before it is loaded."""
    shape = shape_of(spec.model.base)
    return Known(shape.width, shape.parameters, shape.architecture) if shape else NOTHING_KNOWN


def weighed(base: str) -> Shape | None:
    """The shape of a model whose weights are known, too: a configuration may be there alone."""
    shape = shape_of(base)
    return shape if shape and shape.parameters else None


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
    """The lines as HTML, below the machine they hold for; of a model whose size is known, what the options change."""
    decided = _part(t("decision.title"), machine_line(t, machine_for(spec.compute)), lines(t, spec))
    shape = weighed(spec.model.base)
    if shape is None:
        return decided
    return decided + _part(
        t("option.title"), memory_line(t, spec, shape), option_lines(t, spec, shape), shortage(t, spec, shape)
    )


def _part(title: str, about: str, shown: list[Line], warning: str = "") -> str:
    rows = (
        tag("li", tag("b", text(line.setting)), f" {text(line.value)} ", tag("span", text(line.reason), class_="muted"))
        for line in shown
    )
    warned = tag("p", text(warning), class_="banner bad", role="alert") if warning else ""
    return (
        tag("h4", text(title)) + warned + tag("p", text(about), class_="muted") + tag("ul", *rows, class_="decisions")
    )


def memory_line(t: Words, spec: RunSpec, shape: Shape) -> str:
    """What training is expected to take in memory, part by part."""
    machine = machine_for(spec.compute)
    found = footprint(spec, machine, shape)
    parts = {name: size(getattr(found, name)) for name in ("weights", "gradients", "moments", "activations")}
    here = size(machine.card_memory_bytes or machine.memory_bytes)
    return t("option.memory", total=size(found.memory), here=here, **parts)


def shortage(t: Words, spec: RunSpec, shape: Shape) -> str:
    """That the machine has not even room for the weights and what belongs to each of them; empty where it has."""
    machine = machine_for(spec.compute)
    found = footprint(spec, machine, shape)
    if found.fits(machine, spec.compute.processes):
        return ""
    return t("option.short", held=size(found.held), here=size(room_for_each(machine, spec.compute.processes)))


def option_lines(t: Words, spec: RunSpec, shape: Shape) -> list[Line]:
    """What each option is expected to save or cost here, or why it cannot be had."""
    return [_option_line(t, each) for each in expectations(spec, machine_for(spec.compute), shape)]


def _option_line(t: Words, option: Expectation) -> Line:
    name = t(f"option.{option.code}")
    if option.hindrance:
        return Line(name, t("option.impossible"), t(option.hindrance))
    effects = []
    if abs(option.saved_bytes) >= SMALLEST_SAVING:
        key = "option.saves" if option.saved_bytes > 0 else "option.costs"
        effects.append(t(key, memory=size(abs(option.saved_bytes))))
    if option.work != 1:
        effects.append(t("option.work", factor=f"{option.work:.2f}"))
    about = [t(key) for key in (option.remark or f"option.{option.code}.about",) if t.has(key)]
    return Line(name, t("auto.on" if option.on else "auto.off"), " · ".join([*effects, *about]))
