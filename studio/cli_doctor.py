"""``python -m studio doctor``: what this machine computes with, and what every open option becomes on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version

from backend.decisions import decide
from backend.lab.expectations import expectations, footprint
from backend.machine import this_machine
from backend.models.folder import check_base
from backend.specs import RunSpec
from studio import auto
from studio.terminal import Terminal, build_table

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "bitsandbytes", "gradio")
PRETRAINED = "pretrained"
"""Stands for any model but the starter."""


def doctor(terminal: Terminal, model: str | None = None) -> int:
    """Print the machine, the versions, and the decisions for a pretrained model with everything left open.

    Of a ``model`` that is on this machine or in the list also what training takes and what each option changes.

    Raises:
        NotAModelFolder: it names a folder that holds none.
    """
    words, machine = terminal.words, this_machine()
    if model:
        check_base(model)
    spec = RunSpec().replaced(model__base=model or PRETRAINED)
    shape = auto.weighed(model) if model else None
    versions = {name: version(name) for name in PACKAGES if name != "bitsandbytes" or name in machine.packages}
    if terminal.as_json:
        decisions = [decision.to_dict() for decision in decide(spec, machine, auto.known(spec))]
        document = {"machine": machine.to_dict(), "versions": versions, "decisions": decisions}
        if shape:
            taken = footprint(spec, machine, shape)
            document["footprint"] = asdict(taken) | {"fits": taken.fits(machine, spec.compute.processes)}
            document["options"] = [each.to_dict() for each in expectations(spec, machine, shape)]
        terminal.document(document)
        return 0
    terminal.show(auto.machine_line(words, machine), " · ".join(f"{name} {text}" for name, text in versions.items()))
    _show_lines(terminal, auto.lines(words, spec))
    if shape:
        terminal.show(words("option.title"), auto.memory_line(words, spec, shape))
        if short := auto.shortage(words, spec, shape):
            terminal.show(short)
        _show_lines(terminal, auto.option_lines(words, spec, shape))
    elif model:
        terminal.show(words("option.unknown", model=model))
    return 0


def _show_lines(terminal: Terminal, lines: Sequence[auto.Line]) -> None:
    table = build_table(*(terminal.words(f"cli.column.{name}") for name in ("setting", "value", "reason")))
    for line in lines:
        table.add_row(line.setting, line.value, line.reason)
    terminal.show(table)
