"""``python -m studio doctor``: what this machine computes with, and what every open option becomes on it."""

from __future__ import annotations

from importlib.metadata import version

from backend.decisions import decide
from backend.machine import this_machine
from backend.specs import RunSpec
from studio import auto
from studio.terminal import Terminal, build_table

PACKAGES = ("torch", "transformers", "datasets", "accelerate", "peft", "bitsandbytes", "gradio")
PRETRAINED = "pretrained"
"""Stands for any model but the starter."""


def doctor(terminal: Terminal) -> int:
    """Print the machine, the versions, and the decisions for a pretrained model with everything left open."""
    words, machine = terminal.words, this_machine()
    spec = RunSpec().replaced(model__base=PRETRAINED)
    versions = {name: version(name) for name in PACKAGES if name != "bitsandbytes" or name in machine.packages}
    if terminal.as_json:
        decisions = [decision.to_dict() for decision in decide(spec, machine)]
        terminal.document({"machine": machine.to_dict(), "versions": versions, "decisions": decisions})
        return 0
    table = build_table(*(words(f"cli.column.{name}") for name in ("setting", "value", "reason")))
    for line in auto.lines(words, spec):
        table.add_row(line.setting, line.value, line.reason)
    terminal.show(auto.machine_line(words, machine), " · ".join(f"{name} {text}" for name, text in versions.items()))
    terminal.show(table)
    return 0
