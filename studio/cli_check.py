"""``python -m studio check``: the whole report on a table, and whether it can be trained on."""

from __future__ import annotations

from collections.abc import Mapping
from shlex import quote
from typing import Any

from pydantic import TypeAdapter

from backend.data.choices import refusal_of
from backend.data.token_counts import start_token_count
from backend.errors import StudioError
from backend.jobs.status import JobState
from backend.jobs.store import RunStore
from backend.recipes import recipe_for
from backend.settings import Home
from backend.specs import STARTER, RunSpec, settings
from backend.steps import Step, step_text
from studio.cli_data import (
    StoppedBefore,
    choose_columns,
    followed_result,
    hub_token,
    import_data,
    report_of,
    tell_preparation,
)
from studio.cli_follow import Interrupts, Left
from studio.cli_train import read_spec
from studio.findings import (
    UNKNOWN_SHARE,
    example_table,
    finding_words,
    repair_words,
    task_words,
    tokens_words,
    unknown_words,
    worst_first,
)
from studio.i18n import Words
from studio.terminal import REFUSED, STOPPED, Terminal, build_table, error_document

MARKS = {"error": "✕", "warning": "▲", "note": "·", "ok": "✓"}
STYLES = {"error": "bold red", "warning": "yellow", "note": "", "ok": "green"}
LABELS_SHOWN = 30
CELL_CHARACTERS = 100
EXAMPLES_SHOWN = 3


def check(
    terminal: Terminal,
    store: RunStore,
    environ: Mapping[str, str],
    data: str | None,
    given: Mapping[str, str | None],
) -> int:
    """Import the table and print the report on it; the exit status says whether a run could begin.

    Raises:
        StudioError: the settings or the table do not hold; there is no report.
    """
    spec = read_spec(terminal, data, given)
    with Interrupts() as interrupts:
        try:
            token = hub_token(store.home, environ)
            spec, profile = import_data(terminal, store.home, spec, interrupts, token)
            spec = choose_columns(spec, profile)
            report = report_of(terminal, store.home, spec.choices, interrupts)
            report |= _tokens(terminal, store.home, spec, interrupts, token)
        except (StoppedBefore, Left):
            terminal.say("cli.stopped")
            if terminal.as_json:
                terminal.document({"state": JobState.STOPPED})
            return STOPPED
    refusal = refusal_of(report, spec.data.label_names)
    if terminal.as_json:
        error = {"error": error_document(refusal, terminal.words)} if refusal else {}
        terminal.document({"file": profile["file"], "guess": profile["guess"], **report, **error})
    else:
        show_report(terminal, profile, report, refusal)
    return REFUSED if refusal else 0


def _tokens(terminal: Terminal, home: Home, spec: RunSpec, interrupts: Interrupts, token: str | None) -> dict[str, Any]:
    """The lengths in tokens where a model is named; the starter learns its own from the texts in training."""
    if spec.model.base == STARTER:
        return {}
    max_length = spec.training.max_length or recipe_for(spec.model.base).max_length
    return followed_result(terminal, start_token_count(home, spec.choices, spec.model, max_length, token), interrupts)


def show_report(
    terminal: Terminal, profile: Mapping[str, Any], report: Mapping[str, Any], refusal: StudioError | None
) -> None:
    """The report for people: what the table is, its labels and lengths, and each finding with its rows."""
    words = terminal.words
    columns = report["text"] or report.get("template"), report["label"] or report.get("label_columns")
    facts = {"rows": profile["rows"], "used": report["usable_rows"], "text": columns[0], "label": columns[1]}
    terminal.show(words("cli.check.table", file=profile["file"], task=task_words(words, report), **facts), "")
    terminal.show(_labels_table(words, report), "", words("data.lengths_summary", **_length_facts(report)))
    if tokens := report.get("tokens"):
        terminal.show(tokens_words(words, tokens))
        if tokens["unknown"] >= UNKNOWN_SHARE:
            terminal.show(unknown_words(words, tokens))
    shares = [f"{words(f'language.{name}')} {100 * share:.0f} %" for name, share in report["language"].items() if share]
    terminal.show(words("cli.check.languages", shares=shares), "")
    for finding in worst_first(report["findings"]):
        _show_finding(terminal, finding)
    tell_preparation(terminal, report)
    if refusal is not None:
        terminal.complain(refusal)


def _length_facts(report: Mapping[str, Any]) -> dict[str, Any]:
    lengths = report["lengths"]
    return {"median": lengths["median"], "p95": lengths["p95"], "longest": lengths["max"]}


def _labels_table(words: Words, report: Mapping[str, Any]) -> Any:
    table = build_table(words("cli.column.label"), words("cli.check.rows"), "%", numbers_from=1)
    labels = sorted(report["labels"], key=lambda label: -label["count"])
    for label in labels[:LABELS_SHOWN]:
        share = 100 * label["count"] / max(1, report["usable_rows"])
        table.add_row(label["value"], f"{label['count']:,}", f"{share:.1f}")
    if len(labels) > LABELS_SHOWN:
        table.add_row(words("data.labels_cut", shown=LABELS_SHOWN, count=len(labels)), "", "")
    return table


def _show_finding(terminal: Terminal, finding: Mapping[str, Any]) -> None:
    words, severity = terminal.words, finding["severity"]
    terminal.out.print(f"{MARKS[severity]} {finding_words(words, finding)}", style=STYLES[severity], soft_wrap=True)
    heads, rows = example_table(words, list(finding["examples"])[:EXAMPLES_SHOWN])
    if rows:
        table = build_table(*heads)
        for row in rows:
            table.add_row(*(_one_line(cell) for cell in row))
        terminal.show(table)
    for repair in finding["repairs"]:
        terminal.show(f"  → {repair_words(words, repair)}: {repair_flags(repair)}")
    terminal.show("")


def _one_line(cell: str) -> str:
    plain = " ".join(cell.split())
    return plain if len(plain) <= CELL_CHARACTERS else plain[: CELL_CHARACTERS - 1] + "…"


def repair_flags(repair: Mapping[str, Any]) -> str:
    """What to add to the command for a repair: ``--step drop_duplicates:by=near``."""
    if "step" in repair:
        step: Any = TypeAdapter(Step).validate_python(repair["step"])
        return f"--step {quote(step_text(step))}"
    flags = {setting.path: setting.flag for setting in settings()}
    return " ".join(f"{flags[path]} {quote(str(value))}" for path, value in repair["set"].items() if value != "")
