"""From a base model and divided texts to all that training needs: the model, its tokenizer, encoded rows, the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from backend.data.splitting import LabelledTexts, Splits
from backend.data.token_lengths import fitting_length
from backend.decisions import Decision, Known, decide, decided, keeps_bf16, lacking_attention
from backend.errors import CheckpointingMissing, ModelUnusable
from backend.jobs.events import Noted, OptionsDecided
from backend.jobs.process import JobContext
from backend.models.before import save_before
from backend.models.encoding import EncodedTexts, unknown_share
from backend.models.folder import names_a_folder
from backend.models.forward import choose_device, machine_of
from backend.models.hub import download, look_up
from backend.models.loading import LoadedModel, elements, load_base, name_labels
from backend.models.shape import architecture_of
from backend.models.starter import prepare_starter, warm_up
from backend.models.warm_start import BagStep
from backend.recipes import bag_steps, learned_rows, longest_of
from backend.specs import STARTER, ModelSpec, RunSpec
from backend.training.checkpoints import check_disk, weights_bytes
from backend.training.layers import freeze
from backend.training.losses import ClassificationLoss, balanced_weights
from backend.training.rows import Rows
from backend.training_specs import AdaptingSpec, TrainingSpec

if TYPE_CHECKING:
    from backend.training.adapters import Adapted

SHORT = {"bf16": torch.bfloat16, "fp16": torch.float16}
UNKNOWN_SHARE_TOLD = 0.05
TEXTS_LOOKED_AT = 500
TEXTS_MEASURED = 10_000
HUB_TIMEOUT_S = 10.0
"""More than a page waits: here nobody looks on, and a slow answer is better than none."""


@dataclass(frozen=True)
class Prepared:
    """Everything that `fine_tuning.fine_tune` takes, and the encoded test split for afterwards."""

    loaded: LoadedModel
    train: Rows
    validation: Rows
    test: Rows
    loss: ClassificationLoss
    device: torch.device
    decisions: list[Decision]
    """What the options that the machine has a say in became."""
    weights: int
    """Their number in the model, without what an adapter adds."""
    adapted: Adapted | None = None
    """The model with LoRA in it; None: its own weights are trained."""
    warm_up: Callable[[Callable[[BagStep], None]], None] | None = None
    """The starter's first part of training, before the Trainer's; takes what is called after each step."""

    @property
    def trained(self) -> Any:
        """What Trainer trains: the model, or the adapter around it."""
        return self.adapted.model if self.adapted else self.loaded.model

    @property
    def precision(self) -> str:
        """The number format of the arithmetic; what is trained is always kept in full precision."""
        return str(decided(self.decisions, "training.precision"))

    def merged(self) -> Prepared:
        """The same after training, with what an adapter has learned in the model's own weights."""
        if self.adapted is None:
            return self
        return replace(self, loaded=replace(self.loaded, model=self.adapted.merged()), adapted=None)


def prepare_training(
    context: JobContext,
    labelled: LabelledTexts,
    splits: Splits,
    *,
    spec: RunSpec,
) -> Prepared:
    """Make or load the model, keep what it was before training, and encode the three splits.

    Raises:
        ModelError: the base model cannot be had, or cannot be trained as it is asked.
        DiskFull: there is no room for the weights that training will write.
        StopRequested: between two portions of texts.
    """
    texts = {name: [labelled.texts[i] for i in getattr(splits, name)] for name in ("train", "validation", "test")}
    targets = {name: labelled.targets[getattr(splits, name)] for name in texts}
    learned: npt.NDArray[Any] = targets["train"]
    loss = build_loss(spec.training, labelled.task, labelled.labels, learned)
    starter, seed = spec.model.base == STARTER, spec.split.seed
    source, reload, length = None, None, None
    if starter:
        multilabel = labelled.task == "multilabel"
        max_length = longest_of(spec)
        kit = prepare_starter(
            texts["train"], learned, len(labelled.labels), multilabel, max_length, seed, context.check_stop
        )
        name_labels(kit.model.config, labelled.labels, labelled.task)
        loaded = LoadedModel(kit.tokenizer, kit.model, max_length)
        tell_limits(context, loaded, [], spec.training.max_length)  # its tokenizer was made of these texts
        texts["train"] = texts["train"] + kit.extra_texts
        learned = kit.soft_targets
        if kit.extra_texts:
            context.emit(Noted("starter_texts", {"made_up": len(kit.extra_texts), "texts": len(learned)}))
    else:
        source = folder_of(context, spec.model)
        # Of shards the first process of the machine has the weights, and gives the others their parts.
        empty = spec.compute.fsdp and not context.rank.leads
        loaded, reload = load_as_kept(spec, source, labelled.labels, labelled.task, empty=empty)
        tell_limits(context, loaded, texts["train"], spec.training.max_length)
        loaded, length = fit_length(loaded, texts["train"], spec.training.max_length)
    context.check_stop()
    check_disk(
        context.path, 4 * weights_bytes(loaded.model)
    )  # two sets of trained weights, the model before, the finished one
    if context.rank.leads:
        base, task = spec.model.base, labelled.task
        save_before(context.path, loaded, base=base, source=source, task=task, labels=labelled.labels)
    encoded = encode_all(context, loaded, texts)
    tell_cut(context, encoded["train"].first(len(splits.train)), loaded.max_length)  # without what a starter adds
    tokens = int(learned_rows(len(learned), spec.training) * encoded["train"].lengths.mean())
    weights = loaded.parameters  # before there is an adapter in it
    placed = place(context, spec, loaded, reload, length, tokens)
    pad_to = loaded.max_length if spec.speed.padding == "longest" else 0
    train = Rows(encoded["train"], learned, pad_to)
    return Prepared(
        loaded=loaded,
        train=train,
        validation=Rows(encoded["validation"], targets["validation"]),
        test=Rows(encoded["test"], targets["test"]),
        loss=loss,
        device=placed.device,
        decisions=placed.decisions,
        weights=weights,
        adapted=placed.adapted,
        warm_up=partial(_warm_up, loaded.model, train, loss, spec) if starter else None,
    )


@dataclass(frozen=True)
class Placed:
    """A model where and as it is trained."""

    device: torch.device
    decisions: list[Decision]
    adapted: Adapted | None


def place(
    context: JobContext,
    spec: RunSpec,
    loaded: LoadedModel,
    reload: Callable[[], Any] | None,
    length: Decision | None = None,
    tokens: int | None = None,
) -> Placed:
    """Bring a loaded model to its device, with the attention, the frozen layers or the adapter that are asked for.

    Args:
        reload: gives the model again in full precision; None where it was loaded so.
        length: what the maximum length was decided to be.
        tokens: that will be learned from in all.

    Raises:
        ModelUnusable: its layers cannot be told apart, or no module of it can be adapted.
        CheckpointingMissing: activation checkpointing is asked for, and it has none.
    """
    device, asked, config = choose_device(), spec.adapting, loaded.model.config
    if spec.speed.activation_checkpointing and not loaded.model.supports_gradient_checkpointing:
        raise CheckpointingMissing(architecture=config.model_type)
    known = Known(loaded.width, loaded.parameters, config.model_type, tokens)
    decisions = decide(spec, machine_of(device), known)
    found = [able(loaded.model, decided(decisions, "speed.attention"), spec.speed.attention), length]
    for better in filter(None, found):
        decisions = [better if decision.setting == better.setting else decision for decision in decisions]
    tell_decisions(context, decisions)
    quantised = asked.quantisation != "none"
    if not quantised and not spec.compute.fsdp:  # a quantised model is where it was loaded; shards go by themselves
        loaded.model.to(device)
    loaded.model.set_attn_implementation(decided(decisions, "speed.attention"))
    if asked.adapter != "lora":
        freeze_layers(context, loaded, asked, spec.model.base)
        return Placed(device, decisions, None)
    from backend.training.adapters import adapt  # peft, which other runs leave out

    adapted = adapt(
        loaded,
        rank=asked.lora_rank,
        alpha=asked.lora_alpha,
        dropout=asked.lora_dropout,
        targets=asked.lora_targets,
        checkpointing=spec.speed.activation_checkpointing,
        quantised=quantised,
        merge_into=reload,
    )
    return Placed(device, decisions, adapted)


def load_as_kept(
    spec: RunSpec, source: Path, labels: Sequence[str], task: str, *, empty: bool = False
) -> tuple[LoadedModel, Callable[[], Any] | None]:
    """The base model as it is trained, and what gives it again in full precision where it is kept in fewer bits.

    Where it is to be ``empty`` its weights come from elsewhere (`backend.models.loading.load_base`).

    Raises:
        ModelError: it cannot be loaded as it is asked.
    """
    load = partial(
        load_base,
        source,
        name=spec.model.base,
        labels=labels,
        task=task,
        max_length=longest_of(spec),
        seed=spec.split.seed,
    )
    device, architecture, quantisation = choose_device(), architecture_of(source), spec.adapting.quantisation
    machine = machine_of(device)
    if keeps_bf16(spec, machine, architecture):
        return load(dtype=torch.bfloat16), lambda: load().model
    if quantisation == "none":
        return load(empty=empty), None
    precision = decided(decide(spec, machine, Known(architecture=architecture)), "training.precision")
    # On a processor the products of such weights are computed in full precision.
    computed_in = SHORT.get(precision, torch.float32) if device.type == "cuda" else torch.float32
    return load(quantisation=quantisation, computed_in=computed_in), lambda: load().model


def build_loss(
    training: TrainingSpec, task: str, labels: Sequence[str], targets: npt.NDArray[Any]
) -> ClassificationLoss:
    """The loss that the settings ask for, with the weights that the training rows' ``targets`` give."""
    weights = np.array([training.label_weights.get(label, 1.0) for label in labels], dtype=np.float32)
    if training.class_weights == "balanced":
        weights = weights * balanced_weights(task, targets, len(labels))
    return ClassificationLoss(
        multilabel=task == "multilabel",
        weights=None if (weights == 1).all() else torch.from_numpy(weights),
        gamma=training.focal_gamma if training.loss == "focal" else 0.0,
        smoothing=training.label_smoothing,
    )


def freeze_layers(context: JobContext, loaded: LoadedModel, asked: AdaptingSpec, name: str) -> None:
    """Freeze what is asked for, but for what is new, and say what is still trained.

    Raises:
        ModelUnusable: the architecture has no layers that could be told apart.
    """
    if asked.freeze == "none":
        return
    try:
        left = freeze(loaded.model, asked.freeze, asked.trained_layers, loaded.new_parameters)
    except ValueError as error:
        raise ModelUnusable(model=name, detail=str(error)) from error
    percent = round(100 * left.trainable / left.parameters, 1)
    facts = {"layers": left.layers, "trained": left.trained_layers, "percent": percent}
    context.emit(Noted("layers_shared" if left.shared else "layers_frozen", facts))


def able(model: Any, implementation: str, asked: str) -> Decision | None:
    """What a model whose architecture cannot compute attention so does instead; None where it can."""
    supported = {"sdpa": "_supports_sdpa", "flash_attention_2": "_supports_flash_attn"}.get(implementation)
    if supported is None or getattr(model, supported):
        return None
    return lacking_attention(asked, model.config.model_type, "sdpa" if model._supports_sdpa else "eager")


def tell_decisions(context: JobContext, decisions: Sequence[Decision]) -> None:
    """Emit what was decided, and a note for each option that cannot be had here."""
    context.emit(OptionsDecided([decision.to_dict() for decision in decisions]))
    for decision in decisions:
        if decision.refused:
            name = decision.setting.rpartition(".")[2] + ("_of_model" if decision.reason == "architecture" else "")
            facts = {"asked": decision.asked, "used": decision.value}
            context.emit(Noted(f"refused_{name}", facts | decision.facts))


def _warm_up(model: Any, train: Rows, loss: ClassificationLoss, spec: RunSpec, tell: Callable[[BagStep], None]) -> None:
    steps = bag_steps(len(train), multilabel=loss.multilabel, max_steps=spec.training.max_steps)
    warm_up(model, train.texts, train.targets, loss=loss, steps=steps, seed=spec.split.seed, tell=tell)


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


def fit_length(loaded: LoadedModel, texts: Sequence[str], asked: int | None) -> tuple[LoadedModel, Decision]:
    """The model with the maximum length that was asked for, or one that fits the training texts."""
    path = "training.max_length"
    if asked is not None:
        return loaded, Decision(path, asked, loaded.max_length, "asked")
    step = max(1, len(texts) // TEXTS_MEASURED)
    lengths = loaded.encoded(texts[::step]).lengths
    fitting = min(loaded.max_length, fitting_length(lengths))
    facts = {"percent": round(100 * float((lengths > fitting).mean()), 1)}
    if fitting == loaded.max_length:  # texts of this length may have been longer
        facts["percent"] = round(100 * float((lengths >= fitting).mean()), 1)
    loaded.tokenizer.model_max_length = fitting
    return replace(loaded, max_length=fitting), Decision(path, None, fitting, "fits_texts", facts)


def tell_limits(context: JobContext, loaded: LoadedModel, texts: Sequence[str], asked: int | None) -> None:
    """Note what the user should know of how this base model reads these texts."""
    if asked is not None and loaded.max_length < asked:
        context.emit(Noted("length_limited", {"asked": asked, "used": loaded.max_length}))
    if new := loaded.new_in_layers:
        sizes = {name: elements(p) for name, p in loaded.model.named_parameters()}
        percent = _percent(sum(sizes.get(name, 0) for name in new), loaded.parameters)
        context.emit(
            Noted("encoder_alone", {"percent": percent})
            if loaded.encoder_alone
            else Noted("weights_missing", {"percent": percent, "example": new[0]})
        )
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

        encoded[name] = loaded.encoded(portion, step)
        behind += len(portion)
    return encoded


def tell_cut(context: JobContext, encoded: EncodedTexts, max_length: int) -> None:
    """Note how many training texts are as long as texts may be, and so were (but for a few) cut."""
    cut = int(np.sum(encoded.lengths >= max_length))
    if cut:
        percent = _percent(cut, len(encoded))
        context.emit(Noted("texts_cut", {"texts": cut, "percent": percent, "tokens": max_length}))


def _percent(part: int, whole: int) -> float:
    """With two digits: two texts of ten thousand are not 0 %."""
    return float(f"{100 * part / whole:.2g}")
