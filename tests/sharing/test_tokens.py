"""Where a token is looked for, in which order, and that it stays out of sight."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.sharing.tokens import find_token, read_dotenv


@pytest.fixture
def nothing(tmp_path: Path) -> dict[str, str]:
    """An environment in which no token can be found."""
    return {"HOME": str(tmp_path / "nobody")}


def found(environ: dict[str, str], working: Path, *folders: Path) -> tuple[str, str] | None:
    token = find_token(environ, folders=folders, working_folder=working)
    return (token.token, token.source) if token else None


def test_no_token_anywhere(nothing: dict[str, str], tmp_path: Path):
    assert found(nothing, tmp_path) is None


def test_places_are_asked_in_order(nothing: dict[str, str], tmp_path: Path):
    login = tmp_path / "nobody" / ".cache" / "huggingface" / "token"
    login.parent.mkdir(parents=True)
    login.write_text("hf_login\n")
    home, working = tmp_path / "home", tmp_path / "working"
    home.mkdir()
    working.mkdir()
    assert found(nothing, working, home) == ("hf_login", "hf auth login")
    (home / ".env").write_text("HF_TOKEN=hf_home\n")
    assert found(nothing, working, home) == ("hf_home", ".env")
    (working / ".env").write_text("HF_TOKEN=hf_working\n")
    assert found(nothing, working, home) == ("hf_working", ".env")
    assert found({**nothing, "HF_TOKEN": " hf_environment "}, working, home) == ("hf_environment", "HF_TOKEN")


def test_login_is_found_where_the_hub_client_keeps_it(nothing: dict[str, str], tmp_path: Path):
    (tmp_path / "token").write_text("hf_elsewhere")
    assert found({**nothing, "HF_HOME": str(tmp_path)}, tmp_path) == ("hf_elsewhere", "hf auth login")
    assert found({**nothing, "HF_TOKEN_PATH": str(tmp_path / "token")}, tmp_path) == ("hf_elsewhere", "hf auth login")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("HF_TOKEN=hf_a", "hf_a"),
        ("export HF_TOKEN = hf_a", "hf_a"),
        ("HF_TOKEN='hf_a'", "hf_a"),
        ('HF_TOKEN="hf_a" # mine', "hf_a"),
        ("HF_TOKEN=hf_a # mine", "hf_a"),
        ("# HF_TOKEN=hf_a", None),
        ("HF_TOKEN", None),
        ("HF_TOKEN=", ""),
    ],
)
def test_dotenv_lines(tmp_path: Path, line: str, expected: str | None):
    path = tmp_path / ".env"
    path.write_text(f"\ufeffOTHER=1\n\n{line}\n", "utf-8")
    assert read_dotenv(path).get("HF_TOKEN") == expected


def test_unreadable_dotenv_is_passed_over(nothing: dict[str, str], tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00HF_TOKEN=hf_a")
    assert found(nothing, tmp_path) is None
    (tmp_path / "folder" / ".env").mkdir(parents=True)
    assert found(nothing, tmp_path / "folder") is None


def test_token_does_not_show_when_it_is_printed():
    token = find_token({"HF_TOKEN": "hf_secret"})
    assert "hf_secret" not in repr(token)
    assert "hf_secret" not in str(token)
