"""The one seam where what ``huggingface_hub`` raises while publishing becomes a worded error."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx2
from huggingface_hub import get_session
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from backend.errors import (
    HubNotReached,
    PublishingRefused,
    RepositoryNameInvalid,
    RepositoryTaken,
    StudioError,
    TokenMissing,
    TokenRejected,
)

PROBE_TIMEOUT_S = 3.0


def check_reachable(endpoint: str, timeout_s: float = PROBE_TIMEOUT_S) -> None:
    """Raise `HubNotReached` if nothing answers at the endpoint within the time; any answer will do."""
    answered = threading.Event()

    def ask() -> None:
        try:
            get_session().head(endpoint, timeout=timeout_s)
        except (httpx2.TransportError, OfflineModeIsEnabled, OSError):
            return
        answered.set()

    # In a thread, since looking up a name can take much longer than any timeout of the connection.
    thread = threading.Thread(target=ask, name="probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not answered.is_set():
        raise HubNotReached(endpoint=endpoint)


def worded(error: Exception, *, repository: str, endpoint: str) -> StudioError | None:
    """The worded error for one raised while publishing to ``repository``; None for one that is not the Hub's."""
    for cause in _causes(error):
        known = _known(cause, repository, endpoint)
        if known is not None:
            return known
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # An upload that fails in one of the client's threads arrives wrapped in a plain RuntimeError.
    while error is not None:
        yield error
        error = error.__cause__


def _known(error: BaseException, repository: str, endpoint: str) -> StudioError | None:
    match error:
        case StudioError():
            return error
        case LocalTokenNotFoundError():
            return TokenMissing()
        case HFValidationError():
            return RepositoryNameInvalid(name=repository)
        case OfflineModeIsEnabled() | httpx2.TransportError():
            return HubNotReached(endpoint=endpoint)
        case RepositoryNotFoundError() if error.response.status_code != 401:
            # It was there a moment ago: the Hub hides what a token may not touch.
            return PublishingRefused(name=repository, detail=reason(error))
        case HfHubHTTPError():
            return _of_status(error, repository, endpoint)
    return None


def _of_status(error: HfHubHTTPError, repository: str, endpoint: str) -> StudioError:
    status = error.response.status_code
    if status == 401:
        return TokenRejected(endpoint=endpoint)
    if status == 409:
        return RepositoryTaken(name=repository)
    if status in (502, 503, 504):
        return HubNotReached(endpoint=endpoint)
    return PublishingRefused(name=repository, detail=reason(error))


def reason(error: HfHubHTTPError) -> str:
    """The Hub's own words for why it refused, or the status where it gave none."""
    said = error.server_message or error.response.headers.get("X-Error-Message") or error.response.reason_phrase
    return f"{said} ({error.response.status_code})"[:500]
