"""The one description of a run. The form, the command line, the YAML file and the documentation come from it.

Every setting exists once, here: its type, default, range and command-line flag. Its name and its help in each
language are in ``assets/locales`` under ``setting.<section>.<name>``. A spec is frozen; making one checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import ValidationError, field_validator
from pydantic.fields import FieldInfo

from backend.errors import SpecError
from backend.schema import Section, setting
from backend.steps import MapLabels, Step, step_document
from backend.training_specs import AdaptingSpec, SpeedSpec, TrainingSpec

STARTER = "starter"
"""The base model that needs no download: a small BERT made from the training texts."""

Task = Literal["auto", "binary", "multiclass", "multilabel"]
Header = Literal["auto", "yes", "no"]
Balance = Literal["none", "oversample", "undersample"]
SplitMethod = Literal["auto", "stratified", "group", "given", "time"]
Overlap = Literal["keep", "drop"]
Device = Literal["auto", "cpu"]


class ReadingSpec(Section):
    """How the files are read, where what is found of itself is not right. Empty and ``auto`` mean: as found."""

    encoding: str = setting("", flag="--encoding", advanced=True, max_length=40)
    delimiter: str = setting("", flag="--delimiter", advanced=True, max_length=3)
    """One character, or ``tab``."""
    header: Header = setting("auto", flag="--header", advanced=True)
    sheet: str = setting("", flag="--sheet", advanced=True, max_length=200)


class DataSpec(Section):
    """Which table, and what its columns are."""

    source: str = setting("", flag="--data")
    """A file, or ``hub:owner/name`` for a data set of the Hub."""
    validation_source: str = setting("", flag="--validation-data", advanced=True)
    test_source: str = setting("", flag="--test-data", advanced=True)
    configuration: str = setting("", flag="--data-config", advanced=True, max_length=200)
    revision: str = setting("", flag="--data-revision", advanced=True, max_length=200)
    splits: tuple[str, ...] = setting((), flag="--data-splits", advanced=True)
    """Of a data set of the Hub; empty: its training, validation and test split."""
    dataset: str = ""
    """The imported table's id, made from the file's content: set by the import, not by people."""
    text_column: str = setting("", flag="--text")
    template: str = setting("", flag="--template", max_length=2000)
    """The text composed of columns, each in braces: ``{title}. {synopsis}``; empty: the text column alone."""
    label_column: str = setting("", flag="--label")
    label_columns: tuple[str, ...] = setting((), flag="--label-columns")
    """Columns of 0 and 1, one a label, instead of a label column."""
    label_names: dict[str, str] = setting({}, flag="--label-names")
    task: Task = setting("auto", flag="--task")
    label_separator: str = setting("", flag="--label-separator", max_length=3)

    @field_validator("label_names", mode="before")
    @classmethod
    def _names_are_texts(cls, names: Any) -> Any:
        # YAML reads `0: negative` with a number as the key; a label is always text here.
        return {str(k): str(v) for k, v in names.items()} if isinstance(names, Mapping) else names


class PrepareSpec(Section):
    """What is done to the rows before they are divided, in this order."""

    steps: tuple[Step, ...] = setting((), flag="--step")

    @field_validator("steps", mode="before")
    @classmethod
    def _steps_may_be_written_short(cls, steps: Any) -> Any:
        return [step_document(step) for step in steps] if isinstance(steps, (list, tuple)) else steps


class SampleSpec(Section):
    """How many of the rows are used. Balancing changes the training part only."""

    rows: int = setting(0, flag="--sample-rows", ge=0)
    """0: all."""
    share: float = setting(1.0, flag="--sample-share", gt=0, le=1)
    cap: int = setting(0, flag="--label-cap", advanced=True, ge=0)
    """Most rows of one label; 0: no limit."""
    balance: Balance = setting("none", flag="--balance", advanced=True)


class SplitSpec(Section):
    """How the rows are divided. The test part is only looked at when training is over."""

    method: SplitMethod = setting("auto", flag="--split")
    """``auto``: by the parts that the data has, else stratified."""
    column: str = setting("", flag="--split-column")
    """The column that ``group``, ``given`` or ``time`` goes by."""
    test_share: float = setting(0.1, flag="--test-share", ge=0.01, le=0.5)
    validation_share: float = setting(0.1, flag="--validation-share", ge=0.01, le=0.5)
    folds: int = setting(0, flag="--folds", advanced=True, ge=0, le=20)
    """With 2 or more the test part is one of so many folds, and `test_share` has no say."""
    fold: int = setting(1, flag="--fold", advanced=True, ge=1, le=20)
    overlap: Overlap = setting("keep", flag="--overlap")
    """Rows of training whose text stands in validation or test too, and rows of validation whose text stands in test.
    A split that is drawn by labels has none."""
    seed: int = setting(42, flag="--seed", ge=0, le=2**31 - 1)


class Choices(Section):
    """All that is chosen for a table: everything of a run that does not depend on its model."""

    reading: ReadingSpec = ReadingSpec()
    data: DataSpec = DataSpec()
    prepare: PrepareSpec = PrepareSpec()
    sample: SampleSpec = SampleSpec()
    split: SplitSpec = SplitSpec()

    def replaced(self, values: Mapping[str, Any]) -> Self:
        """A checked copy with other values by path: ``{"split.method": "group"}``. Raises pydantic's errors."""
        document = self.model_dump()
        for path, value in values.items():
            section, _, name = path.partition(".")
            document[section][name] = value
        return type(self)(**document)


class ModelSpec(Section):
    """What is fine-tuned."""

    base: str = setting(STARTER, flag="--model", max_length=4096)
    revision: str = setting("", flag="--revision", advanced=True, max_length=200)


class ComputeSpec(Section):
    """Where it is computed: by the card or the processor, by how many processes, on how many machines."""

    device: Device = setting("auto", flag="--device", advanced=True)
    """``auto``: the graphics card where there is one."""
    processes: int = setting(1, flag="--processes", advanced=True, ge=1, le=64)
    """On this machine; they divide each batch among them."""
    machines: int = setting(1, flag="--machines", advanced=True, ge=1, le=1024)
    machine: int = setting(0, flag="--machine", advanced=True, ge=0, le=1023)
    """Which of the machines this one is, from 0."""
    rendezvous: str = setting("", flag="--rendezvous", advanced=True, max_length=260)
    """``host:port`` of machine 0, where all of them meet."""
    fsdp: bool = setting(False, flag="--fsdp", advanced=True)
    """Weights, gradients and moments lie in shards over the processes, for a model that no card has room for."""

    @property
    def together(self) -> int:
        """Processes of all machines."""
        return self.processes * self.machines


class RunSpec(Section):
    """Everything that is asked of one training run."""

    version: Literal[1] = 1
    name: str = setting("", flag="--name", max_length=120)
    reading: ReadingSpec = ReadingSpec()
    data: DataSpec = DataSpec()
    prepare: PrepareSpec = PrepareSpec()
    sample: SampleSpec = SampleSpec()
    split: SplitSpec = SplitSpec()
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()
    speed: SpeedSpec = SpeedSpec()
    adapting: AdaptingSpec = AdaptingSpec()
    compute: ComputeSpec = ComputeSpec()

    @property
    def choices(self) -> Choices:
        """The part of the spec that says what is learned from."""
        return Choices(**{name: getattr(self, name) for name in Choices.model_fields})

    def with_choices(self, choices: Choices) -> Self:
        """A copy that learns from other data."""
        return self.model_copy(update=dict(choices))

    def replaced(self, **values: Any) -> Self:
        """A checked copy with other values, given by path with ``__``: ``replaced(data__dataset="ab12")``."""
        document = self.model_dump()
        for path, value in values.items():
            *sections, name = path.split("__")
            target = document
            for section in sections:
                target = target[section]
            target[name] = value
        return type(self)(**document)


Kind = Literal["text", "integer", "number", "choice", "mapping", "list", "switch"]


@dataclass(frozen=True)
class Setting:
    """One entry of the schema, as form, command line and documentation see it."""

    path: str
    """Section and name: ``training.epochs``."""
    flag: str
    kind: Kind
    default: Any
    optional: bool
    """None is allowed and means: decided by the model's recipe."""
    advanced: bool
    choices: tuple[str, ...] = ()
    least: float | None = None
    least_is_exclusive: bool = False
    most: float | None = None
    most_is_exclusive: bool = False

    @property
    def section(self) -> str:
        """The part of the form it stands in; empty for the run itself."""
        return self.path.rpartition(".")[0]

    @property
    def parameter(self) -> str:
        """The path as a Python name: ``training__epochs``."""
        return self.path.replace(".", "__")


@cache
def settings() -> tuple[Setting, ...]:
    """All settings of the schema in order, depth first."""
    return tuple(_settings_of(RunSpec))


def _settings_of(section: type[Section], prefix: str = "") -> Iterator[Setting]:
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _settings_of(field.annotation, f"{path}.")
        elif isinstance(field.json_schema_extra, dict):
            yield _setting(path, field)


def _setting(path: str, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    annotation, arguments = field.annotation, get_args(field.annotation)
    optional = type(None) in arguments
    bare = next(a for a in arguments if a is not type(None)) if optional else annotation
    choices = get_args(bare) if get_origin(bare) is Literal else ()
    kinds: dict[Any, Kind] = {
        bool: "switch",
        int: "integer",
        float: "number",
        str: "text",
        dict: "mapping",
        tuple: "list",
    }
    kind: Kind = "choice" if choices else kinds[get_origin(bare) or bare]
    bounds = {
        name: getattr(rule, name) for rule in field.metadata for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)
    }
    return Setting(
        path=path,
        flag=str(extra["flag"]),
        kind=kind,
        default=field.get_default(call_default_factory=True),
        optional=optional,
        advanced=bool(extra["advanced"]),
        choices=choices,
        least=bounds.get("ge", bounds.get("gt")),
        least_is_exclusive="gt" in bounds,
        most=bounds.get("le", bounds.get("lt")),
        most_is_exclusive="lt" in bounds,
    )


def build_spec(document: Mapping[str, Any]) -> RunSpec:
    """A checked spec from plain values.

    Raises:
        SpecError: values that do not hold, every one of them with its rule.
    """
    if problems := _of_wrong_kinds(document):
        raise SpecError(problems=problems)
    try:
        spec = RunSpec(**document)
    except ValidationError as error:
        raise SpecError(problems=broken_rules(error)) from error
    if problems := conflicts(spec) + blank_labels(spec.prepare):
        raise SpecError(problems=problems)
    return spec


def _of_wrong_kinds(document: Mapping[Any, Any]) -> list[dict[str, str]]:
    """What pydantic would not say, or would take for something else: names that are no text, yes and no as numbers."""
    unnamed = [name for name in document if not isinstance(name, str)]
    problems = [{"setting": str(name), "given": repr(document[name])[:80], "rule": "unknown"} for name in unnamed]
    for known in settings():
        section, name = known.path.partition(".")[::2]
        given = document.get(section)
        value = given.get(name) if isinstance(given, Mapping) else None
        if known.kind in ("integer", "number") and isinstance(value, bool):
            problems.append({"setting": known.path, "given": repr(value), "rule": known.kind})
    return problems


def blank_labels(prepare: PrepareSpec) -> list[dict[str, str]]:
    """Labels that steps would replace by nothing, as the problems of a `SpecError`."""
    return [
        {"setting": f"prepare.steps.{place}.map_labels.mapping.{label}", "given": repr(new), "rule": "blank"}
        for place, step in enumerate(prepare.steps)
        if isinstance(step, MapLabels)
        for label, new in step.mapping.items()
        if not new
    ]


def conflicts(spec: RunSpec) -> list[dict[str, str]]:
    """Settings that do not go together, as the problems of a `SpecError`; their rules are codes ``conflict.…``."""
    training, speed, adapting, compute = spec.training, spec.speed, spec.adapting, spec.compute
    whole, lora = adapting.freeze == "none", adapting.adapter == "lora"
    starter = spec.model.base == STARTER
    excluded = [
        ("adapting.freeze", starter and not whole, "starter_is_new"),
        ("adapting.adapter", starter and lora, "starter_is_new"),
        ("adapting.quantisation", adapting.quantisation != "none" and not lora, "quantised_needs_lora"),
        ("adapting.freeze", lora and not whole, "lora_freezes"),
        ("training.layer_decay", lora and training.layer_decay < 1, "lora_has_no_layers"),
        ("speed.batching", speed.batching == "token_budget" and speed.padding == "longest", "budget_needs_dynamic"),
        ("speed.batching", speed.batching == "length_split" and speed.padding == "longest", "split_needs_dynamic"),
        ("compute.machine", compute.machine >= compute.machines, "no_such_machine"),
        ("compute.rendezvous", compute.machines > 1 and not _names_a_port(compute.rendezvous), "rendezvous_needed"),
        ("training.batch_size", bool((training.batch_size or 0) % compute.together), "batch_not_divided"),
        *_against_shards(spec),
        ("training.label_smoothing", training.loss == "focal" and training.label_smoothing > 0, "focal_or_smoothing"),
        (
            "training.metric",
            training.metric == "jaccard" and spec.data.task not in ("auto", "multilabel"),
            "multilabel",
        ),
    ]
    return [
        {"setting": path, "given": repr(value_at(spec, path)), "rule": f"conflict.{code}"}
        for path, excludes, code in excluded
        if excludes
    ]


def _against_shards(spec: RunSpec) -> list[tuple[str, bool, str]]:
    """What excludes a model in shards, each as path, whether it does, and code."""
    compute, sharded = spec.compute, spec.compute.fsdp
    kept = ("auto", "adamw", "adamw_fused", "sgd")
    return [
        ("compute.fsdp", sharded and compute.together == 1, "fsdp_needs_processes"),
        ("compute.fsdp", sharded and compute.machines > 1, "fsdp_one_machine"),
        ("compute.fsdp", sharded and spec.model.base == STARTER, "fsdp_for_large"),
        ("adapting.adapter", sharded and spec.adapting.adapter != "none", "fsdp_whole_weights"),
        ("training.optimizer", sharded and spec.training.optimizer not in kept, "fsdp_optimizer"),
        ("speed.compile", sharded and spec.speed.compile == "on", "fsdp_not_compiled"),
        ("speed.batching", sharded and spec.speed.batching == "length_split", "fsdp_same_batches"),
    ]


HAVE_EFFECT_WITH: dict[tuple[str, str], tuple[str, ...]] = {
    ("adapting.freeze", "lower"): ("adapting.trained_layers",),
    ("adapting.adapter", "lora"): (
        "adapting.lora_rank",
        "adapting.lora_alpha",
        "adapting.lora_dropout",
        "adapting.lora_targets",
    ),
    ("training.loss", "focal"): ("training.focal_gamma",),
}
"""Settings by the one other setting, and its value, without which they change nothing."""
NO_EFFECT_WITH: dict[tuple[str, str], tuple[str, ...]] = {
    ("training.scheduler", "constant"): ("training.warmup_steps",),
    ("model.base", STARTER): ("model.revision",),
}
"""Settings by the one other setting, and its value, with which they change nothing."""


def without_effect(spec: RunSpec) -> list[tuple[str, dict[str, str]]]:
    """What was asked for and changes nothing, as notes of a run: code and facts, in which settings are flags."""
    known, found = {setting.path: setting for setting in settings()}, []
    for code, fact, rules, with_it in (
        ("without_effect", "needed", HAVE_EFFECT_WITH, False),
        ("without_effect_with", "other", NO_EFFECT_WITH, True),
    ):
        for (path, value), paths in rules.items():
            asked = [known[each].flag for each in paths if value_at(spec, each) != known[each].default]
            if asked and (value_at(spec, path) == value) is with_it:
                found.append((code, {"settings": ", ".join(asked), fact: f"{known[path].flag} {value}"}))
    return found


def _names_a_port(place: str) -> bool:
    host, _, port = place.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 1 << 16


def value_at(spec: RunSpec, path: str) -> Any:
    """The value of the setting with this path."""
    value: Any = spec
    for name in path.split("."):
        value = getattr(value, name)
    return value


def broken_rules(error: ValidationError) -> list[dict[str, str]]:
    """The problems of a `SpecError`: each setting that does not hold, what was given, and its rule."""
    return [
        {"setting": ".".join(str(part) for part in e["loc"]), "given": repr(e.get("input"))[:80], "rule": e["msg"]}
        for e in error.errors()
    ]
