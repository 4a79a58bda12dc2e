"""The command line: ``python -m studio`` serves the pages, its commands do the same work in a terminal.

Exit statuses: 0 done (for ``train``: the run completed); 1 a mistake of the studio; 2 the command line or the input
does not hold, nothing was started; 3 the run was stopped by the user; 4 its process was ended from outside. A run that
was started has failed for want of memory (5) or of room on the disk (6), because its loss was not finite (7), the Hub
could not be reached (8), its table (9) or its base model (10) would not do, a process crashed (11), took too long (12),
or what it was to go on with has changed (13). 130 is Ctrl-C before an end was known.

``--json`` prints one JSON document on standard output and nothing else, for an error
``{"error": {"code", "what", "next", "facts"}}``. Never imports torch, and Gradio only for serving.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from backend.errors import StudioError, Unexpected, typed_error
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.settings import home_at
from studio import cli_history, cli_runs
from studio.cli_flags import with_setting_flags
from studio.cli_help import WordedCommand, WordedGroup
from studio.cli_usage import usage_sentence
from studio.i18n import LANGUAGES, Language, language_from, language_of, words
from studio.terminal import LEFT, Terminal, build_terminal

PROGRAM = "python -m studio"

app = typer.Typer(cls=WordedGroup, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})

# Help texts are keys of the locale files; `studio.cli_help` puts the terminal's language in their place.
HomeFlag = Annotated[Path | None, typer.Option("--home", metavar="DIR", help="cli.home")]
JsonFlag = Annotated[bool, typer.Option("--json", help="cli.json")]
LanguageFlag = Annotated[Language | None, typer.Option("--lang", metavar="|".join(LANGUAGES), help="cli.lang")]
HostFlag = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="cli.serve.host")]
PortFlag = Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="cli.serve.port")]
QuietFlag = Annotated[bool, typer.Option("--no-browser", help="cli.serve.no_browser")]
ShareFlag = Annotated[bool, typer.Option("--share", help="cli.serve.share")]
RunsArgument = Annotated[list[str], typer.Argument(metavar="RUN...", help="cli.runs_named")]
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="cli.run")]


class PreparedFormat(StrEnum):
    """The files that ``prepare`` writes."""

    CSV = "csv"
    PARQUET = "parquet"


@dataclass
class Session:
    """What ``main()`` read from the outside, handed to every command."""

    terminal: Terminal
    environ: Mapping[str, str]
    home: Path | None = None

    def store(self, home: Path | None) -> RunStore:
        """The runs of the home that was given, before or after the command's name."""
        return RunStore(home_at(home or self.home, self.environ).prepare())


def _session(context: typer.Context) -> Session:
    found = context.obj
    assert isinstance(found, Session)
    return found


@app.callback(invoke_without_command=True, help="cli.about")
def studio(
    context: typer.Context,
    host: HostFlag = "127.0.0.1",
    port: PortFlag = 7860,
    home: HomeFlag = None,
    no_browser: QuietFlag = False,
    share: ShareFlag = False,
    lang: LanguageFlag = None,
    as_json: JsonFlag = False,
) -> None:
    _session(context).home = home
    if context.invoked_subcommand is None:
        serve(context, host, port, home, no_browser, share, lang)


@app.command(cls=WordedCommand, help="cli.serve.help")
def serve(
    context: typer.Context,
    host: HostFlag = "127.0.0.1",
    port: PortFlag = 7860,
    home: HomeFlag = None,
    no_browser: QuietFlag = False,
    share: ShareFlag = False,
    lang: LanguageFlag = None,
) -> None:
    # Imported here: the other commands start without the web application.
    from studio.server import serve as serve_pages

    session = _session(context)
    terminal = session.terminal

    def tell(key: str, facts: dict[str, object]) -> None:
        terminal.say(key, **facts)

    serve_pages(
        home_at(home or session.home, session.environ).prepare(),
        host=host,
        port=port,
        open_browser=not no_browser,
        share=share,
        language=terminal.words.language,
        tell=tell,
    )


@app.command(cls=WordedCommand, help="cli.train.help")
@with_setting_flags
def train(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(metavar="DATA|run.yaml", help="cli.train.data")] = None,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
    **given: str | None,
) -> None:
    from studio.cli_train import train as train_here

    session = _session(context)
    home_flag = home or session.home
    raise typer.Exit(train_here(session.terminal, session.store(home), session.environ, data, given, home_flag))


@app.command(cls=WordedCommand, help="cli.retry.help")
def retry(
    context: typer.Context,
    run: RunArgument,
    remedy: Annotated[str | None, typer.Option("--remedy", metavar="NAME", help="cli.retry.remedy")] = None,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    from studio.cli_train import retry as retry_here

    session = _session(context)
    home_flag = home or session.home
    raise typer.Exit(retry_here(session.terminal, session.store(home), session.environ, run, remedy, home_flag))


@app.command(cls=WordedCommand, help="cli.clone.help")
@with_setting_flags
def clone(
    context: typer.Context,
    run: RunArgument,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
    **given: str | None,
) -> None:
    from studio.cli_train import clone as clone_here

    session = _session(context)
    home_flag = home or session.home
    raise typer.Exit(clone_here(session.terminal, session.store(home), session.environ, run, given, home_flag))


@app.command(cls=WordedCommand, help="cli.check.help")
@with_setting_flags
def check(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(metavar="FILE|run.yaml", help="cli.check.data")] = None,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
    **given: str | None,
) -> None:
    from studio.cli_check import check as check_here

    session = _session(context)
    raise typer.Exit(check_here(session.terminal, session.store(home), session.environ, data, given))


@app.command(cls=WordedCommand, help="cli.lab.help")
@with_setting_flags
def lab(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(metavar="FILE|run.yaml", help="cli.check.data")] = None,
    codes: Annotated[str, typer.Option("--try", metavar="A,B", help="cli.lab.try", show_default=False)] = "",
    steps: Annotated[int, typer.Option("--try-steps", metavar="N", min=2, max=1000, help="cli.lab.steps")] = 8,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
    **given: str | None,
) -> None:
    from studio.cli_lab import lab as lab_here

    session = _session(context)
    store = session.store(home)
    raise typer.Exit(lab_here(session.terminal, store, session.environ, data, given, codes, steps))


@app.command(cls=WordedCommand, help="cli.prepare.help")
@with_setting_flags
def prepare(
    context: typer.Context,
    data: Annotated[str | None, typer.Argument(metavar="FILE|run.yaml", help="cli.check.data")] = None,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="cli.prepare.out")] = Path("prepared"),
    kind: Annotated[PreparedFormat, typer.Option("--format", help="cli.prepare.format")] = PreparedFormat.CSV,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
    **given: str | None,
) -> None:
    from studio.cli_prepare import prepare as prepare_here

    session = _session(context)
    store = session.store(home)
    raise typer.Exit(prepare_here(session.terminal, store, session.environ, data, given, out, kind.value))


@app.command(cls=WordedCommand, help="cli.predict.help")
def predict(
    context: typer.Context,
    run: RunArgument,
    texts: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]...", help="cli.predict.texts")] = None,
    before: Annotated[bool, typer.Option("--before", help="cli.predict.before")] = False,
    table: Annotated[Path | None, typer.Option("--file", metavar="TABLE", help="cli.predict.file")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="cli.predict.out")] = None,
    text: Annotated[str, typer.Option("--text", metavar="COLUMN", help="cli.predict.text", show_default=False)] = "",
    replace: Annotated[bool, typer.Option("--replace", help="cli.predict.replace")] = False,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    terminal, store = session.terminal, session.store(home)
    if table is None:
        from studio.cli_predict import predict as predict_here

        if out or text or replace:
            raise typer.BadParameter(terminal.words("cli.predict.file_needed"))
        raise typer.Exit(predict_here(terminal, store, run, texts or [], with_before=before))
    from studio.cli_predict_table import predict_table

    if texts or before:
        raise typer.BadParameter(terminal.words("cli.predict.file_alone"))
    raise typer.Exit(predict_table(terminal, store, run, table, out, text=text, replace=replace))


@app.command(cls=WordedCommand, help="cli.runs.help")
def runs(
    context: typer.Context,
    find: Annotated[str, typer.Option("--find", metavar="WORDS", help="cli.runs.find", show_default=False)] = "",
    state: Annotated[JobState | None, typer.Option("--state", help="cli.runs.state")] = None,
    sort: Annotated[str, typer.Option("--sort", metavar="COLUMN", help="cli.runs.sort")] = cli_runs.NEWEST,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    if sort.removeprefix("-") not in cli_runs.SORTS:
        raise typer.BadParameter(session.terminal.words("cli.runs.sort_unknown", known=list(cli_runs.SORTS)))
    chosen = state.value if state else ""
    raise typer.Exit(cli_runs.list_runs(session.terminal, session.store(home), find, chosen, sort))


@app.command(cls=WordedCommand, help="cli.compare.help")
def compare(
    context: typer.Context,
    runs: RunsArgument,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_history.compare_runs(session.terminal, session.store(home), runs))


@app.command(cls=WordedCommand, help="cli.note.help")
def note(
    context: typer.Context,
    run: RunArgument,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="cli.note.name")] = None,
    tags: Annotated[str | None, typer.Option("--tags", metavar="A,B", help="cli.note.tags")] = None,
    notes: Annotated[str | None, typer.Option("--notes", metavar="TEXT", help="cli.note.notes")] = None,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_history.note(session.terminal, session.store(home), run, name, tags, notes))


@app.command(cls=WordedCommand, help="cli.delete.help")
def delete(
    context: typer.Context,
    runs: RunsArgument,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_history.delete(session.terminal, session.store(home), runs))


@app.command(cls=WordedCommand, help="cli.trash.help")
def trash(
    context: typer.Context,
    restore: Annotated[str | None, typer.Option("--restore", metavar="RUN", help="cli.trash.restore")] = None,
    empty: Annotated[bool, typer.Option("--empty", help="cli.trash.empty")] = False,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_history.trash(session.terminal, session.store(home), restore, empty=empty))


@app.command(cls=WordedCommand, help="cli.show.help")
def show(
    context: typer.Context,
    run: RunArgument,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_runs.show_run(session.terminal, session.store(home), run))


@app.command(cls=WordedCommand, help="cli.stop.help")
def stop(
    context: typer.Context,
    run: RunArgument,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_runs.stop_run(session.terminal, session.store(home), run))


@app.command(cls=WordedCommand, help="cli.resume.help")
def resume(
    context: typer.Context,
    run: RunArgument,
    step: Annotated[int | None, typer.Option("--from", metavar="STEP", min=0, help="cli.resume.from")] = None,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    from studio.cli_train import resume as resume_here

    session = _session(context)
    home_flag = home or session.home
    raise typer.Exit(resume_here(session.terminal, session.store(home), session.environ, run, step, home_flag))


@app.command(cls=WordedCommand, help="cli.queue.help")
def queue(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="cli.queue.run")] = None,
    to: Annotated[int, typer.Option("--to", metavar="N", min=1, help="cli.queue.to")] = 1,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    session = _session(context)
    raise typer.Exit(cli_runs.show_queue(session.terminal, session.store(home), run, to))


@app.command(cls=WordedCommand, help="cli.doctor.help")
def doctor(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", metavar="NAME|DIR", help="cli.doctor.model")] = None,
    as_json: JsonFlag = False,
    lang: LanguageFlag = None,
) -> None:
    from studio import cli_doctor

    raise typer.Exit(cli_doctor.doctor(_session(context).terminal, model))


@app.command(cls=WordedCommand, help="cli.repair.help")
def repair(context: typer.Context, home: HomeFlag = None, as_json: JsonFlag = False, lang: LanguageFlag = None) -> None:
    session = _session(context)
    raise typer.Exit(cli_runs.repair(session.terminal, session.store(home)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: reads environment and arguments, runs the command; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    flags = given[: given.index("--")] if "--" in given else given
    terminal = build_terminal(words(_language(flags, os.environ)), as_json="--json" in flags)
    command = typer.main.get_command(app)
    try:
        found = command.main(given, PROGRAM, standalone_mode=False, obj=Session(terminal, os.environ))
    except StudioError as error:
        return terminal.fail(error)
    except typer.TyperException as error:
        return terminal.refuse_usage(usage_sentence(error, terminal.words))
    except typer.Abort:
        return LEFT
    except Exception as error:  # noqa: BLE001 - the seam where a fault of our own becomes words
        known = typed_error(error, home_at(_last_of(flags, "--home"), os.environ).path)
        if known is not None:
            return terminal.fail(known)
        traceback.print_exc()
        return terminal.fail(Unexpected(detail=f"{type(error).__name__}: {error}"[:1000]))
    return found if isinstance(found, int) else 0


def _language(flags: Sequence[str], environ: Mapping[str, str]) -> Language:
    # Before parsing, since the help is built in this language.
    tag = _last_of(flags, "--lang")
    return language_of(tag) if tag else language_from(environ)


def _last_of(flags: Sequence[str], name: str) -> str:
    given = [after for flag, after in pairwise(flags) if flag == name]
    given += [flag.removeprefix(f"{name}=") for flag in flags if flag.startswith(f"{name}=")]
    return given[-1] if given else ""
