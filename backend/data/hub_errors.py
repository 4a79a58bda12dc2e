"""The one seam where what the clients of the Hub raise about a data set becomes a worded error.

Knows ``huggingface_hub`` only: what the ``datasets`` library raises is worded by `backend.data.hub_reading`.
"""

from __future__ import annotations

from collections.abc import Iterator

from backend.errors import (
    HubDatasetGated,
    HubDatasetUnknown,
    HubDataUnreachable,
    HubRevisionUnknown,
    StudioError,
    TokenRejected,
)


def default_endpoint() -> str:
    """The Hub that is asked where none is named: ``HF_ENDPOINT`` or huggingface.co."""
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def worded(error: BaseException, repository: str, endpoint: str, revision: str = "") -> StudioError | None:
    """The worded error for one raised on asking for ``repository``; None for one that is not the Hub's."""
    for cause in _causes(error):
        known = _known(cause, repository, endpoint, revision)
        if known is not None:
            return known
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    # The datasets library puts words of its own around what the client raised.
    while error is not None:
        yield error
        error = error.__cause__


def _known(error: BaseException, repository: str, endpoint: str, revision: str) -> StudioError | None:
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
        case StudioError():
            return error
        case GatedRepoError():
            return HubDatasetGated(dataset=repository)
        case RevisionNotFoundError():
            return HubRevisionUnknown(dataset=repository, revision=revision)
        case RepositoryNotFoundError() | HFValidationError():
            return HubDatasetUnknown(dataset=repository)
        case HfHubHTTPError() if error.response.status_code == 401:
            return TokenRejected(endpoint=endpoint)
        case HfHubHTTPError() if error.response.status_code == 403:
            return HubDatasetGated(dataset=repository)
        case HfHubHTTPError() | LocalEntryNotFoundError() | OfflineModeIsEnabled() | httpx2.TransportError():
            return HubDataUnreachable(endpoint=endpoint)
        case TimeoutError() | ConnectionError():
            return HubDataUnreachable(endpoint=endpoint)
    return None
