"""``--help`` in the terminal's language. Help texts of commands and flags are keys of the locale files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from backend.specs import Setting, settings
from studio.i18n import Words
from studio.terminal import Terminal


class WordedCommand(TyperCommand):
    """A command whose help is worded by the `Terminal` that ``ctx.obj`` holds."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        print_help(self, ctx)


class WordedGroup(TyperGroup):
    """The program itself, and its commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        print_help(self, ctx)


def print_help(command: Any, ctx: Any) -> None:
    """Usage, what the command does, its arguments and flags by section, and its commands."""
    terminal: Terminal = ctx.obj.terminal
    words = terminal.words
    usage = " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)])
    terminal.show(words("cli.help.usage", usage=usage), "")
    terminal.out.print(words(command.help))
    for title, lines in _sections(command, ctx, words):
        table = Table.grid(padding=(0, 2), pad_edge=True)
        table.add_column(no_wrap=True, overflow="fold", style="bold")
        table.add_column(overflow="fold")
        for line in lines:
            table.add_row(*line)
        terminal.show("", words(title), table)


def _sections(command: Any, ctx: Any, words: Words) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    known = {setting.path: setting for setting in settings()}
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        if parameter.param_type_name == "argument":
            title, left, text = "cli.help.arguments", parameter.metavar, words(parameter.help)
        elif parameter.name == "help":
            title, left, text = "cli.help.options", ", ".join(parameter.opts), words("cli.help.help")
        else:
            title = parameter.rich_help_panel or "cli.help.options"
            left = (
                " ".join([*parameter.opts, *parameter.secondary_opts])
                if parameter.is_flag
                else f"{parameter.opts[0]} {parameter.metavar}"
            )
            setting = known.get(parameter.help)
            text = _setting_help(setting, words) if setting else words(parameter.help)
            if not setting and parameter.default not in (None, False):
                text += f" [{words('cli.help.default', default=str(parameter.default))}]"
        sections.setdefault(title, []).append((left, text))
    yield from sections.items()
    children = getattr(command, "commands", {})
    if children:
        yield "cli.help.commands", [(name, words(child.help)) for name, child in children.items()]


def _setting_help(setting: Setting, words: Words) -> str:
    facts = []
    if setting.least is not None and setting.most is not None:
        facts.append(words("cli.help.range", least=setting.least, most=setting.most))
    if setting.optional:
        facts.append(words("cli.help.by_model"))
    elif setting.default not in ("", {}, ()):
        facts.append(words("cli.help.default", default=str(setting.default)))
    text = words(f"setting.{setting.path}.help")
    return f"{text} [{words('cli.figures', figures=facts)}]" if facts else text
