"""Asking for the lengths of a table's texts in a model's tokens; they are counted by a process of its own."""

from __future__ import annotations

from backend.data.datasets import dataset_folder
from backend.jobs.directory import JobDirectory
from backend.jobs.launch import launch
from backend.settings import Home
from backend.specs import Choices, ModelSpec

COUNTER_MODULE = "backend.token_counter"


def start_token_count(
    home: Home, choices: Choices, model: ModelSpec, max_length: int | None, token: str | None = None
) -> JobDirectory:
    """Start counting; the result of the job is ``{"tokens": …}`` as `backend.data.token_lengths` makes it.

    Raises:
        DatasetMissing: there is no such dataset.
    """
    dataset_folder(home, choices.data.dataset)
    spec = {"home": str(home.path), "choices": choices.model_dump(mode="json"), "max_length": max_length}
    spec |= {"base": model.base, "revision": model.revision}
    job = JobDirectory.create(home.jobs, kind="tokens", module=COUNTER_MODULE, spec=spec)
    launch(job, environ={"HF_TOKEN": token} if token else None)
    return job
