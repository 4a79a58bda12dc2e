"""Uploading a finished run: ``python -m backend.sharing.publisher JOB``. The token comes by ``HF_TOKEN`` alone.

Files go by LFS over plain HTTP rather than by Xet: then each byte sent can be counted, and an upload can stop
within a file.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.errors import RepositoryTaken, TokenMissing
from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext, StopRequested, run_job
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.sharing.package import SharedFile, package_files
from backend.sharing.publishing import check_repository
from backend.sharing.space import space_files
from backend.sharing.tokens import TOKEN_VARIABLE

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

PREPARING = "preparing"
CREATING = "creating"
UPLOADING = "uploading"
UPLOADS_AT_ONCE = 2

MADE_BY_THE_HUB = {"model": {".gitattributes"}, "space": {".gitattributes", "README.md"}}
"""What lies in a repository that was only just created."""


def publish(context: JobContext) -> dict[str, Any]:
    """Upload the run that the job's spec names; returns ``{"url", "repository", "commit"}``.

    Raises:
        TokenMissing, TokenRejected: signing in failed.
        RepositoryNameInvalid, RepositoryTaken, PublishingRefused: the Hub will not have it.
        HubNotReached: nothing answers there.
        RunMissing, RunNotFinished: there is nothing to upload.
    """
    from backend.sharing.hub_errors import check_reachable, worded

    spec = context.spec
    check_repository(spec["repository"])
    api = signed_in()
    try:
        with context.phase(PREPARING):
            check_reachable(api.endpoint)
            repository = full_name(api, spec["repository"])
            run = RunStore(Home(context.path.parents[1])).get(spec["run"])
            files = files_of(run, spec, repository)
        with context.phase(CREATING):
            create(api, repository, spec)
            obsolete = files_there(api, repository, spec["target"]) - {file.name for file in files}
        with context.phase(UPLOADING):
            commit = upload(context, api, repository, files, sorted(obsolete))
    except Exception as error:
        if (known := worded(error, repository=spec["repository"], endpoint=api.endpoint)) is not None:
            raise known from error
        raise
    place = "spaces/" if spec["target"] == "space" else ""
    return {"url": f"{api.endpoint}/{place}{repository}", "repository": repository, "commit": commit}


def signed_in() -> HfApi:
    """The Hub's client with the token of the environment. Raises `TokenMissing`."""
    from huggingface_hub import HfApi

    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise TokenMissing
    return HfApi(token=token)


def full_name(api: HfApi, repository: str) -> str:
    """``owner/name``: the owner of the token, where none is given. Asks the Hub, so a bad token is found here."""
    user = str(api.whoami()["name"])
    return repository if "/" in repository else f"{user}/{repository}"


def files_of(run: JobDirectory, spec: dict[str, Any], repository: str) -> list[SharedFile]:
    """What is uploaded for the target."""
    if spec["target"] == "space":
        return space_files(run, licence=spec["licence"])
    return package_files(run, repository=repository, licence=spec["licence"])


def create(api: HfApi, repository: str, spec: dict[str, Any]) -> None:
    """Make the repository, or take one of that name if it is empty or may be replaced.

    Raises:
        RepositoryTaken: it holds something.
    """
    from huggingface_hub.errors import HfHubHTTPError

    kind, private = spec["target"], spec["private"]
    sdk = "gradio" if kind == "space" else None
    try:
        api.create_repo(repository, repo_type=kind, space_sdk=sdk, private=private)
    except HfHubHTTPError as error:
        if error.response.status_code != 409:
            raise
        # Left empty by an upload that broke off, it may be filled now.
        if not spec["replace"] and files_there(api, repository, kind) - MADE_BY_THE_HUB[kind]:
            raise RepositoryTaken(name=repository) from error
        # Whoever could see what was there must not see the new content unasked.
        api.update_repo_settings(repository, repo_type=kind, private=private)


def files_there(api: HfApi, repository: str, kind: str) -> set[str]:
    """The paths that the repository holds."""
    return set(api.list_repo_files(repository, repo_type=kind))


def upload(
    context: JobContext, api: HfApi, repository: str, files: Sequence[SharedFile], obsolete: Sequence[str]
) -> str:
    """Send the files in one commit that also removes the obsolete ones; returns its id.

    Nothing can be seen of it until the commit, so a stop before that leaves the repository as it was.
    """
    from huggingface_hub import CommitOperationDelete

    meter = UploadMeter(context, sum(file.bytes for file in files))
    operations: list[CommitOperationAdd | CommitOperationDelete] = [counted_addition(file, meter) for file in files]
    operations += [CommitOperationDelete(path) for path in obsolete if path != ".gitattributes"]
    try:
        commit = api.create_commit(
            repository,
            operations,
            commit_message="Upload from Studio",
            repo_type=context.spec["target"],
            num_threads=UPLOADS_AT_ONCE,
        )
    except Exception:
        # The client wraps what its threads raise, also a stop.
        if meter.stopped:
            raise StopRequested from None
        raise
    meter.finish()
    return str(commit.oid)


class UploadMeter:
    """Counts what was sent of all files, and hears a stop between two pieces."""

    def __init__(self, context: JobContext, total_bytes: int) -> None:
        self._context = context
        self._total = total_bytes
        self._sent: dict[str, int] = {}
        self._lock = threading.Lock()
        self.stopped = False

    def at(self, name: str, position: int) -> None:
        """Note how far the file is read. Raises `StopRequested`."""
        with self._lock:
            if self._context.stop_requested:
                self.stopped = True
                raise StopRequested
            # A file that is sent again after a fault does not count twice.
            self._sent[name] = max(position, self._sent.get(name, 0))
            self._context.progress(min(sum(self._sent.values()), self._total), self._total, unit="bytes")

    def finish(self) -> None:
        """All is there: also what the Hub had already and was not sent again."""
        self._context.progress(self._total, self._total, unit="bytes")


class CountedFile(io.BufferedReader):
    """A file that tells the meter how far it was read."""

    def __init__(self, path: Path, name: str, meter: UploadMeter) -> None:
        super().__init__(io.FileIO(path))
        self._name, self._meter = name, meter

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        content = super().read(size)
        self._meter.at(self._name, self.tell())
        return content


def counted_addition(file: SharedFile, meter: UploadMeter) -> CommitOperationAdd:
    """The client's operation that adds the file, reading it through the meter."""
    from huggingface_hub import CommitOperationAdd

    class CountedAddition(CommitOperationAdd):
        @contextmanager
        def as_file(self, with_tqdm: bool = False) -> Iterator[Any]:
            if isinstance(file.content, bytes):
                meter.at(file.name, len(file.content))
                yield io.BytesIO(file.content)
                return
            with CountedFile(file.content, file.name, meter) as stream:
                yield stream

    return CountedAddition(path_in_repo=file.name, path_or_fileobj=file.content)


def prepare_environment() -> None:
    """What must be set before ``huggingface_hub`` is imported."""
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


if __name__ == "__main__":
    prepare_environment()
    sys.exit(run_job(publish))
