"""The address of a page says what is open: which run or table, and which step. Nothing else remembers it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode

from backend.data.choices import load_choices
from backend.data.datasets import load_profile
from backend.data.drafts import load_draft
from backend.errors import StudioError
from backend.jobs.directory import JobDirectory
from backend.jobs.summaries import read_report
from backend.specs import Choices, RunSpec
from studio.services import Services

STEPS = ("data", "model", "train", "results", "try", "share", "runs")


@dataclass(frozen=True)
class Address:
    """The query of the URL: ``?run=…&data=…&import=…&step=…``."""

    run: str = ""
    data: str = ""
    importing: str = ""
    step: str = "data"

    @classmethod
    def parse(cls, query: str) -> Address:
        """The address a query string names; what it does not know is left out."""
        values = {name: found[0][:80] for name, found in parse_qs(query.lstrip("?")[:2000]).items()}
        step = values.get("step", "data")
        return cls(
            values.get("run", ""), values.get("data", ""), values.get("import", ""), step if step in STEPS else "data"
        )

    @classmethod
    def of_router(cls, value: str | None) -> Address:
        """The address in the hidden router component: ``{"address": query}``, or the bare query."""
        text = value or ""
        if text.startswith("{"):
            document = json.loads(text)
            text = str(document.get("address", document.get("go", "")))
        return cls.parse(text)

    @property
    def query(self) -> str:
        """The address as a query string."""
        named = {"run": self.run, "data": self.data, "import": self.importing, "step": self.step}
        return "?" + urlencode({name: value for name, value in named.items() if value})


@dataclass(frozen=True)
class Opened:
    """What an address opened: a run with its spec, a table with its choices and its next run's spec, or neither."""

    address: Address
    run: JobDirectory | None = None
    spec: RunSpec | None = None
    report: dict[str, Any] | None = None
    profile: dict[str, Any] | None = None
    choices: Choices | None = None
    problem: StudioError | None = None

    @property
    def dataset(self) -> str:
        """The open table's id; empty if none is open."""
        return self.profile["dataset"] if self.profile else ""


def open_address(services: Services, address: Address) -> Opened:
    """Look up what the address names. What is not there becomes `Opened.problem`, never an exception."""
    try:
        if address.run:
            return _open_run(services, address)
        if address.data:
            profile = load_profile(services.home, address.data)
            draft, choices = load_draft(services.home, address.data), load_choices(services.home, profile)
            return Opened(address, spec=draft, profile=profile, choices=choices)
    except StudioError as error:
        return Opened(address, problem=error)
    return Opened(address)


def _open_run(services: Services, address: Address) -> Opened:
    run = services.store.get(address.run)
    spec = RunSpec(**run.spec)
    profile, problem = None, None
    try:
        profile = load_profile(services.home, spec.data.dataset)
    except StudioError as error:
        problem = error  # the run stays readable without its table
    return Opened(address, run, spec, read_report(run), profile, spec.choices if profile else None, problem)


def goto(**named: str) -> str:
    """The router's value that leads to an address: ``goto(run=…, step="train")``."""
    return json.dumps({"go": Address(**named).query})
