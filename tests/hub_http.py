"""How a Hub of the tests hears and answers over HTTP: its server's ``hub`` answers each request, or refuses it.

The hub has ``answer(request, method)``, ``delay_s``, and the lists ``asked`` and ``sent``.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Asked:
    """One request that arrived."""

    method: str
    path: str
    token: str
    body: Any
    """The JSON, the lines of JSON, or None for other content."""


class Refusal(Exception):
    """An answer other than success: the Hub tells its reason in headers as well as in the body."""

    def __init__(self, status: int, message: str, code: str = "", body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.body = body or {"error": message}


@dataclass(frozen=True)
class Download:
    """A file's content, to be sent with its hash and commit."""

    content: bytes
    large: bool
    sha: str


@dataclass(frozen=True)
class Viewed:
    """What the viewer knows, and of which commit."""

    document: dict[str, Any]
    sha: str


class Request:
    """One request as the handlers see it; the body is read once, when it is wanted."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._handler = handler
        url = urlsplit(handler.path)
        self.path = unquote(url.path)
        self.query = parse_qs(url.query)
        scheme, _, token = handler.headers.get("Authorization", "").partition(" ")
        self.token = token.strip() if scheme == "Bearer" else ""
        self.body: Any = None
        self._unread = True

    def read(self, bytes_per_second: float | None = None) -> bytes:
        """The whole body, no faster than this."""
        if not self._unread:
            return b""
        self._unread = False
        if "chunked" in self._handler.headers.get("Transfer-Encoding", ""):
            return self._read_chunked()
        left = int(self._handler.headers.get("Content-Length") or 0)
        content = bytearray()
        while left:
            piece = self._handler.rfile.read(min(CHUNK_BYTES, left))
            if not piece:
                raise ConnectionError("the client went away")
            content += piece
            left -= len(piece)
            if bytes_per_second:
                time.sleep(len(piece) / bytes_per_second)
        return bytes(content)

    def _read_chunked(self) -> bytes:
        content = bytearray()
        while size := int(self._handler.rfile.readline().split(b";")[0], 16):
            content += self._handler.rfile.read(size)
            self._handler.rfile.readline()
        self._handler.rfile.readline()
        return bytes(content)

    def json(self) -> Any:
        """The body as JSON."""
        self.body = json.loads(self.read())
        return self.body

    def json_lines(self) -> list[Any]:
        """The body as lines of JSON."""
        self.body = [json.loads(line) for line in self.read().splitlines()]
        return list(self.body)

    def form(self) -> dict[str, list[str]]:
        """The body as a form."""
        self.body = parse_qs(self.read().decode())
        return dict(self.body)


class Handler(BaseHTTPRequestHandler):
    """Answers of ``server.hub``, as the Hub sends them."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        hub: Any = self.server.hub  # type: ignore[attr-defined]
        request = Request(self)
        method = "GET" if self.command == "HEAD" else self.command
        time.sleep(hub.delay_s)
        try:
            answer = hub.answer(request, method)
        except Refusal as refusal:
            request.read()
            headers = {"X-Error-Message": refusal.message, "X-Error-Code": refusal.code}
            self._send(refusal.status, json.dumps(refusal.body).encode(), headers)
        except ConnectionError:
            self.close_connection = True
        else:
            request.read()
            self._send_answer(answer)
        finally:
            hub.asked.append(Asked(self.command, request.path, request.token, request.body))

    def _send_answer(self, answer: Any) -> None:
        if isinstance(answer, Viewed):
            headers = {"Content-Type": "application/json", "X-Revision": answer.sha}
            self._send(200, json.dumps(answer.document).encode(), headers)
            return
        if not isinstance(answer, Download):
            self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})
            return
        etag = hashlib.sha256(answer.content).hexdigest() if answer.large else git_oid(answer.content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": answer.sha, "Accept-Ranges": "bytes"}
        if answer.large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(answer.content))}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        content, status = answer.content, 200
        if asked:
            size, start = len(content), int(asked[1])
            end = min(int(asked[2] or size - 1), size - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{size}"
            content, status = content[start : end + 1], 206
        if self.command != "HEAD":
            hub: Any = self.server.hub  # type: ignore[attr-defined]
            hub.sent.append((unquote(urlsplit(self.path).path), len(content)))
        self._send(status, content, headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except ConnectionError:
            self.close_connection = True  # the client went away; what it asked was done all the same

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: `HubStandIn.asked` has it all."""


def git_oid(content: bytes) -> str:
    """The id git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
