"""From a base model and divided texts to all that training needs: the model, its tokenizer, encoded rows, the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from backend.data.splitting import LabelledTexts, Splits
from backend.jobs.events import Noted
from backend.jobs.process import JobContext
from backend.models.before import save_before
from backend.models.encoding import EncodedTexts, encode, unknown_share
from backend.models.folder import names_a_folder
from backend.models.forward import choose_device
from backend.models.hub import download, look_up
from backend.models.loading import LoadedModel, load_base, name_labels
from backend.models.starter import prepare_starter, warm_up
from backend.models.warm_start import BagStep
from backend.specs import STARTER, ModelSpec
from backend.training.checkpoints import check_disk, weights_bytes
from backend.training.distillation import soft_multilabel_loss, soft_target_loss
from backend.training.precision import ChosenPrecision, choose_precision
from backend.training.rows import Rows
from backend.training.trainer import Loss

UNKNOWN_SHARE_TOLD = 0.05
TEXTS_LOOKED_AT = 500
HUB_TIMEOUT_S = 10.0
"""More than a page waits: here nobody looks on, and a slow answer is better than none."""


@dataclass(frozen=True)
class Prepared:
    """Everything that `trainer.fine_tune` takes, and the encoded test split for afterwards."""

    loaded: LoadedModel
    train: Rows
    validation: Rows
    test: Rows
    loss: Loss | None
    """None: the model's own."""
    device: torch.device
    precision: ChosenPrecision
    warm_up: Callable[[Callable[[BagStep], None]], None] | None = None
    """The starter's first part of training, before the Trainer's; takes what is called after each step."""


def prepare_training(
    context: JobContext,
    labelled: LabelledTexts,
    splits: Splits,
    *,
    model: ModelSpec,
    max_length: int,
    precision: str,
    seed: int,
) -> Prepared:
    """Make or load the model, keep what it was before training, and encode the three splits.

    Raises:
        ModelError: the base model cannot be had.
        DiskFull: there is no room for the weights that training will write.
        StopRequested: between two portions of texts.
    """
    texts = {name: [labelled.texts[i] for i in getattr(splits, name)] for name in ("train", "validation", "test")}
    targets = {name: labelled.targets[getattr(splits, name)] for name in texts}
    learned: npt.NDArray[Any] = targets["train"]
    loss: Loss | None = None
    if model.base == STARTER:
        multilabel = labelled.task == "multilabel"
        kit = prepare_starter(
            texts["train"], learned, len(labelled.labels), multilabel, max_length, seed, context.check_stop
        )
        name_labels(kit.model.config, labelled.labels, labelled.task)
        source, loaded = None, LoadedModel(kit.tokenizer, kit.model, max_length)
        texts["train"] = texts["train"] + kit.extra_texts
        learned, loss = kit.soft_targets, soft_multilabel_loss if multilabel else soft_target_loss
    else:
        source = folder_of(context, model)
        labels, task = labelled.labels, labelled.task
        loaded = load_base(source, name=model.base, labels=labels, task=task, max_length=max_length, seed=seed)
        tell_limits(context, loaded, texts["train"], max_length)
    context.check_stop()
    check_disk(context.path, 4 * weights_bytes(loaded.model))  # two checkpoints, the model before and the finished one
    save_before(context.path, loaded, base=model.base, source=source, task=labelled.task, labels=labelled.labels)
    encoded = encode_all(context, loaded, texts)
    device = choose_device()
    loaded.model.to(device)
    chosen = choose_precision(precision, device, loaded.model.config.get_text_config().hidden_size)
    if chosen.refused:
        context.emit(Noted("precision_refused", {"asked": chosen.refused, "used": chosen.name}))
    train = Rows(encoded["train"], learned)
    return Prepared(
        loaded=loaded,
        train=train,
        validation=Rows(encoded["validation"], targets["validation"]),
        test=Rows(encoded["test"], targets["test"]),
        loss=loss,
        device=device,
        precision=chosen,
        warm_up=partial(_warm_up, loaded, train, labelled.task, seed) if model.base == STARTER else None,
    )


def _warm_up(loaded: LoadedModel, train: Rows, task: str, seed: int, tell: Callable[[BagStep], None]) -> None:
    warm_up(loaded.model, train.texts, train.targets, multilabel=task == "multilabel", seed=seed, tell=tell)


def folder_of(context: JobContext, model: ModelSpec) -> Path:
    """The folder with the base model's files, which are downloaded first where they are not on this machine.

    Raises:
        ModelError: it is not on the Hub, the Hub cannot be reached, or its files will not do.
        StopRequested: while they were downloaded.
    """
    if names_a_folder(model.base):
        return Path(model.base).expanduser()
    found = look_up(model.base, revision=model.revision or None, timeout_s=HUB_TIMEOUT_S)
    if not found.reachable:
        context.emit(Noted("hub_unreachable_cached", {"model": model.base}))

    def step(done: float, total: float) -> None:
        context.check_stop()
        context.progress(done, total, unit="bytes")

    return download(found, step=step)


def tell_limits(context: JobContext, loaded: LoadedModel, texts: Sequence[str], asked: int) -> None:
    """Note what the user should know of how this base model reads these texts."""
    if loaded.max_length < asked:
        context.emit(Noted("length_limited", {"asked": asked, "used": loaded.max_length}))
    step = max(1, len(texts) // TEXTS_LOOKED_AT)
    share = unknown_share(loaded.tokenizer, texts[::step], loaded.max_length)
    if share >= UNKNOWN_SHARE_TOLD:
        context.emit(Noted("tokens_unknown", {"percent": round(100 * share)}))


def encode_all(context: JobContext, loaded: LoadedModel, texts: dict[str, list[str]]) -> dict[str, EncodedTexts]:
    """Each split encoded, with one progress over all of them."""
    total, behind = sum(map(len, texts.values())), 0
    encoded = {}
    for name, portion in texts.items():

        def step(done: int, behind: int = behind) -> None:
            context.check_stop()
            context.progress(behind + done, total, unit="texts")

        encoded[name] = encode(loaded.tokenizer, portion, loaded.max_length, step)
        behind += len(portion)
    tell_cut(context, encoded["train"], loaded.max_length)
    return encoded


def tell_cut(context: JobContext, encoded: EncodedTexts, max_length: int) -> None:
    """Note how many training texts are as long as texts may be, and so were (but for a few) cut."""
    cut = int(np.sum(encoded.lengths >= max_length))
    if cut:
        context.emit(
            Noted("texts_cut", {"texts": cut, "percent": round(100 * cut / len(encoded)), "tokens": max_length})
        )
