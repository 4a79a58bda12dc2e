"""Notes for how many seconds the processes of a group wait for each other once a run's arguments are made.

``torchrun … -m tests.training.waiting FOLDER``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch import distributed

from backend.training.together import meet
from tests.training.little_trainer import arguments_in


def main(folder: Path) -> None:
    """Meet, and write what each process found into a file of its own: what they print may be mixed."""
    arguments = arguments_in(folder)
    meet()
    group = distributed.distributed_c10d._get_default_group()
    wait_s = group._get_backend(torch.device("cpu")).options._timeout.total_seconds()
    (folder / f"waits-{arguments.process_index}.json").write_text(json.dumps([arguments.world_size, wait_s]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
