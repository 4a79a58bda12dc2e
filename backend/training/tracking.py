"""Trackers of experiments, told what a run's curves show: through Transformers' integrations, from the run's events.

So each hears every step that is told, the starter's first ones among them, and the figures of the test split. Where
they write is settled here unless the environment says so; that a tracker breaks down does not end a run.
"""

from __future__ import annotations

import copy
import os
import re
import shlex
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

from backend.errors import TrackerFailed
from backend.jobs.events import Evaluated, Event, LossLogged, Noted
from backend.jobs.files import read_json, write_json
from backend.jobs.platform import POSIX
from backend.jobs.process import JobContext

BEGUN = "trackers.json"
"""The file in a run's folder that says by which number MLflow knows it: ``{"mlflow": id}``."""
PROJECT = "studio"
"""The project, or experiment, that runs are found in."""
PREFIXES = {"validation": "eval_", "test": "test_"}
"""Of figures by their split, as Trainer names them."""
FINISH_S = 60.0
"""How long a run waits for what a tracker has not sent yet."""
REASON_CHARACTERS = 300


class Trackers:
    """Those that a run was asked to tell; none in any but the first of all processes.

    They end when the job does, however it ends. Until then the environment says where they write: some look again.
    """

    def __init__(self, context: JobContext, names: Sequence[str]) -> None:
        self._context = context
        self._names = list(names) if context.rank.number == 0 else []
        self._told: dict[str, TrainerCallback] = {}
        self._arguments: TrainingArguments
        self._settled = ExitStack()

    def begin(self, arguments: TrainingArguments, model: Any) -> None:
        """Have them begin a run of their own, and hear of this one from now on.

        Raises:
            TrackerFailed: one of them cannot.
        """
        if not self._names:
            return
        run, self._arguments = self._context.path, copy.copy(arguments)
        self._arguments.run_name = f"{self._context.job.name} {run.name}".strip()
        self._arguments.project = PROJECT
        places = places_of(os.environ, run)
        self._settled.enter_context(_environment(places))
        if "mlflow" in self._names:
            self._settled.enter_context(_environment(continued(run)))
        self._context.at_end.append(self.end)
        for name in self._names:
            try:
                tracker = INTEGRATION_TO_CALLBACK[name]()
                tracker.on_train_begin(self._arguments, TrainerState(), TrainerControl(), model=model)
                found_by = shown_by(name, places, run)
                if name == "mlflow":
                    write_json(run / BEGUN, {name: sys.modules[name].active_run().info.run_id})
            except Exception as error:  # whatever a package raises that is not ours
                traceback.print_exc()
                raise TrackerFailed(tracker=name, reason=_first_line(error)) from error
            self._told[name] = tracker
            self._context.emit(Noted("tracker_told", {"tracker": name, "shown_by": found_by}))
        self._context.hearers.append(self.hear)

    def hear(self, event: Event) -> None:
        """Pass on losses and figures; one that cannot take them hears no more, and the run says so."""
        if not isinstance(event, LossLogged | Evaluated):
            return
        state = TrainerState(global_step=event.step, epoch=event.epoch)
        for name, tracker in list(self._told.items()):
            try:
                tracker.on_log(self._arguments, state, TrainerControl(), logs=logs_of(event))
            except Exception as error:  # noqa: BLE001 - whatever a package raises that is not ours
                self._lose(name, error)

    def end(self) -> None:
        """Have them end their runs. What Weights & Biases cannot send within a minute stays in the run's folder."""
        for name, tracker in list(self._told.items()):
            try:
                tracker.on_train_end(self._arguments, TrainerState(), TrainerControl())
                if name == "wandb":  # its integration leaves that to the end of the process, which comes soon
                    _within(FINISH_S, sys.modules["wandb"].finish)
            except Exception as error:  # noqa: BLE001 - whatever a package raises that is not ours
                self._lose(name, error)
        self._settled.close()

    def _lose(self, name: str, error: Exception) -> None:
        traceback.print_exception(error)
        self._told.pop(name, None)
        self._context.emit(Noted("tracker_lost", {"tracker": name, "reason": _first_line(error)}))


def logs_of(event: LossLogged | Evaluated) -> dict[str, float]:
    """What Trainer would log of it."""
    if isinstance(event, LossLogged):
        logs = {"loss": event.loss, "learning_rate": event.learning_rate, "epoch": event.epoch}
        return logs if event.gradient_norm is None else logs | {"grad_norm": event.gradient_norm}
    prefix = PREFIXES[event.split]
    figures = {f"{prefix}{name}": value for name, value in (event.metrics | {"loss": event.loss}).items()}
    return figures | {"epoch": event.epoch}


def places_of(environ: Mapping[str, str], run: Path) -> dict[str, str]:
    """Where trackers write, as variables of the environment: what it says already, else what is one run's in its
    folder and what is shared in the home. A further attempt adds to what the earlier ones told, the steps since its
    checkpoint a second time."""
    given = environ.get("TENSORBOARD_LOGGING_DIR")
    usual = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{run.parents[1] / 'mlflow.db'}",
        "MLFLOW_EXPERIMENT_NAME": PROJECT,
        "WANDB_PROJECT": PROJECT,
        "WANDB_DIR": str(run),
        "WANDB_RUN_ID": run.name,
        "WANDB_RESUME": "allow",
    }
    settled = {
        "TENSORBOARD_LOGGING_DIR": str(Path(given).expanduser() / run.name if given else run / "tensorboard"),
        "WANDB_LOG_MODEL": "false",  # it would look for checkpoints where Trainer writes them by itself
    }
    return {name: environ.get(name, value) for name, value in usual.items()} | settled


def continued(run: Path) -> dict[str, str]:
    """The run of MLflow's that an earlier attempt has begun, as the variable that names it.

    Nothing where there is none, or it is not there any more, or the environment names one already.
    """
    if "MLFLOW_RUN_ID" in os.environ or not (run / BEGUN).exists():
        return {}
    import mlflow

    known = str(read_json(run / BEGUN)["mlflow"])
    try:
        mlflow.get_run(known)
    except mlflow.exceptions.MlflowException:
        traceback.print_exc()
        return {}
    return {"MLFLOW_RUN_ID": known}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """These variables within the block, for packages that are told in no other way."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def shown_by(name: str, places: Mapping[str, str], run: Path) -> str:
    """The command, or the address, by which a tracker that has begun shows what it is told."""
    if name == "tensorboard":
        folder = Path(places["TENSORBOARD_LOGGING_DIR"])
        return _command("tensorboard", "--logdir", str(run.parent if folder.parent == run else folder.parent))
    if name == "mlflow":
        place = places["MLFLOW_TRACKING_URI"]
        if place.startswith(("http:", "https:")):
            return re.sub("//[^/]*@", "//", place)  # without a password
        own = place.startswith(("sqlite:", "file:", "/"))
        return _command("mlflow", "ui", "--backend-store-uri", place if own else "MLFLOW_TRACKING_URI")
    if name == "wandb":
        begun = sys.modules["wandb"].run
        return str(begun.url or _command("wandb", "sync", str(Path(begun.dir).parent)))
    return _command("trackio", "show", "--project", PROJECT)


def _command(*parts: str) -> str:
    return shlex.join(parts) if POSIX else subprocess.list2cmdline(parts)


def _within(seconds: float, work: Callable[[], Any]) -> None:
    """Do what may wait for a network, for so long; ``TimeoutError`` where it goes on, and what it raises itself."""
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:.0f} s")
    for error in raised:
        raise error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:REASON_CHARACTERS]
