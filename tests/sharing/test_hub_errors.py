"""Every foreign error of an upload has a worded one, in both languages."""

from __future__ import annotations

from dataclasses import fields

import httpx2
import pytest
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

from backend.errors import (
    HubNotReached,
    PublishingRefused,
    RepositoryNameInvalid,
    RepositoryTaken,
    SharingError,
    StudioError,
    TokenRejected,
)
from backend.sharing.hub_errors import worded
from studio.i18n import LANGUAGES, words

ENDPOINT = "http://127.0.0.1:9"


def refusal(status: int, message: str = "", kind: type[HfHubHTTPError] = HfHubHTTPError) -> HfHubHTTPError:
    request = httpx2.Request("POST", f"{ENDPOINT}/api/repos/create")
    response = httpx2.Response(status, headers={"X-Error-Message": message} if message else {}, request=request)
    return kind(f"{status} from the Hub", response=response)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (refusal(401), TokenRejected),
        (refusal(401, kind=RepositoryNotFoundError), TokenRejected),
        (refusal(404, kind=RepositoryNotFoundError), PublishingRefused),
        (refusal(402), PublishingRefused),
        (refusal(403), PublishingRefused),
        (refusal(429), PublishingRefused),
        (refusal(500), PublishingRefused),
        (refusal(409), RepositoryTaken),
        (refusal(503), HubNotReached),
        (httpx2.ConnectError("refused"), HubNotReached),
        (httpx2.ReadTimeout("too slow"), HubNotReached),
        (OfflineModeIsEnabled("offline"), HubNotReached),
        (HFValidationError("no name"), RepositoryNameInvalid),
    ],
)
def test_each_refusal_of_the_hub_has_its_error(error: Exception, expected: type[StudioError]):
    assert type(worded(error, repository="tester/waimai", endpoint=ENDPOINT)) is expected


def test_error_of_a_thread_of_the_client_is_seen_through_its_wrapping():
    error = RuntimeError("Error while uploading 'model.safetensors' to the Hub.")
    error.__cause__ = httpx2.ConnectError("broken pipe")
    assert isinstance(worded(error, repository="tester/waimai", endpoint=ENDPOINT), HubNotReached)


def test_words_of_the_hub_are_kept():
    error = worded(refusal(403, "Storage limit reached."), repository="tester/waimai", endpoint=ENDPOINT)
    assert isinstance(error, PublishingRefused)
    assert error.detail == "Storage limit reached. (403)"


def test_error_that_is_not_the_hubs_is_left_alone():
    assert worded(KeyError("name"), repository="tester/waimai", endpoint=ENDPOINT) is None


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", SharingError.__subclasses__())
def test_every_sharing_error_is_worded_with_its_facts(kind: type[SharingError], language: str):
    facts = {field.name: f"<{field.name}>" for field in fields(kind)}
    what, following = words(language).error(kind(**facts))
    assert what
    assert following
    assert all(fact in what + following for fact in facts.values())
