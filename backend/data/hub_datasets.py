"""A data set of the Hub as screens and command line see it: what it is, what it holds, and its import.

Its files are never read here: that is done by `backend.data.hub_importer` and `backend.data.hub_looker` in processes
of their own, which get the token by their environment. What the Hub itself tells comes within seconds or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from backend.data.files import part_of
from backend.data.hub_errors import default_endpoint, worded
from backend.deadline import answer_in_time
from backend.errors import HubDatasetScript, HubDatasetUnknown
from backend.jobs.directory import JobDirectory
from backend.jobs.launch import launch
from backend.settings import Home
from backend.specs import DataSpec

SCHEME = "hub:"
TIMEOUT_S = 3.0
LOOK_LIMIT_S = 120.0
IMPORT_LIMIT_S = 3600.0
HANGING_S = 30.0
"""A job that does not hear its own limit, because a library has hung it up, is ended from outside after this."""
HUB_IMPORTER_MODULE = "backend.data.hub_importer"
HUB_LOOKER_MODULE = "backend.data.hub_looker"
_ID = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)
_PAGE = re.compile(r"https?://[^/]+/datasets/([\w.-]+(?:/[\w.-]+)?)(?:[/?#].*)?", re.ASCII)


@dataclass(frozen=True)
class HubSource:
    """Which rows of which data set: all that its import depends on."""

    repository: str
    configuration: str = ""
    """Empty: the data set's own default, or its only one."""
    revision: str = ""
    """A branch, a tag or a commit; empty: the newest commit."""
    splits: tuple[str, ...] = ()
    """Empty: `usual_splits`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a job's spec."""
        return {**asdict(self), "splits": list(self.splits)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> HubSource:
        """What `to_dict` described."""
        return cls(**{**document, "splits": tuple(document.get("splits", ()))})


@dataclass(frozen=True)
class HubDataset:
    """A data set's page on the Hub."""

    id: str
    sha: str
    """The commit that would be read."""
    gated: bool = False
    """Its owner wants to be asked first; with a token that may read it, that has been done."""
    private: bool = False
    licence: str = ""
    downloads: int = 0
    likes: int = 0


def is_hub_source(source: str) -> bool:
    """Whether a spec's source names a data set of the Hub, not a file."""
    return source.strip().startswith(SCHEME)


def hub_source_of(data: DataSpec) -> HubSource:
    """What a spec asks for of the Hub."""
    repository = repository_named(data.source.strip().removeprefix(SCHEME))
    return HubSource(repository, data.configuration, data.revision, data.splits)


def pinned(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What an imported table came from, as values for `backend.specs.RunSpec.replaced`: the very commit, so that the
    same spec gives the same rows later. Empty for a table that is not from the Hub."""
    if "hub" not in profile:
        return {}
    source = HubSource.from_dict(profile["hub"])
    return {
        "data__source": f"{SCHEME}{source.repository}",
        "data__configuration": source.configuration,
        "data__revision": source.revision,
        "data__splits": list(source.splits),
    }


def repository_named(text: str) -> str:
    """The data set's id in what a user typed or pasted: an id, or the address of its page.

    Raises:
        HubDatasetUnknown: it is neither.
    """
    text = text.strip().removeprefix(SCHEME)
    page = _PAGE.fullmatch(text)
    found = page[1] if page else text.removeprefix("datasets/")
    if not _ID.fullmatch(found):
        raise HubDatasetUnknown(dataset=text[:200])
    return found


def usual_splits(available: Sequence[str]) -> list[str]:
    """The splits that are read unless the user says otherwise: the first for each part of the data.

    Splits whose names tell no part (``unsupervised``) are left out where another one is for training; where none is,
    the first split alone is read.
    """
    first: dict[str, str] = {}
    for name in available:
        if part := part_of(name):
            first.setdefault(part, name)
    if "train" not in first:
        return list(available[:1])
    return [name for name in available if name in first.values()]


def parts_of(splits: Sequence[str]) -> dict[str, str]:
    """The part of the data that each of the splits is; empty where together they do not divide it.

    A split whose name tells no part goes to training, where others are named.
    """
    named = {name: part_of(name) for name in splits}
    if len(named) < 2 or "train" not in named.values() or not any(p not in ("", "train") for p in named.values()):
        return {}
    return {name: part or "train" for name, part in named.items()}


def look_up(
    repository: str,
    token: str | None = None,
    endpoint: str | None = None,
    revision: str = "",
    timeout_s: float = TIMEOUT_S,
) -> HubDataset:
    """Ask the Hub for a data set; answers within ``timeout_s``, whatever the network does.

    ``token`` None asks as nobody; ``endpoint`` None is ``HF_ENDPOINT`` or huggingface.co.

    Raises:
        HubDatasetUnknown: there is none of this name, or none that the token may see.
        HubRevisionUnknown: it has no such branch, tag or commit.
        HubDatasetGated: its owner must allow it first.
        HubDatasetScript: it is a program that makes the rows; programs of others are never run.
        TokenRejected: the Hub does not know the token.
        HubDataUnreachable: no answer in time.
    """
    repository = repository_named(repository)
    asked = endpoint or default_endpoint()
    try:
        return answer_in_time(lambda left: _ask(repository, token, asked, revision, left), timeout_s)
    except Exception as error:
        known = worded(error, repository, asked, revision)
        if known is None:
            raise
        raise known from error


def _ask(repository: str, token: str | None, endpoint: str, revision: str, timeout_s: float) -> HubDataset:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token or False)
    info = api.dataset_info(repository, revision=revision or None, timeout=timeout_s)
    if info.gated:
        api.auth_check(repository, repo_type="dataset")
    script = f"{repository.rpartition('/')[2]}.py"
    if any(file.rfilename == script for file in info.siblings or []):
        raise HubDatasetScript(dataset=repository, file=script)
    licences = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return HubDataset(
        id=info.id,
        sha=str(info.sha),
        gated=bool(info.gated),
        private=bool(info.private),
        licence=licences[0] if licences else "",
        downloads=info.downloads or 0,
        likes=info.likes or 0,
    )


def start_look(home: Home, source: HubSource, token: str | None = None) -> JobDirectory:
    """Start looking at the first rows of one split; the job's result is a `backend.data.hub_looker.Look`."""
    return _start(home, "look", HUB_LOOKER_MODULE, source, token, LOOK_LIMIT_S)


def start_hub_import(home: Home, source: HubSource, token: str | None = None) -> JobDirectory:
    """Start the import of a data set of the Hub; see `backend.data.datasets.dataset_of`."""
    return _start(home, "import", HUB_IMPORTER_MODULE, source, token, IMPORT_LIMIT_S)


def _start(
    home: Home, kind: str, module: str, source: HubSource, token: str | None, time_limit_s: float
) -> JobDirectory:
    spec = {"hub": source.to_dict(), "home": str(home.path), "time_limit_s": time_limit_s}
    job = JobDirectory.create(home.jobs, kind=kind, module=module, spec=spec, time_limit_s=time_limit_s + HANGING_S)
    # Plain downloads, of which each piece can be stopped; and no token but the one that is handed over here.
    environ = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": token or ""}
    launch(job, environ=environ)
    return job
