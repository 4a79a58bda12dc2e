"""Starting the studio: one port, one page in each language, no request to anybody else."""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import threading
import warnings
import webbrowser
from collections.abc import Callable
from contextlib import ExitStack, closing

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from backend.errors import PortTaken
from backend.imports import without_collecting
from backend.inference.client import PredictorPool
from backend.jobs.launch import fork_server
from backend.jobs.store import RunStore
from backend.settings import Home
from backend.sharing.tokens import find_token
from studio.i18n import ASSETS, LANGUAGES, Language, words
from studio.page_language import PageLanguage
from studio.security import LOCAL_HOSTS, OwnPagesOnly
from studio.services import Services

PORTS_TRIED = 20


def build_server(home: Home, *, hosts: tuple[str, ...] = LOCAL_HOSTS) -> FastAPI:
    """The whole web application for a home: pages, interface and assets, ready to be served."""
    _no_analytics()
    with without_collecting():
        return _built(home, hosts)


def _built(home: Home, hosts: tuple[str, ...]) -> FastAPI:
    import gradio as gr
    import plotly.offline

    from studio.api import build_router, word_errors
    from studio.build import PATHS, build_pages
    from studio.theme import HEAD, build_theme

    found = find_token(os.environ, folders=(home.path,))
    services = Services(
        home=home.prepare(),
        store=RunStore(home),
        predictors=PredictorPool(),
        hub_token=found.token if found else None,
        hub_token_source=found.source if found else "",
    )
    # What waited for its turn when the machine was shut down waits again.
    services.store.revive(environ=services.secrets)
    app = FastAPI(title="Studio", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.services = services
    app.include_router(build_router(services))
    word_errors(app, home)
    app.mount("/studio-assets", StaticFiles(directory=ASSETS / "web"), name="assets")

    plotly_script = plotly.offline.get_plotlyjs().encode()

    @app.get("/plotly.js")
    def plotly_js() -> PlainTextResponse:
        """The plotly.js of the installed plotly package."""
        return PlainTextResponse(
            plotly_script, media_type="text/javascript", headers={"Cache-Control": "max-age=86400"}
        )

    words_script = _words_script()

    @app.get("/words.js")
    def words_js() -> PlainTextResponse:
        """The words that the pages' scripts show, in every language."""
        return PlainTextResponse(words_script, media_type="text/javascript")

    @app.get("/favicon.ico")
    def favicon() -> FileResponse:
        """The icon of the browser tab."""
        return FileResponse(ASSETS / "web" / "icon.svg", media_type="image/svg+xml")

    @app.get("/zh/")
    def chinese() -> RedirectResponse:
        """The Chinese pages live at /zh."""
        return RedirectResponse("/zh")

    with warnings.catch_warnings():
        # Gradio warns that pages in two languages are not rendered on the server, which was not asked for.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(
            app,
            build_pages(services),
            path="/",
            theme=build_theme(),
            head=HEAD,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            show_error=True,
            allowed_paths=[],
        )
    app.add_middleware(PageLanguage, paths={path: language for language, path in PATHS.items()})
    app.add_middleware(OwnPagesOnly, hosts=hosts)
    return app


def serve(
    home: Home,
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    open_browser: bool = True,
    share: bool = False,
    language: Language = "en",
    tell: Callable[[str, dict[str, object]], None],
) -> None:
    """Serve until interrupted. ``tell(key, facts)`` is called with what the user should read in the terminal.

    Raises:
        PortTaken: neither ``port`` nor the next ones are free.
        HomeUnusable: the home cannot be written.
    """
    listener = _listen(host, port)
    actual = listener.getsockname()[1]
    if actual != port:
        tell("server.port_moved", {"taken": str(port), "port": str(actual)})
    local = host in ("127.0.0.1", "localhost", "::1") and not share
    app = build_server(home, hosts=LOCAL_HOSTS if local else ("*",))
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{actual}/" + ("zh" if language == "zh-CN" else "")
    if not local:
        tell("server.open_to_others", {})

    def announce() -> None:
        tell("server.ready", {"url": url, "home": str(home.path)})
        # Not earlier: it takes a core for some seconds. Not later: a browser in the terminal stays until it is left.
        at_end.enter_context(fork_server())
        if open_browser:
            webbrowser.open(url)
        if share:
            tell("server.shared", {"url": _tunnel(actual)})

    at_end = ExitStack()
    at_end.callback(app.state.services.predictors.close)
    server = _AnnouncingServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2), announce)
    with at_end:
        server.run(sockets=[listener])


def _words_script() -> str:
    from studio.components import SCRIPT_WORDS

    def wanted(key: str) -> bool:
        return any(key == name or (name.endswith(".") and key.startswith(name)) for name in SCRIPT_WORDS)

    chosen = {language: {k: v for k, v in words(language).texts.items() if wanted(k)} for language in LANGUAGES}
    return f"const StudioWords = {json.dumps(chosen, ensure_ascii=False)};"


class _AnnouncingServer(uvicorn.Server):
    """A server that says when it is ready."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            threading.Thread(target=self._announce, daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Pages that are open listen to the last: that they are cut off then is no error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = port + PORTS_TRIED - 1 if port else 0
    for candidate in range(port, last + 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if candidate:
                _refuse_if_served(family, host, candidate)
            listener.bind((host, candidate))
        except OSError:
            listener.close()
            continue
        listener.listen(128)
        return listener
    raise PortTaken(first=port, last=last)


def _refuse_if_served(family: int, host: str, port: int) -> None:
    # A server on 0.0.0.0 lets another bind 127.0.0.1 beside it on some systems: ask whether anybody answers.
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.settimeout(0.3)
        if probe.connect_ex((target, port)) == 0:
            raise OSError(f"port {port} is in use")


def _tunnel(port: int) -> str:
    from gradio.networking import setup_tunnel

    return setup_tunnel("127.0.0.1", port, secrets.token_urlsafe(32), None, None)


def _no_analytics() -> None:
    # Read by the libraries when they are imported: nothing leaves the machine unasked.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
