"""What lies under home is written by `backend.jobs.files`, which a crash at any moment leaves old or new, never a mix.

So nothing else may write, rename or replace a file, but for what is named here, with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
MODULE = "backend/jobs/files.py"
WRITING = {"write_text", "touch", "rename", "replace", "move", "copy", "copy2", "copyfile", "renames", "link"}
ALLOWED = {
    ("backend/jobs/launch.py", "open"): "the log: what processes print, appended by the system",
    ("backend/jobs/fork_server.py", "rename"): "outside of home: a socket in a temporary folder",
    ("backend/lab/laboratory.py", "open"): "the log of a trial",
    ("backend/jobs/process.py", "open"): "where the threads of a silent job are, written by the interpreter itself",
    ("backend/data/exporter.py", "open"): "an unfinished file, placed when it is finished",
    ("backend/inference/result_files.py", "open"): "an unfinished file, placed when it is finished",
    ("backend/data/semantic.py", "open"): "an unfinished file, placed when it is finished",
    ("backend/data/importer.py", "copy2"): "into an unfinished folder, placed when it is finished",
    ("backend/data/originals.py", "copyfile"): "a convenience: one that is not whole is known by its hash",
    ("backend/data/originals.py", "link"): "a second name of the user's own file",
    ("backend/data/spreadsheets.py", "open"): "outside of home: a temporary folder",
    ("backend/sharing/package.py", "open"): "outside of home: a temporary folder, and a zip that is streamed",
    ("studio/cli_prepare.py", "write_text"): "outside of home: the user's own folder",
    ("studio/docs.py", "write_text"): "the project's own pages",
}
MODULES_OF_FILES = {"os", "shutil", "Path"}


def writes(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the name of each call that writes, renames or replaces a file."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        named = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if named == "open" and any(set("wax+") & set(mode) for mode in modes(node)):
            yield node.lineno, named
        if named == "write_bytes" and isinstance(node.func, ast.Attribute):
            yield node.lineno, named
        if named in WRITING and isinstance(node.func, ast.Attribute) and about_files(node):
            yield node.lineno, named


def modes(call: ast.Call) -> list[str]:
    """What may be the mode of an ``open``: its second argument, or the first of a path's own."""
    given = [*call.args[:2], *(each.value for each in call.keywords if each.arg == "mode")]
    texts = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return [text for text in texts if len(text) <= 3]


def about_files(call: ast.Call) -> bool:
    """Whether the call is one of the library for files: texts and tables are replaced, moved and copied too."""
    assert isinstance(call.func, ast.Attribute)
    owner = call.func.value
    name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
    if call.func.attr in ("write_text", "touch", "rename"):
        return name not in ("store", "wb", "workbook")
    return name in MODULES_OF_FILES


def found_in(source: str) -> list[str]:
    """The names of all calls that write in a piece of code."""
    return sorted(name for _line, name in writes(ast.parse(source)))


def test_nothing_but_the_durable_module_writes_under_home() -> None:
    wild, used = [], set()
    for path in sorted([*PROJECT.glob("backend/**/*.py"), *PROJECT.glob("studio/**/*.py")]):
        name = path.relative_to(PROJECT).as_posix()
        for line, call in writes(ast.parse(path.read_text("utf-8"))) if name != MODULE else ():
            if (name, call) in ALLOWED:
                used.add((name, call))
            else:
                wild.append(f"{name}:{line} {call}")
    assert wild == []
    assert used == set(ALLOWED), "what is allowed is needed"


def test_the_rule_sees_what_writes_and_nothing_else() -> None:
    assert (
        found_in("open(path, 'w'); path.open('ab'); open(path, mode='r+b'); open(path); open(path, 'rb')")
        == ["open"] * 3
    )
    assert found_in("path.write_text('x'); path.write_bytes(b''); path.rename(other); path.touch()") == [
        "rename",
        "touch",
        "write_bytes",
        "write_text",
    ]
    assert found_in("os.replace(a, b); os.rename(a, b); shutil.move(a, b)") == ["move", "rename", "replace"]
    assert found_in("text.replace('a', 'b'); write_bytes(path, b''); store.rename(run, 'x'); values.copy()") == []
