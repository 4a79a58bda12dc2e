"""Finding data sets on the Hub by a few words, as they are typed. No call here waits for long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.data.hub_errors import default_endpoint, worded
from backend.deadline import answer_in_time

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TIMEOUT_S = 3.0
MOST_RESULTS = 10
ABOUT_LENGTH = 160


@dataclass(frozen=True)
class FoundDataset:
    """One result of a search, as the Hub's own list shows it."""

    id: str
    downloads: int = 0
    """In the last 30 days."""
    likes: int = 0
    gated: bool = False
    private: bool = False
    about: str = ""
    size: str = ""
    """The Hub's class of size, where the data set has one: ``10K<n<100K``."""


def search(
    words: str, token: str | None = None, endpoint: str | None = None, timeout_s: float = TIMEOUT_S
) -> list[FoundDataset]:
    """The data sets whose names hold these words, the most downloaded first; none for no words.

    ``token`` None asks as nobody; ``endpoint`` None is ``HF_ENDPOINT`` or huggingface.co.

    Raises:
        HubDataUnreachable: no answer within ``timeout_s``.
        TokenRejected: the Hub does not know the token.
    """
    words = " ".join(words.split())
    if not words:
        return []
    asked = endpoint or default_endpoint()

    def ask(_left: float) -> list[FoundDataset]:
        from huggingface_hub import HfApi

        return [_found(info) for info in _listed(HfApi(endpoint=asked, token=token or False), words)]

    try:
        return answer_in_time(ask, timeout_s)
    except Exception as error:
        known = worded(error, words, asked)
        if known is None:
            raise
        raise known from error


def _listed(api: HfApi, words: str) -> Iterable[Any]:
    return api.list_datasets(search=words, sort="downloads", limit=MOST_RESULTS)


def _found(info: Any) -> FoundDataset:
    sizes = [tag.removeprefix("size_categories:") for tag in info.tags or [] if tag.startswith("size_categories:")]
    about = " ".join((getattr(info, "description", "") or "").split())
    return FoundDataset(
        id=info.id,
        downloads=info.downloads or 0,
        likes=info.likes or 0,
        gated=bool(info.gated),
        private=bool(info.private),
        about=about if len(about) <= ABOUT_LENGTH else about[:ABOUT_LENGTH] + "…",
        size=sizes[0] if sizes else "",
    )
