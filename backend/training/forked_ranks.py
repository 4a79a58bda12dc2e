"""The processes of one run, forked from this one, which has loaded what they need: torchrun's own agent starts them.

As `accelerate.notebook_launcher` does it, and for the same reason: each would else spend seconds on the same imports.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

import setproctitle
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.errors import record
from torch.distributed.launcher.api import elastic_launch

from backend.jobs.platform import end_with_parent
from backend.models.memory import release_memory


def fork_several(main: Callable[[], int], arguments: Sequence[str], options: Sequence[str]) -> None:
    """Be torchrun until the processes have ended, in each of which ``main`` is run with these arguments.

    Args:
        main: gives the exit status.
        arguments: of the processes: the module's name, and what follows it.
        options: torchrun's own (`backend.jobs.ranks.torchrun_options`).

    Raises:
        ChildFailedError: one of them has ended with another status than 0; torchrun has ended the others.
    """
    agent = os.getpid()
    setproctitle.setproctitle(" ".join(["python", "-m", torchrun.__name__, *options, "-m", *arguments]))

    def be_one() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)  # they are torchrun's, to end the others
        end_with_parent(agent)
        setproctitle.setproctitle(" ".join(["python", "-m", *arguments, f"rank={os.environ['RANK']}"]))
        sys.argv = list(arguments)
        if status := main():
            sys.exit(status)
        # It waits here for the first, which has the model to save: what was trained with is given back meanwhile.
        faulthandler.cancel_dump_traceback_later()
        release_memory()

    parse: Any = torchrun.parse_args
    config, *_ = torchrun.config_from_args(parse([*options, "--start-method", "fork", *arguments]))
    sys.stdout.flush()
    sys.stderr.flush()
    record(elastic_launch(config, be_one))()
