"""What containers allow of memory and processors, told from the files of both versions of control groups."""

from __future__ import annotations

import math
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend import machine
from backend.control_groups import NO_LIMIT, allowed_memory, allowed_processors, left_memory

GB = 1 << 30
PROJECT = Path(__file__).resolve().parents[1]
ROOT_OF_VERSION_1 = Path("/sys/fs/cgroup/memory")


def write(folder: Path, **files: str) -> None:
    """Files of a control group; a double underscore in a name stands for the dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, "ascii")


def test_without_control_groups_everything_is_allowed(tmp_path: Path) -> None:
    assert allowed_memory(tmp_path) == left_memory(tmp_path) == NO_LIMIT


@pytest.mark.parametrize("path", ["/", "/system.slice/docker-12ab.scope"])
def test_container_is_told_its_limit_whatever_the_system_calls_it(tmp_path: Path, path: str) -> None:
    write(tmp_path / "proc/self", cgroup=f"0::{path}\n")
    stat = f"anon {GB}\ninactive_file {GB // 4}\nactive_file {GB // 4}\n"
    top = tmp_path / "sys/fs/cgroup"
    write(top, memory__max=f"{4 * GB}\n", memory__current=f"{2 * GB}\n", memory__stat=stat)
    assert allowed_memory(tmp_path) == 4 * GB
    assert left_memory(tmp_path) == 2.5 * GB, "what is kept of files is let go"


def test_limit_holds_where_nothing_tells_what_is_kept_of_files(tmp_path: Path) -> None:
    write(tmp_path / "proc/self", cgroup="0::/\n")
    write(tmp_path / "sys/fs/cgroup", memory__max=f"{4 * GB}\n")
    assert allowed_memory(tmp_path) == left_memory(tmp_path) == 4 * GB
    write(tmp_path / "sys/fs/cgroup", memory__current=f"{GB}\n")
    assert left_memory(tmp_path) == 3 * GB


def test_group_above_may_be_the_one_that_limits(tmp_path: Path) -> None:
    write(tmp_path / "proc/self", cgroup="0::/user.slice/run.scope\n")
    top, empty = tmp_path / "sys/fs/cgroup", "inactive_file 0\n"
    write(top / "user.slice", memory__max=f"{2 * GB}\n", memory__current=f"{GB}\n", memory__stat=empty)
    run = top / "user.slice/run.scope"
    write(run, memory__max=f"{8 * GB}\n", memory__current=f"{GB // 2}\n", memory__stat=empty)
    assert (allowed_memory(tmp_path), left_memory(tmp_path)) == (2 * GB, GB)
    write(top / "user.slice", memory__max="max\n")
    assert (allowed_memory(tmp_path), left_memory(tmp_path)) == (8 * GB, 7.5 * GB)


def test_first_version_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "proc/self", cgroup="5:cpu,cpuacct:/x\n3:memory:/docker/12ab\n0::/x\n")
    group = tmp_path / "sys/fs/cgroup/memory/docker/12ab"
    files = {"memory__limit_in_bytes": f"{3 * GB}\n", "memory__usage_in_bytes": f"{5 * GB}\n"}
    write(group, **files, memory__stat="inactive_file 7\ntotal_inactive_file 0\n")
    assert allowed_memory(tmp_path) == 3 * GB
    assert left_memory(tmp_path) == 0, "more than is allowed is in use: nothing is left"


@pytest.mark.parametrize(("limit", "allowed"), [("max 100000", math.inf), ("150000 100000", 1.5), ("", math.inf)])
def test_container_is_told_of_how_many_processors_it_has_the_time(tmp_path: Path, limit: str, allowed: float) -> None:
    write(tmp_path / "proc/self", cgroup="0::/app\n")
    assert allowed_processors(tmp_path) == math.inf
    write(tmp_path / "sys/fs/cgroup/app", cpu__max=f"{limit}\n")
    assert allowed_processors(tmp_path) == allowed
    write(tmp_path / "sys/fs/cgroup", cpu__max="50000 100000\n")
    assert allowed_processors(tmp_path) == 0.5, "the group above limits it, too"


@pytest.mark.parametrize(("quota", "allowed"), [("-1", math.inf), ("400000", 4)])
def test_processors_are_told_by_the_first_version_too(tmp_path: Path, quota: str, allowed: float) -> None:
    write(tmp_path / "proc/self", cgroup="5:cpu,cpuacct:/x\n3:memory:/\n")
    write(tmp_path / "sys/fs/cgroup/cpu/x", cpu__cfs_quota_us=f"{quota}\n", cpu__cfs_period_us="100000\n")
    assert allowed_processors(tmp_path) == allowed


def test_no_more_threads_compute_than_the_group_has_the_time_of(monkeypatch: pytest.MonkeyPatch) -> None:
    there = machine.usable_threads()
    for allowed, threads in ((0.5, 1), (1.0, 1), (there + 0.5, there)):
        monkeypatch.setattr(machine, "allowed_processors", lambda allowed=allowed: allowed)
        assert machine.usable_threads() == threads


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A real control group of 512 MiB; the test is skipped where this user may not make one."""
    group = ROOT_OF_VERSION_1 / f"studio-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(GB // 2), "ascii")
    except OSError as error:
        pytest.skip(f"a control group with a limit of memory cannot be made here: {error}")
    yield group
    group.rmdir()


def test_process_in_a_real_group_plans_with_what_the_group_has_left(small_group: Path) -> None:
    said = "from backend.machine import available_memory, usable_memory; print(usable_memory(), available_memory())"
    join = f'echo $$ > "{small_group}/cgroup.procs" && exec "{sys.executable}" -c "{said}"'
    done = subprocess.run(["sh", "-c", join], capture_output=True, text=True, check=True, cwd=PROJECT)
    usable, available = map(int, done.stdout.split())
    assert usable == GB // 2
    assert GB // 8 < available < GB // 2
