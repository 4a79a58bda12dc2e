"""A small Hub on 127.0.0.1 that the real ``huggingface_hub`` client, Transformers and datasets can talk to.

It keeps repositories in memory and speaks the part of the Hub's interface that pushing and loading a model needs:
sign-in, creation, preupload, LFS, commits, listings, downloads. Point a process at it with ``HubStandIn.environ()``:

    with HubStandIn() as hub:
        hub.serve_folder("someone/model", folder)
        subprocess.run([...], env={**os.environ, **hub.environ()})

Source: what huggingface_hub 2.4 sends and expects (``hf_api``, ``_commit_api``, ``lfs``, ``file_download``).
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.hub_http import Asked, Download, Handler, Refusal, Request, Viewed, git_oid

KINDS = {"models": "model", "datasets": "dataset", "spaces": "space"}
LFS_SUFFIXES = (".safetensors", ".parquet", ".zip", ".onnx")
LFS_FROM_BYTES = 10 << 20


@dataclass
class Repository:
    """A repository: its files by path, and every commit that made them."""

    id: str
    kind: str
    private: bool = False
    gated: bool = False
    sdk: str | None = None
    tags: list[str] = field(default_factory=list)
    about: str = ""
    downloads: int = 0
    likes: int = 0
    viewer: dict[str, Any] | None = None
    """What its viewer knows of a data set: ``{configuration: {split: {"features": […], "rows": [{…}]}}}``."""
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """The message of each commit, the oldest first."""

    @property
    def sha(self) -> str:
        """The id of the last commit."""
        content = "".join(f"{name}{git_oid(data)}" for name, data in sorted(self.files.items()))
        return hashlib.sha1(f"{self.kind}{self.id}{len(self.commits)}{content}".encode()).hexdigest()


class HubStandIn:
    """The server. ``writers`` and ``readers`` give the user of each token it knows."""

    def __init__(self) -> None:
        self.token = "hf_standInWriteToken0123456789"
        self.read_token = "hf_standInReadToken9876543210"
        self.user = "tester"
        self.writers = {self.token: self.user}
        self.readers = {self.read_token: self.user}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        """What was uploaded by LFS, by SHA-256."""
        self.asked: list[Asked] = []
        self.spaces_refusal: Refusal | None = None
        """Set to refuse new Spaces, as the Hub does without a paid plan: ``Refusal(402, "…")``."""
        self.upload_bytes_per_second: float | None = None
        self.delay_s = 0.0
        """How long each answer takes."""
        self.sent: list[tuple[str, int]] = []
        """Path and size of each piece of a file that was sent."""
        self.upload_started = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.hub = self  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def answer(self, request: Request, method: str) -> Any:
        """What is sent for a request.

        Raises:
            Refusal: it is refused, or there is no such address.
        """
        for wanted, pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, request.path)
            if match and wanted == method:
                parts = [KINDS.get(part, part or "") for part in match.groups()]
                return answer(self, request, *parts)
        raise Refusal(404, f"this stand-in knows no {method} {request.path}")

    # -- what tests use

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environ(self, *, token: str | None = None) -> dict[str, str]:
        """Variables that point a process at this Hub, signed in with ``token`` if one is given."""
        variables = {"HF_ENDPOINT": self.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return {**variables, "HF_TOKEN": token} if token else variables

    def serve_folder(
        self, repository: str, folder: Path, *, kind: str = "model", private: bool = False, gated: bool = False
    ) -> Repository:
        """Make a repository of the files in a local folder."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        return self.add(Repository(repository, kind, private, gated, files=files, commits=["initial commit"]))

    def add(self, repository: Repository) -> Repository:
        """Keep a repository."""
        self.repositories[repository.kind, repository.id] = repository
        return repository

    def model(self, repository: str) -> Repository:
        """A model repository by its id."""
        return self.repositories["model", repository]

    def space(self, repository: str) -> Repository:
        """A Space by its id."""
        return self.repositories["space", repository]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -- rights

    def user_of(self, token: str) -> str:
        """Who sent the request; empty for nobody."""
        if token and token not in self.writers and token not in self.readers:
            raise Refusal(401, "Invalid credentials in Authorization header")
        return self.writers.get(token) or self.readers.get(token, "")

    def writable(self, kind: str, repository_id: str, token: str) -> Repository:
        """A repository that the token may write to."""
        repository = self.readable(kind, repository_id, token)
        if token not in self.writers:
            raise Refusal(403, "You must use a write token to push to a repository.")
        if repository_id.partition("/")[0] != self.user_of(token):
            raise Refusal(403, f"You don't have the rights to push to {repository_id}.")
        return repository

    def readable(self, kind: str, repository_id: str, token: str) -> Repository:
        """A repository that the token may see."""
        user = self.user_of(token)
        repository = self.repositories.get((kind, repository_id))
        hidden = repository is not None and repository.private and repository_id.partition("/")[0] != user
        if repository is None or hidden:
            raise Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        return repository

    # -- the interface

    def who(self, request: Request) -> Any:
        """Who the token belongs to."""
        user = self.user_of(request.token)
        if not user:
            raise Refusal(401, "Invalid username or password.")
        return {"type": "user", "name": user, "fullname": user, "orgs": [], "auth": {"type": "access_token"}}

    def create(self, request: Request) -> Any:
        """A new repository, with the files that the Hub puts there itself."""
        asked = request.json()
        user, kind = self.user_of(request.token), asked.get("type", "model")
        if not user:
            raise Refusal(401, "Invalid username or password.")
        owner = asked.get("organization") or user
        if request.token not in self.writers or owner != user:
            raise Refusal(403, f'You don\'t have the rights to create a {kind} under the namespace "{owner}".')
        if (kind, f"{owner}/{asked['name']}") in self.repositories:
            raise Refusal(409, f"You already created this {kind} repo")
        if kind == "space" and self.spaces_refusal is not None:
            raise self.spaces_refusal
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        repository = Repository(
            f"{owner}/{asked['name']}", kind, private, sdk=asked.get("sdk"), commits=["initial commit"]
        )
        repository.files[".gitattributes"] = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
        if kind == "space":
            repository.files["README.md"] = f"---\ntitle: {asked['name']}\nsdk: {asked['sdk']}\n---\n".encode()
        self.add(repository)
        return {"url": f"{self.endpoint}/{_prefix(kind)}{repository.id}", "name": repository.id, "private": private}

    def settings(self, request: Request, kind: str, repository: str) -> Any:
        """Change who can see a repository."""
        found = self.writable(kind, repository, request.token)
        found.private = request.json().get("visibility") == "private"
        return {"private": found.private}

    def validate_yaml(self, request: Request) -> Any:
        """Whether a card's front matter is a YAML mapping."""
        front = re.match(r"---\n(.*?)\n---\n", request.json()["content"], re.DOTALL)
        try:
            sound = front is None or isinstance(yaml.safe_load(front[1]), dict)
        except yaml.YAMLError:
            sound = False
        if not sound:
            errors = [{"message": "Invalid YAML metadata"}]
            raise Refusal(400, "Invalid metadata", body={"errors": errors, "warnings": []})
        return {"errors": [], "warnings": []}

    def preupload(self, request: Request, kind: str, repository: str, revision: str) -> Any:
        """How each file is to be uploaded, and what is there already."""
        found = self.writable(kind, repository, request.token)
        return {"files": [self._upload_mode(found, file) for file in request.json()["files"]], "revision": revision}

    def _upload_mode(self, repository: Repository, file: dict[str, Any]) -> dict[str, Any]:
        large = file["path"].endswith(LFS_SUFFIXES) or file["size"] >= LFS_FROM_BYTES
        there = repository.files.get(file["path"])
        oid = None if there is None else hashlib.sha256(there).hexdigest() if large else git_oid(there)
        mode = "lfs" if large else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def lfs_batch(self, request: Request, prefix: str, repository: str) -> Any:
        """Where large files are to be put; none for those that are known."""
        self.writable(KINDS[prefix.strip("/") or "models"], repository, request.token)
        objects = []
        for wanted in request.json()["objects"]:
            known = wanted["oid"] in self.objects
            actions = {"upload": {"href": f"{self.endpoint}/lfs/{wanted['oid']}"}}
            objects.append({**wanted, **({} if known else {"actions": actions})})
        return {"transfer": "basic", "objects": objects}

    def lfs_put(self, request: Request, oid: str) -> Any:
        """The bytes of a large file."""
        self.upload_started.set()
        content = request.read(self.upload_bytes_per_second)
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refusal(400, "the content is not what was announced")
        self.objects[oid] = content
        return {}

    def commit(self, request: Request, kind: str, repository: str, revision: str) -> Any:
        """Files added and deleted, all at once."""
        found = self.writable(kind, repository, request.token)
        files = dict(found.files)
        message = ""
        for line in request.json_lines():
            value = line["value"]
            match line["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    if value["oid"] not in self.objects:
                        raise Refusal(400, f"LFS object {value['oid']} was never uploaded")
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    if files.pop(value["path"], None) is None:
                        raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        found.files = files
        found.commits.append(message)
        url = f"{self.endpoint}/{_prefix(kind)}{repository}/commit/{found.sha}"
        return {"success": True, "commitOid": found.sha, "commitUrl": url, "hookOutput": ""}

    def info(self, request: Request, kind: str, repository: str, revision: str = "main") -> Any:
        """What the Hub knows about a repository."""
        found = self.readable(kind, repository, request.token)
        _check_revision(found, revision)
        known = {"id": found.id, "modelId": found.id, "author": found.id.partition("/")[0], "sha": found.sha}
        siblings = [{"rfilename": name} for name in sorted(found.files)]
        gated = "manual" if found.gated else False
        rest = {"private": found.private, "gated": gated, "disabled": False, "tags": found.tags, "siblings": siblings}
        return {
            **known,
            **rest,
            "sdk": found.sdk,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "description": found.about,
            "downloads": found.downloads,
            "likes": found.likes,
        }

    def listing(self, request: Request, kind: str) -> Any:
        """The repositories of a kind that the token may see, whose ids hold all the words that are searched for."""
        user = self.user_of(request.token)
        words = request.query.get("search", [""])[0].lower().split()
        limit = int(request.query.get("limit", ["1000"])[0])
        seen = [r for r in self.repositories.values() if not r.private or r.id.partition("/")[0] == user]
        found = [r for r in seen if r.kind == kind and all(word in r.id.lower() for word in words)]
        found.sort(key=lambda repository: -repository.downloads)
        return [self.info(request, kind, repository.id) for repository in found[:limit]]

    def auth_check(self, request: Request, kind: str, repository: str) -> Any:
        """Whether the token may read the files."""
        self._check_gate(self.readable(kind, repository, request.token), request.token)
        return {}

    def _check_gate(self, repository: Repository, token: str) -> None:
        if repository.gated and repository.id.partition("/")[0] != self.user_of(token):
            raise Refusal(403 if token else 401, f"Access to {repository.id} is restricted.", "GatedRepo")

    def viewer_splits(self, request: Request) -> Any:
        """The viewer's list of configurations and splits."""
        found, viewer = self._viewed(request)
        splits = [{"dataset": found.id, "config": c, "split": s} for c in viewer for s in viewer[c]]
        return Viewed({"splits": splits, "pending": [], "failed": []}, found.sha)

    def viewer_first_rows(self, request: Request) -> Any:
        """The viewer's first rows of a split."""
        found, viewer = self._viewed(request)
        split = viewer[request.query["config"][0]][request.query["split"][0]]
        features = [{"feature_idx": i, **feature} for i, feature in enumerate(split["features"])]
        rows = [{"row_idx": i, "row": row, "truncated_cells": []} for i, row in enumerate(split["rows"])]
        return Viewed({"dataset": found.id, "features": features, "rows": rows}, found.sha)

    def _viewed(self, request: Request) -> tuple[Repository, dict[str, Any]]:
        found = self.readable("dataset", request.query["dataset"][0], request.token)
        self._check_gate(found, request.token)
        if found.viewer is None:
            raise Refusal(404, "The dataset is not in the viewer.", "ResponseNotFound")
        return found, found.viewer

    def tree(self, request: Request, kind: str, repository: str, revision: str, folder: str = "") -> Any:
        """The files under a folder, and the folders between."""
        found = self.readable(kind, repository, request.token)
        _check_revision(found, revision)
        prefix = f"{folder}/" if folder else ""
        recursive = request.query.get("recursive", ["false"])[0].lower() == "true"
        entries: dict[str, dict[str, Any]] = {}
        for name, content in sorted(found.files.items()):
            if not name.startswith(prefix):
                continue
            parts = name.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) if recursive else min(2, len(parts))):
                path = prefix + "/".join(parts[:depth])
                entries[path] = {"type": "directory", "path": path, "oid": git_oid(path.encode()), "size": 0}
            if recursive or len(parts) == 1:
                entries[name] = _described(name, content)
        if folder and not entries:
            raise Refusal(404, f'{folder} does not exist on "{revision}"', "EntryNotFound")
        return list(entries.values())

    def paths_info(self, request: Request, kind: str, repository: str, revision: str) -> Any:
        """What is at some paths."""
        found = self.readable(kind, repository, request.token)
        paths = request.form().get("paths", [])
        return [_described(path, found.files[path]) for path in paths if path in found.files]

    def resolve(self, request: Request, prefix: str, repository: str, revision: str, path: str) -> Download:
        """A file's content."""
        found = self.readable(KINDS[prefix.strip("/") or "models"], repository, request.token)
        self._check_gate(found, request.token)
        _check_revision(found, revision)
        if path not in found.files:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        return Download(found.files[path], _is_large(path, found.files[path]), found.sha)


_REPO = r"([^/]+(?:/[^/]+)?)"
_API = rf"/api/(models|datasets|spaces)/{_REPO}"
_ROUTES: list[tuple[str, str, Callable[..., Any]]] = [
    ("GET", r"/", lambda hub, request: {}),
    ("GET", r"/api/whoami-v2", HubStandIn.who),
    ("GET", r"/api/(models|datasets|spaces)", HubStandIn.listing),
    ("GET", r"/splits", HubStandIn.viewer_splits),
    ("GET", r"/first-rows", HubStandIn.viewer_first_rows),
    ("POST", r"/api/repos/create", HubStandIn.create),
    ("POST", r"/api/validate-yaml", HubStandIn.validate_yaml),
    ("PUT", rf"{_API}/settings", HubStandIn.settings),
    ("POST", rf"{_API}/preupload/([^/]+)", HubStandIn.preupload),
    ("POST", rf"{_API}/commit/([^/]+)", HubStandIn.commit),
    ("POST", rf"{_API}/paths-info/([^/]+)", HubStandIn.paths_info),
    ("GET", rf"{_API}/tree/([^/]+)(?:/(.+))?", HubStandIn.tree),
    ("GET", rf"{_API}/revision/([^/]+)", HubStandIn.info),
    ("GET", rf"{_API}/auth-check", HubStandIn.auth_check),
    ("GET", _API, HubStandIn.info),
    ("POST", rf"/(datasets/|spaces/)?{_REPO}\.git/info/lfs/objects/batch", HubStandIn.lfs_batch),
    ("PUT", r"/lfs/([0-9a-f]{64})", HubStandIn.lfs_put),
    ("GET", rf"/(datasets/|spaces/)?{_REPO}/resolve/([^/]+)/(.+)", HubStandIn.resolve),
]


def _check_revision(repository: Repository, revision: str) -> None:
    if revision not in ("main", repository.sha):
        raise Refusal(404, "Revision not found", "RevisionNotFound")


def _is_large(path: str, content: bytes) -> bool:
    return path.endswith(LFS_SUFFIXES) or len(content) >= LFS_FROM_BYTES


def _described(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": git_oid(content)}
    if _is_large(path, content):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _prefix(kind: str) -> str:
    return "" if kind == "model" else f"{kind}s/"
