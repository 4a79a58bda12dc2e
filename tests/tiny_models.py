"""Real models of a few thousand weights in folders, as people have them: for tests that must train something."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordPiece
from tokenizers.trainers import BpeTrainer, WordPieceTrainer
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedTokenizerFast,
    T5Config,
    T5Model,
)

KINDS = ("bert", "distilbert", "gpt2", "t5")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def make_tiny(folder: Path, kind: str, texts: list[str], *, positions: int = 128, width: int = 32) -> Path:
    """A base model without a classification head, with a tokenizer learned from the texts."""
    torch.manual_seed(0)
    make_tokenizer = {"gpt2": _decoder_tokenizer, "t5": _ending_tokenizer}.get(kind, _encoder_tokenizer)
    tokenizer = make_tokenizer(texts)
    vocabulary = len(tokenizer)
    if kind == "bert":
        model = BertModel(
            BertConfig(vocab_size=vocabulary, max_position_embeddings=positions, **SIZE | {"hidden_size": width})
        )
    elif kind == "distilbert":
        config = DistilBertConfig(
            vocab_size=vocabulary, max_position_embeddings=positions, dim=32, n_layers=2, n_heads=2, hidden_dim=64
        )
        model = DistilBertModel(config)
    elif kind == "t5":
        sizes = {"d_model": width, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
        tokens = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
        model = T5Model(T5Config(vocab_size=vocabulary, **sizes, **tokens))
    else:
        end = tokenizer.eos_token_id
        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=positions,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=end,
            eos_token_id=end,
        )
        model = GPT2Model(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_enormous(folder: Path, texts: list[str]) -> Path:
    """A base whose weights are so large that a step without clipping overflows; `UNCLIPPED` are settings for it."""
    make_tiny(folder, "distilbert", texts)
    weights = load_file(folder / "model.safetensors")
    weights["transformer.layer.1.output_layer_norm.weight"].fill_(1e6)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


UNCLIPPED = {
    "training__optimizer": "sgd",
    "training__learning_rate": 1.0,
    "training__warmup_share": 0.0,
    "training__max_gradient_norm": 0.0,
}


def _encoder_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    learned = Tokenizer(WordPiece(unk_token="[UNK]"))
    learned.normalizer = normalizers.BertNormalizer()
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learned.train_from_iterator(texts, WordPieceTrainer(vocab_size=600, special_tokens=SPECIAL, show_progress=False))
    learned.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=learned, **names)


def _decoder_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    learned = Tokenizer(BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learned.train_from_iterator(
        texts, BpeTrainer(vocab_size=600, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=learned, eos_token="<|end|>", bos_token="<|end|>")


def _ending_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    learned = Tokenizer(WordPiece(unk_token="<unk>"))
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["<pad>", "</s>", "<unk>"]
    learned.train_from_iterator(texts, WordPieceTrainer(vocab_size=600, special_tokens=special, show_progress=False))
    learned.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=learned, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
