"""The token job: ``python -m backend.token_counter JOB``. Measures the prepared texts in the tokens of a model.

Of a model on the Hub, only the tokenizer is fetched. Torch and Transformers are not loaded.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from backend.data.datasets import dataset_folder, load_profile
from backend.data.importer import limit_memory, too_large
from backend.data.pipeline import needed_columns, prepare_rows, read_table
from backend.data.profiling import evenly, filled_cells
from backend.data.token_lengths import TOKEN_SAMPLE, TOKENIZER_FILE, load_tokenizer, measure_tokens
from backend.errors import HubUnreachable, ModelUnusable
from backend.jobs.process import JobContext, run_job
from backend.models.folder import names_a_folder
from backend.models.hub import default_endpoint, look_up
from backend.settings import Home
from backend.specs import Choices


def count_tokens(context: JobContext) -> dict[str, Any]:
    """Count what the spec asks for; the result is ``{"tokens": {...}}``.

    Raises:
        DataError: the rows cannot be prepared.
        ModelError: there is no such model, or none whose tokenizer can be read here.
    """
    spec = context.spec
    home, choices = Home(Path(spec["home"])), Choices(**spec["choices"])
    limit_memory(spec.get("memory_bytes"))
    folder, profile = dataset_folder(home, choices.data.dataset), load_profile(home, choices.data.dataset)
    with context.phase("profiling"):
        tokenizer = load_tokenizer(tokenizer_folder(spec["base"], spec["revision"] or None))
        try:
            table = read_table(folder, needed_columns(choices, profile))
            texts = evenly(filled_cells(prepare_rows(table, profile, choices).rows.texts), TOKEN_SAMPLE)
            return {"tokens": measure_tokens(texts.to_pylist(), tokenizer, spec["max_length"])}
        except MemoryError as error:
            raise too_large(profile["file"]) from error


def tokenizer_folder(base: str, revision: str | None) -> Path:
    """A folder with the tokenizer of the model: the user's, or the local cache of the Hub.

    Raises:
        ModelUnknown, ModelGated, TokenRejected, HubUnreachable: the Hub does not give it.
        ModelUnusable: the model has no ``tokenizer.json``.
    """
    if names_a_folder(base):
        return Path(base).expanduser()
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError

    known = try_to_load_from_cache(base, TOKENIZER_FILE, revision=revision)
    if isinstance(known, str):
        return Path(known).parent
    token = os.environ.get("HF_TOKEN")
    found = look_up(base, token=token, revision=revision)
    if found.cached is not None:
        return found.cached
    try:
        return Path(hf_hub_download(base, TOKENIZER_FILE, revision=found.sha, token=token)).parent
    except EntryNotFoundError as error:
        raise ModelUnusable(model=base, detail=TOKENIZER_FILE) from error
    except OSError as error:
        raise HubUnreachable(endpoint=default_endpoint()) from error


if __name__ == "__main__":
    sys.exit(run_job(count_tokens))
