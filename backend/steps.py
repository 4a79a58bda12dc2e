"""The steps that make a table ready to learn from: an ordered list in a run's spec, each to be switched off and on.

A step is written as its kind and its settings: ``drop_duplicates:by=near,threshold=0.9``. What each of them does to
a table is in `backend.data.preparing`.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field

from backend.schema import Section


class DropBlank(Section):
    """Leave out rows without a text or without a label."""

    kind: Literal["drop_blank"] = "drop_blank"
    on: bool = True


class NormaliseText(Section):
    """Unicode NFKC (full-width letters become plain ones), and white space to single spaces."""

    kind: Literal["normalise_text"] = "normalise_text"
    on: bool = True


class StripHtml(Section):
    """Take HTML tags out of the texts and turn entities into their characters."""

    kind: Literal["strip_html"] = "strip_html"
    on: bool = True


class MaskContacts(Section):
    """Put ``[URL]``, ``[EMAIL]`` and ``[PHONE]`` for web addresses, e-mail addresses and phone numbers."""

    kind: Literal["mask_contacts"] = "mask_contacts"
    on: bool = True


class MergeLabelVariants(Section):
    """One label for spellings that differ in case, width, white space, or ``1`` and ``1.0``: the most frequent one."""

    kind: Literal["merge_label_variants"] = "merge_label_variants"
    on: bool = True


class MapLabels(Section):
    """Replace labels by others; several that become one are merged."""

    kind: Literal["map_labels"] = "map_labels"
    on: bool = True
    mapping: dict[str, str]


class DropLabels(Section):
    """Leave out the rows of these labels; of a text with several labels, only those labels."""

    kind: Literal["drop_labels"] = "drop_labels"
    on: bool = True
    labels: tuple[str, ...]


class MinimumRows(Section):
    """Labels with fewer rows than this are dropped, or merged into one."""

    kind: Literal["minimum_rows"] = "minimum_rows"
    on: bool = True
    rows: int = Field(3, ge=1)
    action: Literal["drop", "merge"] = "drop"
    into: str = Field("other", min_length=1, max_length=60)


class ResolveConflicts(Section):
    """Of equal texts with different labels leave out all, or all that do not have the majority's label."""

    kind: Literal["resolve_conflicts"] = "resolve_conflicts"
    on: bool = True
    by: Literal["drop", "majority"] = "drop"


class DropDuplicates(Section):
    """Keep the first of texts that are equal, nearly equal in their character n-grams, or equal in meaning."""

    kind: Literal["drop_duplicates"] = "drop_duplicates"
    on: bool = True
    by: Literal["exact", "near", "semantic"] = "exact"
    threshold: float = Field(0.9, gt=0, le=1)
    """Jaccard similarity for ``near``, cosine for ``semantic``; without meaning for ``exact``."""
    encoder: str = Field("", max_length=4096)
    """Model folder or Hub id whose mean token embeddings are compared, for ``semantic``."""


Step = Annotated[
    DropBlank
    | NormaliseText
    | StripHtml
    | MaskContacts
    | MergeLabelVariants
    | MapLabels
    | DropLabels
    | MinimumRows
    | ResolveConflicts
    | DropDuplicates,
    Field(discriminator="kind"),
]
STEP_KINDS: tuple[type[Section], ...] = (
    DropBlank,
    NormaliseText,
    StripHtml,
    MaskContacts,
    MergeLabelVariants,
    MapLabels,
    DropLabels,
    MinimumRows,
    ResolveConflicts,
    DropDuplicates,
)


def step_document(written: Any) -> Any:
    """A step as plain values from how people write it, unchecked: ``minimum_rows:rows=5`` or a JSON object."""
    if not isinstance(written, str):
        return written
    if written.lstrip().startswith("{"):
        try:
            return json.loads(written)
        except ValueError:
            return written
    kind, _, rest = written.partition(":")
    document: dict[str, Any] = {"kind": kind.strip()}
    if document["kind"] == "map_labels":
        return document | {"mapping": dict(_pair(_with_sign(part)) for part in rest.split(",") if part.strip())}
    if document["kind"] == "drop_labels":
        return document | {"labels": [part.strip() for part in rest.split(",") if part.strip()]}
    return document | dict(_pair(part) for part in rest.split(",") if part.strip())


def step_text(step: Section) -> str:
    """The short way to write a step that `step_document` reads; JSON where a value holds a mark of that way."""
    values = step.model_dump(mode="json", exclude_defaults=True)
    kind: str = step.model_dump()["kind"]
    if isinstance(step, DropLabels) and step.on and not any("," in label for label in step.labels):
        return f"{kind}:{','.join(step.labels)}"
    short = dict(step.mapping) if isinstance(step, MapLabels) and step.on else values
    if any(not isinstance(value, (str, int, float)) for value in short.values()) or any(
        set(",=") & set(f"{text}") or f"{text}" != f"{text}".strip() for pair in short.items() for text in pair
    ):
        return json.dumps({"kind": kind, **values}, ensure_ascii=False)
    return kind + (":" + ",".join(f"{name}={value}" for name, value in short.items()) if short else "")


def _with_sign(part: str) -> str:
    """A pair as people may write it, ``old -> new``, with the sign that is read."""
    for arrow in ("＝", "->", "→"):
        if "=" not in part:
            part = part.replace(arrow, "=", 1)
    return part


def _pair(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    return name.strip(), value.strip()
