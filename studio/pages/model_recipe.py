"""Options that follow a recipe: what they become with another kind of model or optimizer, as far as nobody typed them.

What was typed may be what another recipe says, too. So the page remembers it, unseen, as a JSON object: the ``kind``
and the ``optimizer`` whose recipe the options show, and the ``typed`` values by path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from backend.recipes import recipe_changes, recipe_for, typed_values
from studio.pages.model_choice import any_of


def remembered(kind: str, optimizer: str, typed: Mapping[str, Any] | None = None) -> str:
    """What the page remembers; so far nothing was typed but what differs from this recipe."""
    return json.dumps({"kind": kind, "optimizer": optimizer, "typed": dict(typed or {})})


def followed(kind: str, optimizer: str, shown: Mapping[str, Any], before: str) -> tuple[dict[str, Any], str]:
    """What changes when these are chosen, by path, and what the page remembers from then on.

    Args:
        shown: the values of the options, by path.
        before: what the page remembers.
    """
    known = json.loads(before)
    typed = typed_values(recipe_for(any_of(known["kind"]).base, known["optimizer"]), shown, known["typed"])
    return recipe_changes(recipe_for(any_of(kind).base, optimizer), shown, typed), remembered(kind, optimizer, typed)
