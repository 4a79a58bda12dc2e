"""A real studio, started as a user starts it, for the browser tests and the pictures."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from backend.jobs.store import RunStore
from backend.settings import Home

PROJECT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 180.0


class StudioProcess:
    """``python -m studio`` on a home of its own."""

    def __init__(self, home: Path, port: int = 0, environ: dict[str, str] | None = None) -> None:
        self.home = home
        self.log = home.parent / f"studio-{time.monotonic_ns()}.log"
        environment = {**os.environ, "STUDIO_LANG": "en", "HF_HUB_OFFLINE": "", **(environ or {})}
        environment.pop("HF_TOKEN", None)
        environment |= {name: value for name, value in (environ or {}).items() if name == "HF_TOKEN"}
        command = [sys.executable, "-m", "studio", "--no-browser", "--port", str(port), "--home", str(home)]
        self._stream = open(self.log, "wb")  # noqa: SIM115 - closed with the process
        self.process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=self._stream, stderr=self._stream)
        self.url = self._await_url()

    def _await_url(self) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text("utf-8", "replace"))
            if found:
                return found.group()
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError(f"the studio did not start:\n{self.log.read_text('utf-8', 'replace')[-3000:]}")

    @property
    def port(self) -> int:
        """The port it took."""
        return int(self.url.rpartition(":")[2])

    def resident_bytes(self) -> int:
        """Memory of the studio's own process that is in RAM."""
        import psutil

        return int(psutil.Process(self.process.pid).memory_info().rss)

    def runs(self) -> list[dict[str, object]]:
        """What the interface tells about the runs."""
        document: dict[str, list[dict[str, object]]] = httpx.get(f"{self.url}/api/runs").json()
        return document["runs"]

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self._stream.close()

    def close(self) -> None:
        """End it as Ctrl-C does, and its runs, which would otherwise outlive the tests."""
        store = RunStore(Home(self.home))
        for run in store.summaries() if store.home.runs.exists() else []:
            store.stop(run.id)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        self._stream.close()
