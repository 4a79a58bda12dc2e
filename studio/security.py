"""Who may talk to the studio: requests for its own host, and changes only from its own pages.

A web page elsewhere can make a browser send requests to 127.0.0.1. Two checks stop that: the ``Host`` header must
name this machine (against DNS rebinding), and a request that changes something must not come from another origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-ancestors 'self' https://huggingface.co; object-src 'none'; base-uri 'self'"
)
"""Holds the promise that pages ask nobody else for anything. Gradio builds functions from text, hence unsafe-eval."""


class OwnPagesOnly:
    """ASGI middleware that refuses foreign hosts and changes asked for by foreign pages.

    ``hosts`` are names without a port; ``*`` allows any (where the studio is served to others on purpose).
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it with 400 or 403."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if "*" not in self.hosts and _name(host) not in self.hosts:
            await PlainTextResponse("unknown host", 400)(scope, receive, send)
            return
        if scope.get("method", "GET") not in SAFE_METHODS and not _same_origin(headers, host):
            await PlainTextResponse("request from another page", 403)(scope, receive, send)
            return
        await self.app(scope, receive, _with_headers(send))


def _name(host: str) -> str:
    bracket = host.rfind("]")
    return host[: bracket + 1] if bracket >= 0 else host.rpartition(":")[0] or host


def _same_origin(headers: dict[str, str], host: str) -> bool:
    # Browsers send Origin with every request that changes something; programs without a browser send none.
    origin = headers.get("origin")
    if origin is not None:
        forwarded = headers.get("x-forwarded-host", host)
        return urlsplit(origin).netloc in (host, forwarded)
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _with_headers(send: Send) -> Send:
    async def sending(message: dict) -> None:  # type: ignore[type-arg]
        if message["type"] == "http.response.start":
            message["headers"] = [
                *message["headers"],
                (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
                (b"x-content-type-options", b"nosniff"),
                (b"referrer-policy", b"same-origin"),
            ]
        await send(message)

    return sending  # type: ignore[return-value]
