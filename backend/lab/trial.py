"""The process that tries one way to train: ``python -m backend.lab.trial JOB``. See `backend.lab.bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from backend.environment import leave_card, prepare_environment
from backend.imports import without_collecting
from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext, run_job
from backend.specs import RunSpec
from backend.worker import translate


def try_out(context: JobContext) -> dict[str, Any]:
    """What `backend.lab.bench.try_out` measures; torch is imported when the environment is prepared."""
    with without_collecting():
        from backend.lab import bench

    return bench.try_out(context)


def main() -> int:
    """Try the way that is named on the command line; the exit status."""
    asked = RunSpec(**JobDirectory(Path(sys.argv[1])).spec["run"])
    leave_card(asked.compute)
    prepare_environment(asked)
    return run_job(try_out, translate)


if __name__ == "__main__":
    sys.exit(main())
