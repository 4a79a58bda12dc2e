"""Loading a base model for classification, from files on this machine only. The worker's side: imports torch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
)

from backend.architectures import T5
from backend.errors import ModelUnusable, TokenizerBeyondModel
from backend.models.encoding import PAD_TO_MULTIPLE, EncodedTexts, encode
from backend.models.folder import check_folder
from backend.models.shape import NUMBERED

NO_LIMIT = 1_000_000
"""A tokenizer that says nothing of its longest text says about 1e30."""
_POSITIONS = ("max_position_embeddings", "n_positions", "max_sequence_length")
CLASSIFY_BY_END = (*T5, "bart", "mbart", "led", "mvp", "plbart", "bigbird_pegasus")
"""Encoder-decoders whose classifiers look at the end-of-text token, and want the same number of them in each text."""
DECODER_LAYERS_OF_AN_ENCODER = 1
"""Of an encoder that comes alone. Transformers classifies by the decoder's answer to one token: such a layer is then
new, and little more than a head that attends to what the encoder says; all of T5's twelve would be as large as it."""
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "data2vec-text", "longformer")
"""Architectures whose first two positions are no text's: of 514 positions a text may fill 512."""

_UNLOADABLE = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    ImportError,
    AttributeError,
    TypeError,
    SafetensorError,
    StrictDataclassError,
)
"""What Transformers raises for folders that it can make nothing of: many things, as each architecture reads its own."""


def elements(parameter: torch.nn.Parameter) -> int:
    """The weights in a parameter, of which bitsandbytes packs two of four bits into one element."""
    packed = getattr(parameter, "quant_state", None)
    return parameter.numel() if packed is None else math.prod(packed.shape)


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to be trained, with the tokenizer that fits it."""

    tokenizer: Any
    model: Any
    max_length: int
    """Tokens a text may have: what was asked, or what the model can take if that is less."""
    new_parameters: list[str] = field(default_factory=list)
    """Names of the parameters that the base model did not have and that begin at random values."""
    encoder_alone: bool = False
    """Whether the base model is the encoder of an encoder-decoder, and the classifier's decoder of one layer is new."""

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(map(elements, self.model.parameters()))

    @property
    def width(self) -> int:
        """Of its hidden states."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def new_in_layers(self) -> list[str]:
        """Those new parameters that are no head's: the folder does not have all of its model."""
        return [name for name in self.new_parameters if NUMBERED.search(name)]

    def encoded(self, texts: Sequence[str], step: Callable[[int], None] = lambda done: None) -> EncodedTexts:
        """The texts as the model is given them: `encode`, within the model's length.

        Raises:
            TokenizerBeyondModel: the tokenizer is of another model, or has learned tokens that this one has not.
        """
        found = encode(self.tokenizer, texts, self.max_length, step)
        vocabulary = embedding_of(self.model)
        largest = int(found.tokens.max(initial=found.pad_token))
        if vocabulary is not None and largest >= vocabulary.num_embeddings:
            token = self.tokenizer.convert_ids_to_tokens(largest)
            raise TokenizerBeyondModel(token=str(token), number=largest, rows=vocabulary.num_embeddings)
        return found


def embedding_of(model: Any) -> nn.Embedding | None:
    """The vocabulary of a `transformers` model; None where it has none of the usual kind."""
    try:
        found = model.get_input_embeddings()
    except NotImplementedError:  # of some architectures Transformers does not know which it is
        return None
    return found if isinstance(found, nn.Embedding) else None


def problem_type(task: str) -> str:
    """What Transformers calls the task: it decides the model's own loss."""
    return "multi_label_classification" if task == "multilabel" else "single_label_classification"


def name_labels(config: Any, labels: Sequence[str], task: str) -> None:
    """Write the user's label names and the task into a model's configuration."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = problem_type(task)


HEADS = ("classifier", "score", "head", "pre_classifier", "classification_head", "pooler")
"""What heads are called: they are new, small and trained, so they are never quantised."""


def load_base(
    folder: Path,
    *,
    name: str,
    labels: Sequence[str],
    task: str,
    max_length: int,
    seed: int,
    quantisation: str = "none",
    computed_in: torch.dtype = torch.float32,
    dtype: torch.dtype = torch.float32,
    empty: bool = False,
) -> LoadedModel:
    """The base model in ``folder`` with a head for these labels, in full precision or as ``dtype`` says.

    Never runs code from the folder, never opens pickled weights, never asks the network. ``name`` is what the user
    calls the model, for errors; ``seed`` draws the weights of what the base does not have. ``quantisation`` (``8bit``
    or ``4bit``) rounds the weights of the layers, which then can only be trained through an adapter; those of four bits
    become ``computed_in`` for each product. One that is ``empty`` takes no memory: its weights, which all count as
    known, are on the meta device and come from elsewhere.

    Raises:
        NotAModelFolder, WeightsDamaged: files are missing, or not whole.
        ModelUnusable: Transformers cannot make a text classifier of it.
    """
    alone = check_folder(folder).encoder_alone
    torch.manual_seed(seed)  # Transformers' `set_seed` comes with a second of imports, and only torch draws here
    logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)  # tells of the new head: we do ourselves
    try:
        config = AutoConfig.from_pretrained(folder, num_labels=len(labels), trust_remote_code=False)
        name_labels(config, labels, task)
        if alone:
            config.update({"is_encoder_decoder": True, "num_decoder_layers": DECODER_LAYERS_OF_AN_ENCODER})
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        if empty:
            model, missing = without_weights(config, dtype), set[str]()
        else:
            model, missing = _with_weights(folder, config, dtype, _rounded(quantisation, computed_in, config, alone))
    except _UNLOADABLE as error:
        raise ModelUnusable(model=name, detail=f"{type(error).__name__}: {error}"[:500]) from error
    if quantisation == "4bit":
        _keep_unpacked(model)
    _give_padding(tokenizer, model, name)
    _end_texts_once(tokenizer, config, name)
    _keep_no_keys(model)
    loaded = LoadedModel(tokenizer, model, longest_input(config, tokenizer, max_length), sorted(missing), alone)
    if len(new := loaded.new_in_layers) == sum(bool(NUMBERED.search(key)) for key in model.state_dict()) > 0:
        raise ModelUnusable(model=name, detail=f"it has no weights for any of its layers, such as {new[0]}")
    tokenizer.model_max_length = loaded.max_length
    return loaded


def _with_weights(
    folder: Path, config: PretrainedConfig, dtype: torch.dtype, rounded: dict[str, Any]
) -> tuple[Any, set[str]]:
    """The model, and the names of the weights that the folder does not have, or in another shape."""
    model, loading = AutoModelForSequenceClassification.from_pretrained(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **rounded,
    )
    return model, set(loading["missing_keys"]) | {entry[0] for entry in loading["mismatched_keys"]}


def without_weights(config: PretrainedConfig, dtype: torch.dtype = torch.float32) -> Any:
    """A classifier whose weights are on the meta device, where they take no memory; its buffers are as they should."""
    from accelerate import init_empty_weights

    build: Any = AutoModelForSequenceClassification.from_config
    with init_empty_weights(include_buffers=False):  # buffers are computed, not loaded
        model = build(config, dtype=dtype, trust_remote_code=False)
    model.tie_weights()  # each weight was put there by itself
    return model


def _rounded(quantisation: str, computed_in: torch.dtype, config: PretrainedConfig, alone: bool) -> dict[str, Any]:
    if quantisation == "none":
        return {}
    # The names given here replace the library's own list of what it leaves alone.
    own = getattr(AutoModelForSequenceClassification._model_mapping[type(config)], "base_model_prefix", "")
    new = (*HEADS, "decoder") if alone else HEADS
    heads = [name for head in new for name in (head, f"{own}.{head}")]
    build: Any = BitsAndBytesConfig
    rounding = build(
        load_in_4bit=quantisation == "4bit",
        load_in_8bit=quantisation == "8bit",
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=computed_in,
        llm_int8_skip_modules=heads,
    )
    return {"quantization_config": rounding}


def _keep_unpacked(model: Any) -> None:
    # On processors with bf16 bitsandbytes packs weights otherwise when they are first asked without gradients (by an
    # evaluation, say), and its training step cannot read them any more.
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def longest_input(config: PretrainedConfig, tokenizer: Any, asked: int) -> int:
    """Tokens a text may have: ``asked``, unless the tokenizer or the model's positions, padding in them, allow less."""
    text_config = config.get_text_config()
    limits = [getattr(text_config, name, None) for name in _POSITIONS]
    positions = min((int(limit) for limit in limits if isinstance(limit, int) and limit > 0), default=NO_LIMIT)
    if text_config.model_type in _OFFSET_POSITIONS:
        positions -= 2
    positions -= positions % PAD_TO_MULTIPLE
    own = tokenizer.model_max_length
    return int(min(asked, positions, own if own < NO_LIMIT else NO_LIMIT))


def load_finished(folder: Path) -> LoadedModel:
    """A finished model of this studio (or any like it) with its own labels, ready to be asked.

    Raises:
        NotAModelFolder, WeightsDamaged: files are missing, or not whole.
        ModelUnusable: the files are there but cannot be loaded.
    """
    check_folder(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
    except _UNLOADABLE as error:
        raise ModelUnusable(model=folder.name, detail=f"{type(error).__name__}: {error}"[:500]) from error
    _keep_no_keys(model)
    _end_texts_once(tokenizer, model.config, folder.name)
    return LoadedModel(tokenizer, model.eval(), longest_input(model.config, tokenizer, NO_LIMIT))


def _keep_no_keys(model: Any) -> None:
    # Decoders keep keys and values of a text for the token that follows it. To classify none does.
    for config in (model.config, model.config.get_text_config()):
        if getattr(config, "use_cache", False):
            config.use_cache = False


def _give_padding(tokenizer: Any, model: Any, name: str) -> None:
    """Decoders often have no padding token: their end-of-text token serves, as the classifier looks before it."""
    if tokenizer.pad_token_id is None:
        substitute = tokenizer.eos_token or tokenizer.unk_token
        if substitute is None:
            raise ModelUnusable(model=name, detail="the tokenizer has no padding token and none that could serve")
        tokenizer.pad_token = substitute
    tokenizer.padding_side = "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def _end_texts_once(tokenizer: Any, config: PretrainedConfig, name: str) -> None:
    """Those that classify by the end-of-text token have it once in each text, also in one that spells it out.

    Raises:
        ModelUnusable: the tokenizer adds none, or several.
    """
    if config.model_type not in CLASSIFY_BY_END:
        return
    tokenizer.split_special_tokens = tokenizer.init_kwargs["split_special_tokens"] = True  # the second is saved
    encoded = tokenizer(["", "a text", f"a {tokenizer.eos_token} text"])["input_ids"]
    if any(tokens.count(config.eos_token_id) != 1 for tokens in encoded):
        detail = "its tokenizer does not end each text with the one end-of-text token that such models classify by"
        raise ModelUnusable(model=name, detail=detail)
