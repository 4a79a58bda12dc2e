"""What every page of one language shares: the services, the words, and how an event reaches a handler."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.errors import StudioError, Unexpected, typed_error
from studio.address import Address, Opened, open_address
from studio.i18n import Words
from studio.markup import text
from studio.services import Services

logger = logging.getLogger(__name__)
LONGEST_DETAIL = 300


@dataclass(frozen=True)
class Site:
    """The pages in one language."""

    services: Services
    t: Words
    router: gr.HTML

    def opened(self, router_value: str | None) -> Opened:
        """What the address in the router's value opens.

        Raises:
            StudioError: what it names is not there.
        """
        opened = open_address(self.services, Address.of_router(router_value))
        if opened.problem and opened.run is None:
            raise opened.problem
        return opened

    def on(
        self,
        event: Callable[..., Any],
        handler: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        **more: Any,
    ) -> Any:
        """Connect an event; an error that the handler raises is shown in the user's words and changes nothing, as does
        an answer without any component in it."""
        return event(
            self._worded(handler), list(inputs), list(outputs), api_visibility="private", show_progress="hidden", **more
        )

    def _worded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def generating(*arguments: Any) -> Iterator[Any]:
                try:
                    yield from map(_answer, handler(*arguments))
                except Exception as error:
                    raise self._said(error) from error

            return generating

        @functools.wraps(handler)
        def calling(*arguments: Any) -> Any:
            try:
                return _answer(handler(*arguments))
            except Exception as error:
                raise self._said(error) from error

        return calling

    def _said(self, error: Exception) -> gr.Error:
        if isinstance(error, gr.Error):
            return error
        known = typed_error(error, self.services.home.path)
        if known is None:
            logger.error("a handler failed", exc_info=error)
            known = Unexpected(detail=f"{type(error).__name__}: {error}"[:LONGEST_DETAIL])
        return self.toast(known)

    def toast(self, error: StudioError) -> gr.Error:
        """The error as a message over the page, in the user's words."""
        what, following = self.t.error(error)
        # The page reads HTML in messages: what a user wrote is never that.
        return gr.Error(text(f"{what} {following}"), title=self.t("error.title"), duration=20, print_exception=False)


def _answer(given: Any) -> Any:
    return gr.skip() if isinstance(given, dict) and not given else given  # which Gradio would take for a value
