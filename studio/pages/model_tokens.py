"""Model and options: how long the texts are in the tokens of the chosen model, and whether it can read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from backend.data.choices import names_columns
from backend.data.datasets import load_report, wait
from backend.data.token_counts import start_token_count
from backend.errors import ModelError, StudioError, Unexpected
from backend.models.catalogue import MULTILINGUAL, catalogue
from backend.models.folder import check_base
from backend.recipes import recipe_for
from backend.specs import STARTER, RunSpec
from studio.findings import UNKNOWN_SHARE, tokens_words, unknown_words
from studio.i18n import Words
from studio.markup import tag, text
from studio.services import Services

COUNT_TIMEOUT_S = 120.0
KNOWN_LANGUAGES = ("zh", "en")
MAIN_SHARE = 0.5


def layout() -> gr.HTML:
    """Build the line under the facts of the model."""
    return gr.HTML(elem_classes="token-line")


def token_lines(services: Services, t: Words, spec: RunSpec) -> Iterator[str]:
    """What is known of the model and the table at once, then what counting tells."""
    base = spec.model.base
    if base == STARTER or not spec.data.dataset or not names_columns(spec.data):
        yield ""
        return
    try:
        check_base(base)
    except ModelError:  # which the facts of the model say already
        yield ""
        return
    unfit = language_warning(services, t, spec)
    yield unfit + tag("p", text(t("model.counting_tokens")), class_="muted")
    max_length = spec.training.max_length or recipe_for(base).max_length  # None: counted to fit
    try:
        job = start_token_count(services.home, spec.choices, spec.model, max_length, services.hub_token)
        yield unfit + counted_line(t, wait(job, timeout_s=COUNT_TIMEOUT_S)["tokens"])
    except (StudioError, TimeoutError) as error:
        # The run will say what is wrong with the model; here it is only that nothing can be counted.
        why = ""
        if isinstance(error, StudioError) and not isinstance(error, Unexpected):  # which says nothing to who reads it
            why = t.error(error)[0]
        yield unfit + tag("p", text(t("model.tokens_uncounted", why=why)), class_="muted")


def language_warning(services: Services, t: Words, spec: RunSpec) -> str:
    """A line that says so where the listed model does not know the language of most texts."""
    report = load_report(services.home, spec.choices)
    known = next((model for model in catalogue() if model.id == spec.model.base), None)
    if report is None or known is None or MULTILINGUAL in known.languages:
        return ""
    shares: dict[str, float] = report["language"]
    language = max(KNOWN_LANGUAGES, key=lambda name: shares.get(name, 0.0))
    if shares.get(language, 0.0) < MAIN_SHARE or language in known.languages:
        return ""
    said = t("model.language_unfit", percent=round(100 * shares[language]), language=t(f"language.{language}"))
    return tag("p", text(said), class_="banner")


def counted_line(t: Words, tokens: dict[str, Any]) -> str:
    """The lengths in one line, and a warning where much is unknown to the model."""
    line = tag("p", text(tokens_words(t, tokens)), class_="muted")
    if tokens["unknown"] < UNKNOWN_SHARE:
        return line
    return line + tag("p", text(unknown_words(t, tokens)), class_="banner")
