"""What every page of one language shares: the services, the words, and how an event reaches a handler."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.errors import StudioError
from studio.address import Address, Opened, open_address
from studio.i18n import Words
from studio.services import Services


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
        """Connect an event; an error that the handler raises is shown in the user's words and changes nothing."""
        return event(
            self._worded(handler), list(inputs), list(outputs), api_visibility="private", show_progress="hidden", **more
        )

    def _worded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(handler):

            @functools.wraps(handler)
            def generating(*arguments: Any) -> Iterator[Any]:
                try:
                    yield from handler(*arguments)
                except StudioError as error:
                    raise self.toast(error) from error

            return generating

        @functools.wraps(handler)
        def calling(*arguments: Any) -> Any:
            try:
                return handler(*arguments)
            except StudioError as error:
                raise self.toast(error) from error

        return calling

    def toast(self, error: StudioError) -> gr.Error:
        """The error as a message over the page, in the user's words."""
        what, following = self.t.error(error)
        return gr.Error(f"{what} {following}", title=self.t("error.title"), duration=20, print_exception=False)
