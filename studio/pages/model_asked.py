"""What the pages ask for: as a spec, as a command, kept as a draft, and started as a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from backend.asked import check_metric, check_trackers, check_weighted
from backend.data.choices import labels_of, refusal_of
from backend.data.datasets import load_report
from backend.data.drafts import save_draft
from backend.data.template import check_apart
from backend.errors import DatasetMissing, SpecError, StudioError
from backend.machine import check_processes
from backend.models.folder import check_base, names_a_folder
from backend.models.hub import look_up
from backend.recipes import open_where_recipe
from backend.schema import Section
from backend.specs import STARTER, ModelSpec, RunSpec, build_spec, settings, value_at
from backend.steps import step_text
from studio.address import Opened, goto
from studio.form import form_document, pairs_text
from studio.pages.data import chosen
from studio.pages.data_preparing import with_fields
from studio.pages.model_choice import HUB_TIMEOUT_S, chosen_model
from studio.services import Services


def build_run_spec(opened: Opened, *fields: Any) -> RunSpec:
    """The spec that everything on the pages asks for.

    Args:
        fields: the values of the data page's fields, of its table's, and of those that name the model, each together;
            the run's name; and the values of the form.

    Raises:
        DatasetMissing: no table is open.
        SpecError: settings that do not hold, all of them.
        ModelNotNamed: no model was named.
    """
    return build_spec(_document(opened, *fields))


def build_holding_spec(error: SpecError, opened: Opened, *fields: Any) -> RunSpec | None:
    """The spec with what does not hold of it left as it was; None if nothing holds then either.

    Args:
        fields: as `build_run_spec` takes them, and found not to hold.
    """
    document, before = _document(opened, *fields), (opened.spec or RunSpec()).model_dump()
    for found in error.problems:
        section, _, name = found["setting"].partition(".")
        name = name.partition(".")[0]  # of a mapping or a list the whole
        if name not in before.get(section, ()):
            return None
        document[section][name] = before[section][name]
    try:
        return build_spec(document)
    except SpecError:
        return None


def _document(
    opened: Opened,
    data_fields: Sequence[Any],
    table_fields: Sequence[Any],
    model_fields: Sequence[Any],
    name: str,
    form: Sequence[Any],
) -> dict[str, Any]:
    if opened.profile is None:
        raise DatasetMissing(dataset="")
    model = model_asked(opened, *model_fields)
    choices = with_fields(chosen(opened, *data_fields), table_fields)
    return {"name": (name or "").strip(), **choices.model_dump(), "model": model.model_dump(), **form_document(form)}


def model_asked(opened: Opened, *fields: Any) -> ModelSpec:
    """The model that the fields name: at the revision of the run or draft that is open, if it is that one's model.

    Raises:
        ModelNotNamed: no model was named.
    """
    named, known = chosen_model(*fields), (opened.spec or RunSpec()).model
    return known if named.base == known.base else named


def start_run(services: Services, spec: RunSpec, request: str) -> str:
    """Start the run in a process of its own, or find the one that this request has started; leads to it.

    Raises:
        DataError: the report on the chosen columns says that training on them cannot begin.
        SameColumn: one column is text and label.
        LabelWeightsUnknown, LabelWeightsZero: a weight is for a label that there is not, or all of them are 0.
        SpecError: what the best model is to be best in is not measured of such labels.
        TooManyProcesses, TrackerUnknown, TrackerMissing: this machine does not have what it asks for.
        ModelError: the model's folder holds no model, or the Hub does not have it or cannot be reached.
    """
    check_apart(spec.data)
    report = load_report(services.home, spec.choices)
    if report and (refusal := refusal_of(report, spec.data.label_names)):
        raise refusal
    if asked_in_vain := vain(services, spec, model=True):
        raise asked_in_vain[0]
    if spec.model.base != STARTER and not names_a_folder(spec.model.base):
        revision = spec.model.revision or None
        look_up(spec.model.base, token=services.hub_token, timeout_s=HUB_TIMEOUT_S, revision=revision)
    # The same click with other settings, after what was wrong with them was mended, is another request.
    run = services.store.start_new(spec, f"{request} {spec.model_dump_json()}", environ=services.secrets)
    return goto(run=run.id, step="train")


def vain(services: Services, spec: RunSpec, *, but: Sequence[str] = (), model: bool = False) -> list[StudioError]:
    """What the options ask for that neither this machine nor, as far as its labels are known, the table has.

    Args:
        but: paths of settings that are not looked at, or of entries in them.
        model: whether the model's folder is looked at, too, where it has one.
    """
    checks = [("compute.processes", partial(check_processes, spec.compute))]
    checks += [("training.trackers", partial(check_trackers, [name])) for name in spec.training.trackers]
    report = load_report(services.home, spec.choices) if spec.data.dataset else None
    if report and refusal_of(report, spec.data.label_names) is None:
        labels = labels_of(report, spec.data.label_names)
        checks.append(("training.label_weights", partial(check_weighted, spec.training.label_weights, labels)))
        checks.append(("training.metric", partial(check_metric, spec, report["task"])))
    if model:
        checks.append(("model.base", partial(check_base, spec.model.base)))
    looked_at = [check for path, check in checks if not any(left.startswith(path) for left in but)]
    return [error for check in looked_at if (error := _refusal(check))]


def _refusal(check: Callable[[], None]) -> StudioError | None:
    try:
        check()
    except StudioError as error:
        return error
    return None


def keep(services: Services, opened: Opened, spec: RunSpec) -> None:
    """Keep what is asked for as the draft of the table's next run, which its page shows after a reload, too.

    What is changed on a run's page becomes the draft as well; the run's own settings are history and stay.
    """
    save_draft(services.home, opened.dataset, open_where_recipe(spec))


def keep_options(services: Services, opened: Opened, *fields: Any) -> None:
    """Keep the options alone, beside the model of the draft: the one that they are for is not named yet.

    What they show as its recipe has it is left open, as far as they hold.
    """
    try:
        asked: RunSpec | None = build_run_spec(opened, *fields)
    except SpecError as error:
        asked = build_holding_spec(error, opened, *fields)
    if asked:
        model = (opened.spec or RunSpec()).model
        keep(services, opened, open_where_recipe(asked).model_copy(update={"model": model}))


def command_of(spec: RunSpec) -> str:
    """The command that does the same as a click on Train: flags only for what differs from the defaults."""
    parts = ["python", "-m", "studio", "train", spec.data.source or "DATA.csv"]
    for setting in settings():
        if setting.path == "data.source":
            continue
        value = value_at(spec, setting.path)
        if value == setting.default or value in ("", {}, (), None):
            continue
        if setting.kind == "list":
            for entry in value:
                parts += [setting.flag, step_text(entry) if isinstance(entry, Section) else str(entry)]
            continue
        if setting.kind == "switch":
            parts.append(setting.flag if value else f"--no-{setting.flag.removeprefix('--')}")
            continue
        shown = pairs_text(value) if setting.kind == "mapping" else str(value)
        parts += [setting.flag, shown]
    return shlex.join(parts)
