"""The job that tries ways to train: ``python -m backend.lab.laboratory JOB``.

Each way is tried by a process of its own (`backend.lab.trial`), one after the other: what one of them takes of memory,
compiles or leaves behind is nothing to the next. Needs no torch itself.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from backend.data.labelling import LabelledTexts
from backend.data.splitting import Splits
from backend.errors import StudioError
from backend.jobs import phases
from backend.jobs.directory import JobDirectory
from backend.jobs.events import CombinationTried, JobCompleted
from backend.jobs.files import write_json
from backend.jobs.forking import ForkedElsewhere, fork
from backend.jobs.launch import child_environment
from backend.jobs.platform import memory_kills
from backend.jobs.process import JobContext, StopRequested, run_job
from backend.jobs.supervisor import Watched, describe_end
from backend.lab.starting import ways_of
from backend.recipes import with_recipe
from backend.specs import RunSpec, build_spec
from backend.worker import divide, read

TRIAL_MODULE = "backend.lab.trial"
MEASURING = "measuring"
TrialProcess = subprocess.Popen[bytes] | ForkedElsewhere
LOOK_INTERVAL_S = 0.1
STOPPING_S = 10.0
"""A trial hears a stop at its next step; after this time it is ended."""


def measure(context: JobContext) -> dict[str, Any]:
    """Try each way that was asked for; the result: ``{"tried": number, "train_rows": rows}``.

    A way that fails (too little memory, say) is told as such, and the next one is tried. Ways that come to the same
    settings are tried once.

    Raises:
        StudioError: the data or the settings will not do.
        StopRequested: the user stopped it; what was measured is told already.
    """
    asked, wanted = context.spec, RunSpec(**context.spec["run"])
    alone = {"device": wanted.compute.device}  # by one process
    spec = with_recipe(build_spec({**asked["run"], "compute": alone}))
    ways = {way.code: way for way in ways_of(spec)}
    with context.phase(phases.READING):
        rows, labelled = read(context, spec)
    with context.phase(phases.SPLITTING):
        labelled, splits = divide(context, rows, labelled, spec)
        sample = write_sample(context.path / "rows.json", labelled, splits, spec, asked["steps"])
    folder, known = context.path / "trials", dict[str, tuple[dict[str, Any] | None, StudioError | None]]()
    folder.mkdir()
    with context.phase(MEASURING):
        for number, code in enumerate(asked["codes"]):
            context.progress(number, len(asked["codes"]), unit="combinations")
            way = ways[code]
            tried = way.applied(spec)
            if (same := tried.model_dump_json()) not in known:  # what was chosen may be what Auto would take
                trial = {"run": tried.model_dump(mode="json"), "rows": str(sample), "steps": asked["steps"]}
                known[same] = try_one(context, folder, trial | {"train_rows": len(splits.train)})
            figures, error = known[same]
            context.emit(CombinationTried(code, way.changes, figures, error.to_dict() if error else None))
        context.progress(len(asked["codes"]), len(asked["codes"]), unit="combinations")
    return {"tried": len(asked["codes"]), "train_rows": len(splits.train)}


def write_sample(path: Path, labelled: LabelledTexts, splits: Splits, spec: RunSpec, steps: int) -> Path:
    """Write training rows for one more than so many optimizer steps, drawn by the seed: the same for every way."""
    batch = (spec.training.batch_size or 1) * spec.training.accumulation
    drawn = np.random.default_rng(spec.split.seed).permutation(splits.train)[: (steps + 1) * batch]
    document = {
        "texts": [labelled.texts[row] for row in drawn],
        "targets": labelled.targets[drawn].tolist(),
        "labels": labelled.labels,
        "task": labelled.task,
    }
    write_json(path, document)
    return path


def try_one(
    context: JobContext, folder: Path, asked: dict[str, Any]
) -> tuple[dict[str, Any] | None, StudioError | None]:
    """The figures of one way to train, or why there are none.

    Raises:
        StopRequested: meanwhile.
    """
    trial, watched = JobDirectory.create(folder, kind="trial", module=TRIAL_MODULE, spec=asked), Watched(memory_kills())
    process = _start(trial)
    try:
        while process.poll() is None:
            context.check_stop()
            time.sleep(LOOK_INTERVAL_S)
    except StopRequested:
        _end(process, trial)
        raise
    ended = trial.ended_event()
    if isinstance(ended, JobCompleted):
        return ended.result, None
    return None, StudioError.from_dict(describe_end(trial, process.wait(), watched)["error"])


def _start(trial: JobDirectory) -> TrialProcess:
    command, environment = [sys.executable, "-m", TRIAL_MODULE, str(trial.path)], child_environment({})
    with open(trial.log_path, "ab") as log:
        return fork(TRIAL_MODULE, trial.path, log.fileno(), environment) or subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=trial.path
        )


def _end(process: TrialProcess, trial: JobDirectory) -> None:
    trial.request_stop()
    try:
        process.wait(STOPPING_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main() -> int:
    """Do the job that is named on the command line; the exit status."""
    return run_job(measure)


if __name__ == "__main__":
    sys.exit(main())
