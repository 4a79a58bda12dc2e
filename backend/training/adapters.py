"""LoRA (Hu et al. 2022) through the package peft: small trained matrices beside the model's own, merged at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from peft.tuners.lora import LoraLayer
from torch import nn

from backend.errors import LoraTargetsMissing, ModelUnusable
from backend.models.loading import LoadedModel
from backend.training.layers import body_of, layer_stacks

ROUNDED = ("Linear4bit", "Linear8bitLt")
"""What bitsandbytes calls linear modules whose weights are kept in few bits."""


@dataclass(frozen=True)
class Adapted:
    """A model with LoRA matrices in it, which alone (with the new head) are trained."""

    model: PeftModel
    merge_into: Callable[[], Any] | None
    """Loads the base model in full precision, where the one that is trained is kept in fewer bits."""

    def merged(self) -> Any:
        """The plain model with what was learned in its own weights."""
        if self.merge_into is None:
            return self.model.merge_and_unload()
        # Merging into short weights would round what was learned as well: a full copy takes it up.
        learned = {name: p.detach().cpu() for name, p in self.model.named_parameters() if p.requires_grad}
        whole = get_peft_model(self.merge_into(), self.model.peft_config["default"])
        with torch.no_grad():
            for name, parameter in whole.named_parameters():
                if name in learned:
                    parameter.copy_(learned[name])
        return whole.merge_and_unload()


def adapt(
    loaded: LoadedModel,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Sequence[str],
    checkpointing: bool,
    quantised: bool = False,
    merge_into: Callable[[], Any] | None = None,
) -> Adapted:
    """The model with LoRA in its layers; everything that the base model did not have is trained as it is.

    What is trained is kept in full precision, also where the model's own weights are in bf16.

    Args:
        targets: names of linear modules in the layers; empty for all of them.
        checkpointing: whether activations will be computed again, for which a quantised model is prepared otherwise.
        merge_into: loads the model in full precision, where it is quantised or in bf16.

    Raises:
        LoraTargetsMissing: the layers have no such modules.
        ModelUnusable: a module that is new would be kept in few bits, in which it cannot be trained.
    """
    new = new_modules(loaded)
    names = linear_names(loaded.model, leave_out=new)
    unknown = [name for name in targets if name not in names]
    if unknown or not names:
        raise LoraTargetsMissing(targets=list(targets), available=names)
    if rounded := [name for name in new if quantised and type(loaded.model.get_submodule(name)).__name__ in ROUNDED]:
        detail = f"it has no weights for {rounded[0]}: what is new cannot be trained in so few bits"
        raise ModelUnusable(model=loaded.model.config.name_or_path or "", detail=detail)
    config = LoraConfig(
        task_type="SEQ_CLS",
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=[name for name in inside_layers(loaded.model, targets or names) if name not in new],
        modules_to_save=new,
    )
    model: Any = loaded.model
    short = model.dtype is torch.bfloat16
    if quantised:
        prepare: Any = prepare_model_for_kbit_training
        model = prepare(model, use_gradient_checkpointing=checkpointing)
    adapted: Any = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in adapted.modules():
        if short and isinstance(module, LoraLayer):
            module.cast_input_dtype_enabled = False  # autocast shortens the matrices; long inputs would be kept too
    return Adapted(adapted, merge_into)


def linear_names(model: Any, leave_out: Sequence[str] = ()) -> list[str]:
    """The last parts of the names of the linear modules in the model's layers, sorted."""
    linear = {name.rpartition(".")[2] for name, _ in _linear(model) if name not in leave_out}
    return sorted(linear)


def inside_layers(model: Any, names: Sequence[str]) -> list[str]:
    """The full names of the layers' linear modules that are called so: heads may have modules of the same name."""
    return [name for name, _ in _linear(model) if name.rpartition(".")[2] in names]


def _linear(model: Any) -> list[tuple[str, nn.Module]]:
    body = body_of(model)
    inside = {id(module) for stack in layer_stacks(body) for module in stack.modules()}
    kinds = ("Linear", *ROUNDED, "Conv1D")
    return [(name, m) for name, m in model.named_modules() if id(m) in inside and type(m).__name__ in kinds]


def new_modules(loaded: LoadedModel) -> list[str]:
    """The modules whose weights the base model did not have: the head, whatever the architecture calls it.

    What peft takes to be the head leaves out new parts of several architectures, which would then stay random.
    """
    modules = dict(loaded.model.named_modules())
    owners = (name.rpartition(".")[0] for name in loaded.new_parameters)
    return sorted({owner for owner in owners if owner and owner in modules})
