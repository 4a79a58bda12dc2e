"""Starting an upload and finding the uploads of a run. Light: screens import it; the Hub is spoken to elsewhere."""

from __future__ import annotations

import re
from typing import Literal, get_args

from backend.errors import LicenceInvalid, RepositoryNameInvalid, TokenMissing
from backend.jobs.directory import JobDirectory, is_job_id
from backend.jobs.launch import launch
from backend.settings import Home
from backend.sharing.package import model_folder
from backend.sharing.tokens import TOKEN_VARIABLE

Target = Literal["model", "space"]
TARGETS: tuple[Target, ...] = get_args(Target)

PUBLISHER_MODULE = "backend.sharing.publisher"
KIND = "publish"
LICENCE_UNCHOSEN = "other"

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REPOSITORY = re.compile(rf"(?:{_PART}/)?{_PART}")
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,49}")


def start_publish(
    home: Home,
    run: JobDirectory,
    *,
    target: Target,
    repository: str,
    token: str | None,
    private: bool = True,
    licence: str = LICENCE_UNCHOSEN,
    replace: bool = False,
) -> JobDirectory:
    """Start uploading a finished run as a model or as a Space, in a process of its own.

    ``repository`` is ``name`` (of the token's owner) or ``owner/name``; ``licence`` one of the Hub's licence ids.
    ``replace`` lets the upload take the place of what a repository of that name holds. The token goes to the process
    by its environment; it is in no file.

    Raises:
        RunNotFinished: the run has no model.
        TokenMissing: there is nothing to sign in with.
        RepositoryNameInvalid, LicenceInvalid: the Hub would not take these.
    """
    model_folder(run)
    if not (token or "").strip():
        raise TokenMissing
    check_repository(repository)
    if not _LICENCE.fullmatch(licence):
        raise LicenceInvalid(licence=licence[:80])
    spec = {
        "target": target,
        "run": run.id,
        "repository": repository,
        "private": private,
        "licence": licence,
        "replace": replace,
    }
    job = JobDirectory.create(home.jobs, kind=KIND, module=PUBLISHER_MODULE, spec=spec)
    launch(job, environ={TOKEN_VARIABLE: str(token).strip()})
    return job


def check_repository(repository: str) -> None:
    """Raise `RepositoryNameInvalid` for a name that the Hub would not take.

    Source: the rules in ``huggingface_hub.utils.validate_repo_id``.
    """
    allowed = _REPOSITORY.fullmatch(repository) and len(repository) <= 96
    if not allowed or "--" in repository or ".." in repository or repository.endswith((".git", ".ipynb")):
        raise RepositoryNameInvalid(name=repository[:120])


def publications(home: Home, run: JobDirectory) -> list[JobDirectory]:
    """The uploads of this run, the latest first: living, done and failed."""
    folders = sorted((path for path in home.jobs.iterdir() if is_job_id(path.name)), reverse=True)
    jobs = [JobDirectory(path) for path in folders if (path / "job.json").exists()]
    return [job for job in jobs if job.description["kind"] == KIND and job.spec["run"] == run.id]
