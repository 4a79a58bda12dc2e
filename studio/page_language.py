"""The language of a page, said in its HTML before any script runs.

Gradio words its own parts (the drop area, "Error", "Loading") by the browser's language, and its page says it is
English. Here the address decides: the page of ``/zh`` is Chinese whatever the browser prefers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from studio.i18n import Language


class PageLanguage:
    """ASGI middleware that names the language in the HTML of the pages at ``paths``."""

    def __init__(self, app: ASGIApp, paths: Mapping[str, Language]) -> None:
        self.app = app
        self.paths = dict(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; a page's answer is held back until it is whole, and sent with its language."""
        language = self.paths.get(scope.get("path", "")) if scope["type"] == "http" else None
        if language is None or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        # Asked for uncompressed, since it is going to be read here.
        plain = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept-encoding"]
        opening: Message = {}
        body = bytearray()

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                opening.update(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            whole = with_language(bytes(body), language)
            MutableHeaders(raw=opening.setdefault("headers", []))["content-length"] = str(len(whole))
            await send(opening)
            await send({"type": "http.response.body", "body": whole})

        await self.app({**scope, "headers": plain}, receive, sending)


def with_language(page: bytes, language: Language) -> bytes:
    """The HTML with its language in ``<html lang>`` and, for Gradio's own words, in ``navigator``."""
    name = json.dumps(language)
    script = (
        f'<script>for (const [key, value] of [["language", {name}], ["languages", [{name}]]]) '
        "Object.defineProperty(navigator, key, { configurable: true, get: () => value });</script>"
    )
    page = page.replace(b'lang="en"', f'lang="{language}"'.encode(), 1)
    return page.replace(b"<head>", b"<head>" + script.encode(), 1)
