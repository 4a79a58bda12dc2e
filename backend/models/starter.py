"""The starter model: a small BERT made from nothing but the training texts, with no download.

It learns its own sub-word tokenizer and trains from scratch; the result is a plain Transformers model.
Must not know of validation or test texts: everything here sees the training part only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from backend.models.teacher import Floats, as_matrix, cross_fitted_targets

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_SIZE = 12_000
LONGEST_PIECE = 4
"""Characters of the longest piece: longer ones are rarely seen twice in a small training set."""
LONGEST_INPUT = 512
"""Positions the model has at least, so that an untruncated long text is still an answer and not a crash."""
TEACHER_FOLDS = 5
TEACHER_SHARE = 0.7
"""Weight of the teacher's belief in the target of a training text; the label itself has the rest."""


@dataclass(frozen=True)
class StarterKit:
    """All that the training of a starter model begins with."""

    tokenizer: PreTrainedTokenizerFast
    model: BertForSequenceClassification
    extra_texts: list[str]
    """(m) made-up texts to train on besides the real ones."""
    soft_targets: Floats
    """(n + m, k) probabilities, first of the real texts and then of the extra ones; the loss is cross-entropy with
    them, or binary cross-entropy for each label of a multi-label task (`backend.training.distillation`)."""


def prepare_starter(
    texts: list[str],
    targets: npt.NDArray[np.generic],
    num_labels: int,
    multilabel: bool,
    max_length: int,
    seed: int,
) -> StarterKit:
    """A tokenizer, an untrained model and soft targets, learned from the training texts.

    Args:
        texts: (n) training texts, without those of the validation and test parts.
        targets: (n,) label numbers, or (n, k) zeros and ones if ``multilabel``.
        max_length: of an encoded text, in tokens, special tokens included.
        seed: of the model's random weights and of the teacher's folds.
    """
    tokenizer = learn_tokenizer(texts, max_length)
    model = build_model(len(tokenizer), num_labels, multilabel, max_length, seed)
    believed = cross_fitted_targets(texts, targets, num_labels, TEACHER_FOLDS, seed).probabilities
    soft = TEACHER_SHARE * believed + (1 - TEACHER_SHARE) * as_matrix(targets, num_labels)
    return StarterKit(tokenizer, model, [], soft)


def learn_tokenizer(
    texts: list[str], max_length: int, vocabulary_size: int = VOCABULARY_SIZE
) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of these texts: NFKC, lower case, words and punctuation apart, then pieces of a word."""
    learned = Tokenizer(BPE(unk_token="[UNK]"))
    learned.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    learned.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        special_tokens=SPECIAL_TOKENS,
        max_token_length=LONGEST_PIECE,
        show_progress=False,
    )
    learned.train_from_iterator(texts, trainer)
    learned.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, learned.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=learned,
        model_max_length=max_length,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def build_model(
    vocabulary_size: int, num_labels: int, multilabel: bool, max_length: int, seed: int
) -> BertForSequenceClassification:
    """An untrained two-layer BERT, 128 wide, with the standard classification head."""
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=512,
        max_position_embeddings=max(max_length, LONGEST_INPUT),
        id2label={number: f"LABEL_{number}" for number in range(num_labels)},
        label2id={f"LABEL_{number}": number for number in range(num_labels)},
        problem_type="multi_label_classification" if multilabel else "single_label_classification",
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BertForSequenceClassification(config)
