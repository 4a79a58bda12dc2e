"""The model before fine-tuning: kept so that it can be rebuilt exactly, without storing the base model twice.

before/initial.safetensors   the weights that are not in the base model: the new head, or for the starter all
before/config.json           the model's configuration with the user's labels
before/source.json           {"base", "folder": path | null, "task", "labels"}; null: initial.safetensors is all
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from backend.errors import ModelUnusable
from backend.jobs.files import read_json, write_json
from backend.models.loading import LoadedModel, load_base, longest_input

FOLDER = "before"


def save_before(
    run: Path, loaded: LoadedModel, *, base: str, source: Path | None, task: str, labels: list[str]
) -> None:
    """Keep what rebuilds ``loaded`` as it is now. ``source`` is the base model's folder, None for a starter."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    state = loaded.model.state_dict()
    names = state.keys() if source is None else loaded.new_parameters
    # Tied weights share memory, which the format refuses: each is written as a copy of its own.
    save_file({n: state[n].detach().cpu().clone().contiguous() for n in names}, folder / "initial.safetensors")
    loaded.model.config.save_pretrained(folder)
    document = {"base": base, "folder": str(source) if source else None, "task": task, "labels": labels}
    write_json(folder / "source.json", document | {"max_length": loaded.max_length})


def load_before(run: Path) -> LoadedModel:
    """The run's model as it was before training, with the tokenizer that the run used.

    Raises:
        NotAModelFolder, ModelUnusable: the base model is no longer where it was.
    """
    folder = run / FOLDER
    try:
        source: dict[str, Any] = read_json(folder / "source.json")
        initial = load_file(folder / "initial.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelUnusable(model=run.name, detail=f"{type(error).__name__}: {error}"[:500]) from error
    if source["folder"] is None:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(run / "model", trust_remote_code=False)
        build: Any = AutoModelForSequenceClassification.from_config
        model = build(config, dtype=torch.float32, trust_remote_code=False)
        loaded = LoadedModel(tokenizer, model, longest_input(config, tokenizer, source["max_length"]))
    else:
        about = {name: source[name] for name in ("labels", "task", "max_length")}
        loaded = load_base(Path(source["folder"]), name=source["base"], **about, seed=0)
    unknown = loaded.model.load_state_dict(initial, strict=False).unexpected_keys
    if unknown:
        raise ModelUnusable(model=run.name, detail=f"its base model is another one now: it has no {unknown[0]}")
    loaded.model.eval()
    return loaded
