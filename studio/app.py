"""The entry of a Hugging Face Space and of ``python app.py``: the same server, on the host and port it is given."""

from __future__ import annotations

import os


def main() -> None:
    """Serve as a Hugging Face Space or from ``python app.py``: the host and port come from the environment."""
    from studio.cli import main as command

    host = os.environ.get("GRADIO_SERVER_NAME") or ("0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1")
    port = os.environ.get("GRADIO_SERVER_PORT") or "7860"
    command(["--host", host, "--port", port, "--no-browser"])
