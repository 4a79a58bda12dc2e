"""A fork server that loads nothing, and whose processes tell what they are: ``python -m tests.jobs.little_server``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from backend.jobs.fork_server import Forked, Loaded, fork_in_group, keep, serve
from backend.jobs.platform import end_with_parent

MODULE = "tests.jobs.little_server"


def tell(folder: Path) -> None:
    """Write what this process is."""
    found = {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "group": os.getpgid(0),
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,
        "arguments": sys.argv,
    }
    hidden = folder / ".told"
    hidden.write_text(json.dumps(found))
    hidden.rename(folder / "told.json")


def work() -> int:
    """Tell, and end with what the folder says, or when somebody ends it."""
    folder = Path(sys.argv[1])
    tell(folder)
    print("at work", flush=True)
    ending = folder / "ending"
    while not ending.exists():
        time.sleep(0.02)
    return int(ending.read_text())


def main() -> None:
    """Serve, and do what was asked for."""
    address, *read_late = sys.argv[1:]
    if "WITH_A_THREAD" in os.environ:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    asked = serve(address, Loaded({MODULE}, dict(os.environ), read_late))
    if asked is None:
        return
    if asked.lock is not None:
        asked.connection.close()
        sys.argv = ["", str(asked.folder)]
        sys.exit(work())

    def worker() -> int:
        asked.connection.close()
        end_with_parent()
        return work()

    def start() -> Forked:
        return fork_in_group(worker, ["", str(asked.folder)])

    keep(asked.connection, start)


if __name__ == "__main__":
    main()
