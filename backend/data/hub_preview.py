"""What a data set of the Hub holds, as the Hub's own viewer tells it: configurations, splits, columns, first rows.

No file is read for it. Not every Hub has a viewer, and not every data set is in it: then `backend.data.hub_looker`
looks at the files. Source: https://huggingface.co/docs/dataset-viewer (``/splits``, ``/first-rows``).
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from backend.data.cells import cell_text
from backend.data.hub_cells import class_names, decoded, holds_text, inner_type
from backend.data.hub_datasets import HubDataset
from backend.data.hub_errors import default_endpoint
from backend.deadline import answer_in_time

TIMEOUT_S = 3.0
ROWS_SHOWN = 6
CELL_CHARACTERS = 300
NAMES_SHOWN = 12


@dataclass(frozen=True)
class Look:
    """What one split of a data set looks like."""

    configurations: list[str]
    configuration: str
    splits: list[str]
    split: str
    columns: list[dict[str, str]] = field(default_factory=list)
    """``{"name", "type"}``; the type in the library's own short form."""
    rows: list[list[str | None]] = field(default_factory=list)


def viewer_endpoint(endpoint: str) -> str:
    """Where a Hub's viewer answers: ``datasets-server.`` before its name, as the ``datasets`` library has it; a Hub
    that has an address of numbers only is asked itself."""
    parts = urlsplit(endpoint)
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host != "localhost":
            return endpoint.replace("://", "://datasets-server.", 1)
    return endpoint


def ask_viewer(
    found: HubDataset,
    configuration: str = "",
    split: str = "",
    token: str | None = None,
    endpoint: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Look | None:
    """What the viewer tells of this very commit; None if it tells nothing within ``timeout_s``."""
    base = viewer_endpoint(endpoint or default_endpoint())
    try:
        return answer_in_time(lambda left: _ask(base, found, configuration, split, token, left), timeout_s)
    except Exception:  # noqa: BLE001 - whatever went wrong, the files themselves can still be looked at
        return None


def _ask(
    base: str, found: HubDataset, configuration: str, split: str, token: str | None, timeout_s: float
) -> Look | None:
    deadline = time.monotonic() + timeout_s
    told = _get(base, "splits", {"dataset": found.id}, found.sha, token, timeout_s)
    if told is None or told.get("pending") or told.get("failed"):
        return None
    splits: dict[str, list[str]] = {}
    for entry in told["splits"]:
        splits.setdefault(str(entry["config"]), []).append(str(entry["split"]))
    configuration = configuration or ("default" if "default" in splits else next(iter(splits), ""))
    if configuration not in splits:
        return None
    split = split if split in splits[configuration] else splits[configuration][0]
    asked = {"dataset": found.id, "config": configuration, "split": split}
    first = _get(base, "first-rows", asked, found.sha, token, deadline - time.monotonic())
    if first is None:
        return None
    types = {entry["name"]: entry["type"] for entry in first["features"] if holds_text(entry["type"])}
    shown = first_rows(types, [entry["row"] for entry in first["rows"]])
    return Look(list(splits), configuration, splits[configuration], split, **shown)


def _get(
    base: str, path: str, asked: Mapping[str, str], sha: str, token: str | None, timeout_s: float
) -> dict[str, Any] | None:
    from huggingface_hub import get_session

    url = f"{base}/{path}?{urlencode(asked)}"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = get_session().get(url, headers=headers, timeout=max(0.1, timeout_s))
    # What it tells of an older commit than the newest is not what would be imported.
    if answer.status_code != 200 or answer.headers.get("X-Revision") != sha:
        return None
    document = answer.json()
    return document if isinstance(document, dict) else None


def first_rows(types: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Columns and rows as they are shown: ``{"columns", "rows"}`` of a `Look`."""
    columns = [{"name": name, "type": _type_text(kind)} for name, kind in types.items()]
    cells = [[_cell(row.get(name), kind) for name, kind in types.items()] for row in rows[:ROWS_SHOWN]]
    return {"columns": columns, "rows": cells}


def _cell(value: Any, kind: Any) -> str | None:
    shown = cell_text(decoded(value, kind))
    return shown[:CELL_CHARACTERS] if shown else None


def _type_text(kind: Any) -> str:
    if names := class_names(kind):
        return ", ".join(names[:NAMES_SHOWN]) + (" …" if len(names) > NAMES_SHOWN else "")
    inner = inner_type(kind)
    if inner is not None:
        return f"[{_type_text(inner)}]"
    return str(kind.get("dtype") or kind.get("_type", "")).lower() if isinstance(kind, dict) else ""
