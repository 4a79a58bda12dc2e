"""Where the token for the Hub comes from. It is only ever read: never written, never logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TOKEN_VARIABLE = "HF_TOKEN"
DOTENV = ".env"
LOGIN = "hf auth login"


@dataclass(frozen=True)
class FoundToken:
    """A token and where it was found: ``HF_TOKEN``, ``.env`` or ``hf auth login``."""

    token: str = field(repr=False)
    source: str


def find_token(
    environ: Mapping[str, str], *, folders: Iterable[Path] = (), working_folder: Path | None = None
) -> FoundToken | None:
    """The first token of: ``HF_TOKEN`` in ``environ``, a ``.env`` file in the working folder or in ``folders``,
    the login that ``hf auth login`` left on this machine. None if there is none."""
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if token:
        return FoundToken(token, TOKEN_VARIABLE)
    for folder in (working_folder or Path.cwd(), *folders):
        token = read_dotenv(folder / DOTENV).get(TOKEN_VARIABLE, "").strip()
        if token:
            return FoundToken(token, DOTENV)
    token = _read(login_path(environ)).strip()
    return FoundToken(token, LOGIN) if token else None


def login_path(environ: Mapping[str, str]) -> Path:
    """Where ``hf auth login`` keeps its token.

    Source: "Environment variables" in the documentation of huggingface_hub. Its own ``get_token`` is not used since
    it reads the environment once, when it is imported.
    """
    if "HF_TOKEN_PATH" in environ:
        return Path(environ["HF_TOKEN_PATH"]).expanduser()
    home = environ.get("HOME") or str(Path.home())
    cache = environ.get("XDG_CACHE_HOME") or f"{home}/.cache"
    return Path(environ.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "token"


def read_dotenv(path: Path) -> dict[str, str]:
    """The ``NAME=value`` lines of a file, with or without ``export`` and quotes; empty if there is no such file."""
    values = {}
    for line in _read(path).splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        quote = value[:1]
        if quote in ("'", '"') and quote in value[1:]:
            value = value[1 : value.index(quote, 1)]
        else:
            value = value.partition(" #")[0].rstrip()
        values[name.strip()] = value
    return values


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        # Not there, not ours to read, or no text: then no token comes from here, and the next place is asked.
        return ""
