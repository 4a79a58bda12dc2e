"""Model and options: what the page answers when something is chosen, typed or clicked."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.data.datasets import load_report
from backend.errors import DatasetMissing, ModelNotNamed, SpecError, StudioError
from backend.recipes import made_up_for, open_where_recipe
from backend.spec_files import spec_to_yaml
from backend.specs import STARTER, Choices, RunSpec
from studio import auto
from studio.address import Opened
from studio.i18n import Words
from studio.markup import problem, problems, tag, text
from studio.pages import model_estimate, model_tokens
from studio.pages.data import DataView, check_label_names
from studio.pages.model_asked import (
    build_holding_spec,
    build_run_spec,
    command_of,
    keep,
    keep_options,
    start_run,
    vain,
)
from studio.pages.model_choice import any_of, check_model, chosen_model, model_facts
from studio.pages.model_layout import ModelView
from studio.pages.model_recipe import followed
from studio.services import Services
from studio.site import Site


def summary_of(services: Services, t: Words, choices: Choices, base: str) -> str:
    """How many texts are learned from, asked and kept back, and how many a starter makes up."""
    report = load_report(services.home, choices) or {}
    parts = report.get("parts") or {}
    if "train" not in parts:
        return ""
    rows = {name: parts[name]["rows"] for name in ("train", "validation", "test")}
    told = [text(t("data.parts_counts", **rows))]
    made_up = made_up_for(rows["train"], multilabel=report["task"] == "multilabel")
    if base == STARTER and made_up:
        told.append(text(t("model.starter_texts", count=made_up, together=made_up + rows["train"])))
    return tag("p", "<br>".join(told), class_="muted")


class Answers:
    """To the events of one page.

    Most are given the address and, as ``values``, what everything on the pages shows: the data page's fields, its
    table's, those that name the model, the run's name, and the form. What the fields show counts, also where the news
    of a change is still on its way.
    """

    def __init__(self, view: ModelView, data: DataView, site: Site, fields: Mapping[str, Component]) -> None:
        self._view, self._site, self._fields = view, site, fields
        self._services, self._t = site.services, site.t
        self._data_count, self._table_count = len(data.choices()), len(data.preparing.choices())
        self._model_count = len(view.model_fields())

    def _divided(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        data_fields, rest = values[: self._data_count], values[self._data_count :]
        table_fields, rest = rest[: self._table_count], rest[self._table_count :]
        model_fields, name, form = rest[: self._model_count], rest[self._model_count], rest[self._model_count + 1 :]
        return data_fields, table_fields, model_fields, name, form

    def spec_of(self, address: str, *values: Any) -> tuple[Opened, RunSpec]:
        """What is open, and the run that everything on the pages asks for.

        Raises:
            SpecError, DatasetMissing, ModelNotNamed: as `build_run_spec`.
        """
        opened = self._site.opened(address)
        return opened, build_run_spec(opened, *self._divided(values))

    def kind_chosen(self, kind: str, listed: str | None, hub_id: str, folder: str, *rest: Any) -> dict[Any, Any]:
        """The fields of another kind of model, and the options as its recipe has them where nothing was typed."""
        known = model_facts(self._t, {"starter": STARTER, "list": listed or ""}.get(kind, ""))
        return {
            self._view.listed: gr.update(visible=kind == "list"),
            self._view.hub_id: gr.update(visible=kind == "hub"),
            self._view.folder: gr.update(visible=kind == "folder"),
            self._view.check: gr.update(visible=kind in ("hub", "folder")),
            self._view.facts: self.folder_left(kind, listed, hub_id, folder) if kind == "folder" else known,
            **self.recipe_followed(kind, *rest),
        }

    def recipe_followed(self, kind: str, before: str, optimizer: str, *values: Any) -> dict[Any, Any]:
        """The options of another recipe, but for what was typed."""
        changes, known = followed(kind, optimizer, dict(zip(self._fields, values, strict=True)), before)
        return {
            self._view.followed: known,
            **{self._fields[path]: gr.update(value=value) for path, value in changes.items()},
        }

    def listed_chosen(self, base: str | None) -> str:
        """What is known of a model of the list."""
        return model_facts(self._t, base or "")

    def checked(self, *fields: Any) -> str:
        """What is found of the model that is named, on this machine or on the Hub."""
        try:
            return check_model(self._services, self._t, chosen_model(*fields), fields[0])
        except StudioError as error:
            return problem(self._t, error)

    def folder_left(self, kind: str, *fields: Any) -> Any:
        """What is found in a folder, when its field is left with something in it."""
        if kind != "folder":
            return gr.skip()
        return self.checked(kind, *fields) if (fields[-1] or "").strip() else ""

    def _complaints(
        self, address: str, error: SpecError, *values: Any, clicked: bool = True
    ) -> tuple[RunSpec | None, list[StudioError]]:
        # What was kept of a setting that does not hold now stands in no field.
        opened = self._site.opened(address)
        holding = build_holding_spec(error, opened, *self._divided(values))
        failed = [found["setting"] for found in error.problems]
        return holding, [error, *(vain(self._services, holding, but=failed, model=clicked) if holding else ())]

    def described(self, address: str, *values: Any, changed: bool = False) -> dict[Any, Any]:
        """What becomes of the settings: decisions, command, YAML, counts, and all that they ask for in vain."""
        try:
            opened, spec = self.spec_of(address, *values)
        except SpecError as error:
            holding, wrong = self._complaints(address, error, *values, clicked=False)
            if holding is None:
                return {self._view.problem: problems(self._t, wrong)}
            if changed:
                keep(self._services, self._site.opened(address), holding)  # what else was changed is not lost with it
            return self._told_of(holding, wrong, self._t("model.without_what_fails"))
        except DatasetMissing:  # the page says so itself
            return {self._view.problem: ""}
        except ModelNotNamed as error:
            return self._unnamed(address, self._t.error(error)[0], *values, changed=changed)
        if changed:
            keep(self._services, opened, spec)
        return self._told_of(spec, vain(self._services, spec))

    def _unnamed(self, address: str, said: str, *values: Any, changed: bool) -> dict[Any, Any]:
        # The other options are looked at meanwhile, and kept beside the model that was named before.
        first = self._data_count + self._table_count
        of_any = (*values[:first], "hub", None, any_of(values[first]).base, None, *values[first + self._model_count :])
        others = self.described(address, *of_any)
        if changed:
            keep_options(self._services, self._site.opened(address), *self._divided(of_any))
        return others | {
            self._view.decisions: tag("p", text(said), class_="muted"),
            self._view.command: f"# {said}",
            self._view.yaml: f"# {said}",
            self._view.summary: tag("p", text(said), class_="muted"),
            self._view.estimate.said: "",
        }

    def _told_of(self, spec: RunSpec, errors: Sequence[StudioError], beside: str = "") -> dict[Any, Any]:
        shown, wrong = open_where_recipe(spec), [beside] if beside else [self._t.error(error)[0] for error in errors]
        comment = "".join(f"# {each}\n" for each in wrong)
        banner = tag("p", text(beside), class_="banner slim") if beside else ""
        return {
            self._view.problem: problems(self._t, errors),
            self._view.decisions: banner + auto.listed(self._t, shown),
            self._view.command: comment + command_of(shown),
            self._view.yaml: comment + spec_to_yaml(shown),
            self._view.summary: summary_of(self._services, self._t, spec.choices, spec.model.base),
            self._view.estimate.said: "" if errors else model_estimate.measured(self._services, self._t, spec),
        }

    def estimated(self, address: str, *values: Any) -> dict[Any, Any]:
        """Begin to measure how long a run would take."""
        try:
            _, spec = self.spec_of(address, *values)
            if asked_in_vain := vain(self._services, spec, model=True):
                return {self._view.problem: problems(self._t, asked_in_vain)}
            return {
                self._view.problem: "",
                self._view.estimate.said: "",
                self._view.estimate.progress: model_estimate.begin(self._services, spec),
            }
        except SpecError as error:
            return {self._view.problem: problems(self._t, self._complaints(address, error, *values)[1])}
        except StudioError as error:
            return {self._view.problem: problem(self._t, error)}

    def estimate_ended(self, shown: str, address: str, *values: Any) -> dict[Any, Any]:
        """What was measured."""
        try:
            _, spec = self.spec_of(address, *values)
            return model_estimate.ended(self._services, self._t, self._view.estimate, spec, shown)
        except (SpecError, DatasetMissing, ModelNotNamed):  # nobody has clicked: the page says it already
            return {self._view.estimate.progress: ""}

    def counted(self, address: str, *values: Any) -> Iterator[str]:
        """How many tokens the texts have, as far as it is known, and then exactly."""
        try:
            _, spec = self.spec_of(address, *values)
        except (SpecError, DatasetMissing, ModelNotNamed):
            yield ""
        else:
            yield from model_tokens.token_lines(self._services, self._t, spec)

    def started(self, request: str, address: str, *values: Any) -> dict[Any, Any]:
        """Start the run; leads to it."""
        try:
            opened, spec = self.spec_of(address, *values)
            check_label_names(self._services, spec.choices)
            if asked_in_vain := vain(self._services, spec, model=True):
                return {self._view.problem: problems(self._t, asked_in_vain), self._view.estimate.said: ""}
            # What is clicked after this answer is another wish; what was clicked before it is the same one.
            fresh = {self._view.problem: "", self._view.request: secrets.token_hex(16)}
            led = start_run(self._services, spec, request)
            keep(self._services, opened, spec.replaced(name=""))
            return {self._site.router: led, **fresh}
        except SpecError as error:
            return {
                self._view.problem: problems(self._t, self._complaints(address, error, *values)[1]),
                self._view.estimate.said: "",
            }
        except StudioError as error:
            return {self._view.problem: problem(self._t, error), self._view.estimate.said: ""}
