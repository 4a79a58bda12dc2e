"""What is wrong with a command line, in the terminal's language instead of typer's English."""

from __future__ import annotations

import re
from typing import Any

import typer

from studio.i18n import Words


def usage_sentence(error: typer.TyperException, words: Words) -> str:
    """The sentence for one of typer's usage errors; a kind that is not known here keeps typer's own."""
    found: Any = error
    match type(error).__name__:
        case "NoSuchOption":
            said = words("cli.usage.no_flag", flag=found.option_name)
            near = sorted(found.possibilities or [])
            return said + (" " + words("cli.usage.near", flags=near) if near else "")
        case "MissingParameter":
            return words("cli.usage.missing", name=_name_of(found.param))
        case "BadOptionUsage":
            return words("cli.usage.no_value", flag=found.option_name)
        case "BadParameter":  # without a parameter it is one of this program's own, already worded
            return (
                words("cli.usage.bad_value", name=_name_of(found.param), detail=found.message)
                if found.param
                else found.message
            )
    message = error.format_message()
    if named := re.match(r"No such command '(.*?)'", message):
        return words("cli.usage.no_command", command=named[1])
    if message.startswith("Got unexpected extra argument"):
        return words("cli.usage.extra", given=message.split("(", 2)[-1].removesuffix(")"))
    return message


def _name_of(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name) if parameter.param_type_name == "argument" else parameter.opts[0]
