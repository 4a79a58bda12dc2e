"""The one description of a run. The form, the command line, the YAML file and the documentation come from it.

Every setting exists once, here: its type, default, range and command-line flag. Its name and its help in each
language are in ``assets/locales`` under ``setting.<section>.<name>``. A spec is frozen; making one checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from backend.errors import SpecError, SpecUnreadable

STARTER = "starter"
"""The base model that needs no download: a small BERT made from the training texts."""

Task = Literal["auto", "binary", "multiclass", "multilabel"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


def setting(default: Any, *, flag: str, advanced: bool = False, **rules: Any) -> Any:
    """A field of a spec that people can set: ``rules`` are pydantic's ``ge``, ``le``, ``gt``, ``max_length``."""
    return Field(default, json_schema_extra={"flag": flag, "advanced": advanced}, validate_default=False, **rules)


class Section(BaseModel):
    """Base of all specs: frozen, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataSpec(Section):
    """Which table, and what its columns are."""

    source: str = setting("", flag="--data")
    dataset: str = ""
    """The imported table's id, made from the file's content: set by the import, not by people."""
    text_column: str = setting("", flag="--text")
    label_column: str = setting("", flag="--label")
    label_names: dict[str, str] = setting({}, flag="--label-names")
    task: Task = setting("auto", flag="--task")
    label_separator: str = setting("", flag="--label-separator", max_length=3)

    @field_validator("label_names", mode="before")
    @classmethod
    def _names_are_texts(cls, names: Any) -> Any:
        # YAML reads `0: negative` with a number as the key; a label is always text here.
        return {str(k): str(v) for k, v in names.items()} if isinstance(names, Mapping) else names


class SplitSpec(Section):
    """How the rows are divided. The test part is only looked at when training is over."""

    test_share: float = setting(0.1, flag="--test-share", ge=0.01, le=0.5)
    validation_share: float = setting(0.1, flag="--validation-share", ge=0.01, le=0.5)
    seed: int = setting(42, flag="--seed", ge=0, le=2**31 - 1)


class ModelSpec(Section):
    """What is fine-tuned."""

    base: str = setting(STARTER, flag="--model", max_length=4096)
    revision: str = setting("", flag="--revision", advanced=True, max_length=200)


class TrainingSpec(Section):
    """How it is fine-tuned. None means: what the recipe of the chosen model says (`backend.recipes`)."""

    epochs: int | None = setting(None, flag="--epochs", ge=1, le=1000)
    batch_size: int | None = setting(None, flag="--batch-size", ge=1, le=4096)
    learning_rate: float | None = setting(None, flag="--learning-rate", gt=0, le=1)
    max_length: int | None = setting(None, flag="--max-length", ge=8, le=131072)
    warmup_share: float | None = setting(None, flag="--warmup-share", advanced=True, ge=0, lt=1)
    weight_decay: float | None = setting(None, flag="--weight-decay", advanced=True, ge=0, le=1)
    patience: int | None = setting(None, flag="--patience", advanced=True, ge=0, le=1000)
    precision: Precision = setting("auto", flag="--precision", advanced=True)


class RunSpec(Section):
    """Everything that is asked of one training run."""

    version: Literal[1] = 1
    name: str = setting("", flag="--name", max_length=120)
    data: DataSpec = DataSpec()
    split: SplitSpec = SplitSpec()
    model: ModelSpec = ModelSpec()
    training: TrainingSpec = TrainingSpec()

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


Kind = Literal["text", "integer", "number", "choice", "mapping"]


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


def settings(section: type[Section] = RunSpec, prefix: str = "") -> Iterator[Setting]:
    """All settings of the schema in order, depth first."""
    for name, field in section.model_fields.items():
        path = f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from settings(field.annotation, f"{path}.")
        elif isinstance(field.json_schema_extra, dict):
            yield _setting(path, field)


def _setting(path: str, field: FieldInfo) -> Setting:
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    annotation, arguments = field.annotation, get_args(field.annotation)
    optional = type(None) in arguments
    bare = next(a for a in arguments if a is not type(None)) if optional else annotation
    choices = get_args(bare) if get_origin(bare) is Literal else ()
    kinds: dict[Any, Kind] = {int: "integer", float: "number", str: "text"}
    kind: Kind = "choice" if choices else "mapping" if get_origin(bare) is dict else kinds[bare]
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
    try:
        return RunSpec(**document)
    except ValidationError as error:
        problems = [
            {"setting": ".".join(str(part) for part in e["loc"]), "given": repr(e.get("input"))[:80], "rule": e["msg"]}
            for e in error.errors()
        ]
        raise SpecError(problems=problems) from error


def spec_from_yaml(text: str, file: str) -> RunSpec:
    """A checked spec from the text of a YAML file called ``file`` (for the error).

    Raises:
        SpecUnreadable: it is no YAML, or no mapping.
        SpecError: values that do not hold.
    """
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecUnreadable(file=file, detail=str(error)[:500]) from error
    if not isinstance(document, dict):
        raise SpecUnreadable(file=file, detail="no mapping of sections")
    return build_spec(document)


def spec_to_yaml(spec: RunSpec) -> str:
    """The spec as YAML, without what stands at its default."""
    document = spec.model_dump(exclude_defaults=True)
    document.get("data", {}).pop("dataset", None)
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
