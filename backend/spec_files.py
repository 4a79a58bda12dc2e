"""A run's spec as a YAML file: read, and written."""

from __future__ import annotations

from typing import Any

import yaml
from yaml.constructor import ConstructorError

from backend.errors import SpecUnreadable
from backend.specs import RunSpec, build_spec
from backend.steps import step_text


class _NamesOnce(yaml.SafeLoader):
    """Refuses a name that stands twice in a mapping, of which YAML would take the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        known = set[str]()
        for name, _ in node.value:
            if name.value in known:
                raise ConstructorError("in a mapping", node.start_mark, f"“{name.value}” stands twice", name.start_mark)
            known.add(name.value)
        return super().construct_mapping(node, deep)


def spec_from_yaml(text: str, file: str) -> RunSpec:
    """A checked spec from the text of a YAML file called ``file`` (for the error).

    Raises:
        SpecUnreadable: it is no YAML, names a setting twice, or is no mapping.
        SpecError: values that do not hold.
    """
    try:
        document = yaml.load(text, _NamesOnce)
    except yaml.YAMLError as error:
        raise SpecUnreadable(file=file, detail=str(error)[:500]) from error
    if not isinstance(document, dict):
        raise SpecUnreadable(file=file, detail="no_sections")
    return build_spec(document)


def spec_to_yaml(spec: RunSpec) -> str:
    """The spec as YAML, without what stands at its default."""
    document = spec.model_dump(exclude_defaults=True)
    document.get("data", {}).pop("dataset", None)
    if spec.prepare.steps:  # the kind of a step is a default of its class, and left out above
        document["prepare"] = {"steps": [step_text(step) for step in spec.prepare.steps]}
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
