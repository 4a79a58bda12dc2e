"""Models on the Hub: what one is, and its files on this machine. Never imports torch; no call here waits for long.

Without care, a Hub that cannot be reached costs tens of seconds for each file. So it is asked once, with a deadline;
what it says decides whether files are downloaded or taken from the local cache, and everything after that loads from
a folder and asks no network at all.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.deadline import outcome_in_time
from backend.errors import (
    HubUnreachable,
    ModelGated,
    ModelUnknown,
    NotAModelFolder,
    StudioError,
    TokenRejected,
    WeightsDamaged,
)
from backend.models.folder import CONFIG, TOKENIZERS, check_folder
from backend.models.weight_files import WEIGHTS

TIMEOUT_S = 3.0
SIDE_FILES = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"]
DOWNLOADED = [
    CONFIG,
    *WEIGHTS,
    "model-*-of-*.safetensors",
    *(name for names in TOKENIZERS for name in names),
    *SIDE_FILES,
]
CONVERTER = "SFconvertbot"
"""The Hub's own account that offers old weights as safetensors, in a pull request to the model."""
_CONVERSION_TITLE = "Adding `safetensors` variant of this model"
_ID = re.compile(r"(?:[\w.-]+/)?[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class HubModel:
    """A model on the Hub, as far as its page tells."""

    id: str
    sha: str | None
    """The commit that would be downloaded."""
    licence: str | None = None
    parameters: int | None = None
    gated: bool = False
    """Its owner wants to be asked first; with a token that may read it, that has been done."""
    pipeline_tag: str | None = None
    has_safetensors: bool = True
    cached: Path | None = None
    """Its folder on this machine, if all its files are here: then it works without the Hub."""
    reachable: bool = True
    """False: the Hub did not answer, and all this is told from the local cache."""


def look_up(
    model_id: str,
    token: str | None = None,
    endpoint: str | None = None,
    timeout_s: float = TIMEOUT_S,
    revision: str | None = None,
) -> HubModel:
    """Ask the Hub for a model; answers within ``timeout_s``, whatever the network does.

    A model that is whole in the local cache is told from there when the Hub does not answer. ``token`` None is the
    one of the environment or of a login; ``endpoint`` None is ``HF_ENDPOINT`` or huggingface.co.

    Raises:
        ModelUnknown: there is none of this name, or none that the token may see.
        ModelGated: its owner must allow it first.
        TokenRejected: the Hub does not know the token.
        HubUnreachable: no answer in time, and the model is not in the local cache.
    """
    deadline = time.monotonic() + timeout_s
    if not _ID.fullmatch(model_id):
        raise ModelUnknown(model=model_id[:200])
    asked = outcome_in_time(lambda left: _ask(model_id, token, endpoint, left, revision), deadline)
    if isinstance(asked, HubModel):
        return asked
    if asked is not None and not isinstance(asked, HubUnreachable):
        raise asked
    cached = cached_folder(model_id)
    if cached is not None:
        return HubModel(id=model_id, sha=cached.name, cached=cached, reachable=False)
    raise HubUnreachable(endpoint=endpoint or default_endpoint())


def default_endpoint() -> str:
    """The Hub that is asked where none is named."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def cached_folder(model_id: str, sha: str | None = None) -> Path | None:
    """The folder in the local cache that holds all of the model's files, of this commit or of the newest."""
    from huggingface_hub import constants

    snapshots = Path(constants.HF_HUB_CACHE) / f"models--{model_id.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
    return next((folder for folder in found if sha in (None, folder.name) and _is_whole(folder)), None)


def download(
    model: HubModel,
    token: str | None = None,
    endpoint: str | None = None,
    step: Callable[[float, float], None] = lambda *_: None,
) -> Path:
    """The folder with the model's files, downloaded where they are not here yet.

    ``step(bytes, total)`` is called as they arrive: the place to report progress, or to raise in order to end it.

    Raises:
        HubUnreachable, ModelGated, ModelUnknown, TokenRejected: as `look_up`.
        NotAModelFolder: the model's weights are only there in a format that can run code when it is opened.
    """
    if model.cached is not None:
        return model.cached
    if not model.has_safetensors:
        raise NotAModelFolder(folder=model.id, missing=[WEIGHTS[0]])
    # Plain downloads, of which each piece can be told and stopped; set before the client first reads it.
    os.environ["HF_HUB_DISABLE_XET"] = "1"
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            model.id,
            revision=model.sha,
            token=token,
            endpoint=endpoint or default_endpoint(),
            allow_patterns=DOWNLOADED,
            tqdm_class=_meter(step),
        )
    except Exception as error:
        worded = _worded(error, model.id, endpoint or default_endpoint())
        if worded is None:
            raise
        raise worded from error
    return Path(folder)


def _meter(step: Callable[[float, float], None]) -> type[Any]:
    """A progress bar class that shows nothing and calls ``step``."""
    from huggingface_hub import utils

    shown: Any = utils.tqdm  # type: ignore[attr-defined]

    class Meter(shown):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts_bytes = kwargs.get("unit") == "B"
            self._so_far = 0.0
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            self._so_far += n or 0
            if self._counts_bytes:
                step(self._so_far, float(self.total or 0))

    return Meter


def _ask(model_id: str, token: str | None, endpoint: str | None, timeout_s: float, revision: str | None) -> HubModel:
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint, token=token)
    try:
        info = api.model_info(model_id, revision=revision or None, timeout=timeout_s)
        if info.gated:
            api.auth_check(model_id)
        sha, has_safetensors = info.sha, _has_weights(info)
        if not has_safetensors and not revision:
            converted = _converted(api, model_id, timeout_s)
            sha, has_safetensors = converted or sha, converted is not None
    except Exception as error:
        worded = _worded(error, model_id, api.endpoint)
        if worded is None:
            raise
        raise worded from error
    return HubModel(
        id=model_id,
        sha=sha,
        licence=_licence(info),
        parameters=info.safetensors.total if info.safetensors else None,
        gated=bool(info.gated),
        pipeline_tag=info.pipeline_tag,
        has_safetensors=has_safetensors,
        cached=cached_folder(model_id, sha),
    )


def _converted(api: Any, model_id: str, timeout_s: float) -> str | None:
    """The commit of the Hub's own conversion to safetensors that waits as a pull request, if there is one."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        for discussion in api.get_repo_discussions(model_id, author=CONVERTER, discussion_type="pull_request"):
            if discussion.author == CONVERTER and discussion.title == _CONVERSION_TITLE:
                info = api.model_info(model_id, revision=discussion.git_reference, timeout=timeout_s)
                if _has_weights(info):
                    return str(info.sha)
    except HfHubHTTPError:  # the model closed its discussions, or this Hub has none
        return None
    return None


def _has_weights(info: Any) -> bool:
    names = {file.rfilename for file in info.siblings or []}
    return any(name in names for name in WEIGHTS)


def _licence(info: Any) -> str | None:
    tags = [tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")]
    return tags[0] if tags else None


def _is_whole(folder: Path) -> bool:
    try:
        check_folder(folder)
    except NotAModelFolder:
        return False
    except WeightsDamaged:  # another download would not replace it: it is said where it is loaded
        return True
    return True


def _worded(error: Exception, model_id: str, endpoint: str) -> StudioError | None:
    """The worded error for one that the Hub's client raised; None for one that is not the Hub's."""
    import httpx2
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case GatedRepoError():
            return ModelGated(model=model_id)
        case RepositoryNotFoundError() | RevisionNotFoundError() | HFValidationError():
            return ModelUnknown(model=model_id)
        case HfHubHTTPError() if error.response.status_code == 401:
            return TokenRejected(endpoint=endpoint)
        case HfHubHTTPError() if error.response.status_code == 403:
            return ModelGated(model=model_id)
        case HfHubHTTPError() | LocalEntryNotFoundError() | OfflineModeIsEnabled() | httpx2.TransportError():
            return HubUnreachable(endpoint=endpoint)
    return None
