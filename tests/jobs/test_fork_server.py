"""Processes that are forked from a loaded one: they are what ordinary ones would be, or ordinary ones are started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from backend.jobs.directory import JobDirectory
from backend.jobs.forking import BEGUN, VARIABLE, ForkedElsewhere, ForkServer, begin, can_fork, fork
from backend.jobs.launch import child_environment, fork_server, launch
from backend.jobs.status import JobState
from tests.processes import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")

MODULE = "tests.jobs.little_server"
HOLDER = f"""
import os, sys, time
from pathlib import Path
from backend.jobs.forking import VARIABLE, ForkedElsewhere, ForkServer, begin, can_fork, fork
process = fork({MODULE!r}, Path(sys.argv[1]), 2, dict(os.environ))
print(process is not None, flush=True)
time.sleep(60)
"""


@contextmanager
def serving(**environ: str) -> Iterator[tuple[ForkServer, dict[str, str]]]:
    """A server with these variables, and the environment of who asks it."""
    around = {name: value for name, value in child_environment({}).items() if name != VARIABLE}
    server = ForkServer(MODULE, {**around, **environ}, read_late=["MOOD"])
    try:
        until(lambda: server.is_ready, patience_s=90)
        yield server, {**around, **environ, VARIABLE: server.address}
    finally:
        server.close()


@pytest.fixture(scope="module")
def little() -> Iterator[dict[str, str]]:
    """The environment of who asks a server that several tests share."""
    with serving() as (_, environ):
        yield environ


def told(folder: Path) -> dict[str, Any]:
    """What the process in this folder says that it is."""
    until((folder / "told.json").exists, patience_s=90)
    return json.loads((folder / "told.json").read_text())  # type: ignore[no-any-return]


def begun(folder: Path, environ: dict[str, str], module: str = MODULE) -> bool:
    with open(folder / "lock", "wb") as lock, open(folder / "log", "ab") as log:
        return begin(module, folder, lock.fileno(), log.fileno(), environ)


@contextmanager
def held(folder: Path, environ: dict[str, str]) -> Iterator[ForkedElsewhere]:
    with open(folder / "log", "ab") as log:
        process = fork(MODULE, folder, log.fileno(), environ)
    assert process is not None
    try:
        yield process
    finally:
        process.kill()


def end(folder: Path, status: int) -> None:
    (folder / ".ending").write_text(str(status))
    (folder / ".ending").rename(folder / "ending")


def test_forked_process_is_what_an_ordinary_one_would_be(tmp_path: Path, little: dict[str, str]) -> None:
    asked = {**little, "MOOD": "good", "HF_TOKEN": "secret", "STUDIO_RUNS_AT_ONCE": "3"}
    assert begun(tmp_path, asked)
    found = told(tmp_path)
    assert found["session"] == found["pid"] == found["group"], "it outlives a terminal"
    assert found["cwd"] == str(tmp_path)
    assert found["environ"] == asked
    assert found["descriptors"] == 4, "the three streams and the lock"
    end(tmp_path, 0)
    until(lambda: (tmp_path / "log").read_text() == "at work\n")


@pytest.mark.parametrize(
    ("changes", "module"),
    [({"HF_ENDPOINT": "http://127.0.0.1:1"}, MODULE), ({"OMP_NUM_THREADS": "7"}, MODULE), ({}, "backend.worker")],
)
def test_what_would_have_loaded_something_else_is_left_to_an_ordinary_process(
    tmp_path: Path, little: dict[str, str], changes: dict[str, str], module: str
) -> None:
    assert not begun(tmp_path, little | changes, module)
    assert not (tmp_path / "told.json").exists()


def test_request_that_cannot_be_met_leaves_no_second_server(tmp_path: Path, little: dict[str, str]) -> None:
    with open(tmp_path / "lock", "wb") as lock, open(tmp_path / "log", "ab") as log:
        assert not begin(MODULE, tmp_path / "gone", lock.fileno(), log.fileno(), little)
    until(lambda: "FileNotFoundError" in (tmp_path / "log").read_text())

    def servers() -> int:
        named = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
        return sum(little[VARIABLE] in (command or ()) for command in named)

    until(lambda: servers() == 1, patience_s=60)
    assert begun(tmp_path, little)
    end(tmp_path, 0)


def test_variable_that_is_missing_counts_as_another_environment(tmp_path: Path) -> None:
    with serving(OMP_SCHEDULE="static") as (_, environ):
        assert not begun(tmp_path, {name: value for name, value in environ.items() if name != "OMP_SCHEDULE"})
        assert begun(tmp_path, environ)
        end(tmp_path, 0)


def test_without_a_server_ordinary_processes_are_started(tmp_path: Path) -> None:
    with serving() as (server, environ):
        os.kill(server.process_id, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(server.process_id)], timeout=60)
        assert not begun(tmp_path, environ)
    assert not begun(tmp_path, environ), "its folder is gone, too"
    assert not begun(tmp_path, {name: value for name, value in environ.items() if name != VARIABLE})


def test_server_ends_with_whoever_started_it_and_what_it_forked_goes_on(tmp_path: Path) -> None:
    with serving() as (server, environ):
        assert begun(tmp_path, environ)
        process = psutil.Process(told(tmp_path)["pid"])
        assert os.getpgid(server.process_id) == server.process_id, "Ctrl-C is not for it"
    until(lambda: not psutil.pid_exists(server.process_id), patience_s=60)
    assert process.is_running()
    assert process.status() != psutil.STATUS_ZOMBIE
    end(tmp_path, 0)
    until(lambda: not process.is_running(), patience_s=60)

    program = (
        "import sys; from backend.jobs.forking import ForkServer; from backend.jobs.launch import child_environment;"
        f"server = ForkServer({MODULE!r}, child_environment({{}}));"
        "print(server.process_id, server.address, flush=True); sys.stdin.read()"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ
    )
    assert starter.stdout is not None
    number, address = starter.stdout.readline().split()
    until(lambda: Path(address).exists(), patience_s=90)
    starter.kill()
    starter.communicate()
    until(lambda: not psutil.pid_exists(int(number)), patience_s=60)
    assert not Path(address).parent.exists()


def test_threads_that_a_library_has_started_forbid_forking(capfd: pytest.CaptureFixture[str]) -> None:
    environ = {**child_environment({}), "WITH_A_THREAD": "yes"}
    server = ForkServer(MODULE, environ)
    try:
        gone, _ = psutil.wait_procs([psutil.Process(server.process_id)], timeout=90)
        assert gone
        assert not server.is_ready
    finally:
        server.close()
    assert "has started threads (1)" in capfd.readouterr().err


def test_process_begins_only_when_who_asked_has_heard_of_it(tmp_path: Path, little: dict[str, str]) -> None:
    request = json.dumps({"module": MODULE, "folder": str(tmp_path), "environ": little}).encode()
    with open(tmp_path / "lock", "wb") as lock, open(tmp_path / "log", "ab") as log:
        for hears in (False, True):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.connect(little[VARIABLE])
                socket.send_fds(connection, [request], [log.fileno(), lock.fileno()])
                assert not hears or connection.recv(1) == BEGUN
                time.sleep(0.3)  # it could begin
    time.sleep(0.3)
    assert not (tmp_path / "told.json").exists()
    assert begun(tmp_path, little), "and the server goes on"
    end(tmp_path, 0)


def test_who_asks_nothing_keeps_nobody_else_waiting_for_long(tmp_path: Path, little: dict[str, str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(little[VARIABLE])
        assert begun(tmp_path, little)
    end(tmp_path, 0)


def test_folder_of_a_server_is_all_that_it_removes(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("")
    subprocess.run([sys.executable, "-m", MODULE, str(tmp_path / "socket")], stdin=subprocess.DEVNULL, check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.parametrize("status", [0, 3])
def test_end_of_a_held_process_is_told(tmp_path: Path, little: dict[str, str], status: int) -> None:
    with held(tmp_path, little) as process:
        assert told(tmp_path)["arguments"] == ["", str(tmp_path)]
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)
        end(tmp_path, status)
        assert process.wait(60) == process.poll() == process.returncode == status


@pytest.mark.parametrize("which", ["pid", "parent"])
def test_held_process_or_its_keeper_that_is_killed_has_ended(
    tmp_path: Path, little: dict[str, str], which: str
) -> None:
    with held(tmp_path, little) as process:
        os.kill(told(tmp_path)[which], signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL


def test_held_process_ends_when_it_is_killed_or_its_holder_is(tmp_path: Path, little: dict[str, str]) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with held(first, little) as process:
        both = [told(first)[which] for which in ("pid", "parent")]
        process.kill()
        assert process.poll() == -signal.SIGKILL
        until(lambda: not any(map(psutil.pid_exists, both)), patience_s=60)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(second)], stdout=subprocess.PIPE, env=little, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    both = [told(second)[which] for which in ("pid", "parent")]
    holder.kill()
    holder.communicate()
    until(lambda: not any(map(psutil.pid_exists, both)), patience_s=60)


def test_job_whose_module_is_not_served_is_done_by_an_ordinary_process(
    tmp_path: Path, little: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, little[VARIABLE])
    (tmp_path / "job_module.py").write_text(
        "import sys; from backend.jobs.process import run_job; sys.exit(run_job(lambda context: {}))"
    )
    job = JobDirectory.create(tmp_path, kind="test", module="job_module", spec={})
    launch(job, environ={"PYTHONPATH": str(tmp_path)})
    until(lambda: job.status().state is JobState.COMPLETED)


def test_environment_that_names_a_server_or_none_on_purpose_gets_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for named in ("", "/there/socket"):
        monkeypatch.setenv(VARIABLE, named)
        with fork_server() as server:
            assert server is None
        assert os.environ[VARIABLE] == named
    monkeypatch.delenv(VARIABLE)
    with fork_server() as server:
        assert (server is not None) == can_fork()
        assert os.environ.get(VARIABLE) == (server.address if server else None)
    assert VARIABLE not in os.environ
