"""The process that tries one way to train: ``python -m backend.lab.trial JOB``. See `backend.lab.bench`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from backend.imports import without_collecting
from backend.jobs.directory import JobDirectory
from backend.jobs.process import JobContext, run_job
from backend.specs import RunSpec
from backend.worker import prepare_environment, translate


def try_out(context: JobContext) -> dict[str, Any]:
    """What `backend.lab.bench.try_out` measures; torch is imported when the environment is prepared."""
    with without_collecting():
        from backend.lab import bench

    return bench.try_out(context)


if __name__ == "__main__":
    prepare_environment(RunSpec(**JobDirectory(Path(sys.argv[1])).spec["run"]))
    sys.exit(run_job(try_out, translate))
