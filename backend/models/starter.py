"""The starter model: a small BERT made from nothing but the training texts, with no download.

It learns its own sub-word tokenizer, begins as a bag of pieces (`backend.models.warm_start`) and learns from the labels
and from what a linear teacher believes (`backend.models.teacher`). The result is a plain Transformers model.
Must not know of validation or test texts: everything here sees the training part only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from backend.models.augmentation import broken_up, make_up
from backend.models.encoding import EncodedTexts, padded_length
from backend.models.scripts import mostly_unspaced
from backend.models.teacher import Floats, Teacher, plan_lessons
from backend.models.warm_start import BagLoss, BagStep, begin_as_bag, train_bag
from backend.recipes import LEAST_TEXTS, made_up_for

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY_SIZE, VOCABULARY_OF_MUCH_TEXT = 8_000, 16_000
MUCH_TEXT = 700_000
"""Words of all texts together from which on the vocabulary is larger: of anime synopses, 0.8 million words with 41
genres, micro F1 came to 0.48 with the second size and 0.47 with the first; of 0.6 million, posts with 28 emotions, to
0.466 and 0.482."""
FEW_WORDS = 11
"""In a text, on average, up to which their order says so much that pieces may go over words: of trec's questions with
10 words accuracy came to 0.84 so, to 0.80 with pieces within words. Of sst2's sentences with 19 it was 0.795 and 0.799,
of posts with 13 micro F1 was 0.37 and 0.40, of synopses with 110 it was 0.41 and 0.47."""
LONGEST_PIECE, LONGEST_WORD_PIECE = 4, 16
"""Characters of the longest piece, in scripts without spaces and in others. Longer ones of the first kind are rarely
seen twice in a small training set; words that come often, and words that go together, are best left whole."""
WIDTH, LAYERS, HEADS, INTERMEDIATE = 128, 2, 8, 1024
LONGEST_INPUT = 512
"""Positions the model has at least, so that an untruncated long text is still an answer and not a crash."""
TEACHER_SHARE, TEACHER_SHARE_OF_SEVERAL = 0.8, 0.7
"""Most weight that the teacher's belief gets in the target of a training text; the label itself has the rest. Of
several labels a teacher is less sure: of 41 genres micro F1 came to 0.41 with the first share, 0.46 with 0.5, and ROC
AUC to 0.854 and 0.843."""
TEXTS_FOR_HALF_TRUST = 300
"""Training texts at which a teacher gets half of that weight: with few texts it has learned next to nothing."""


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
    step: Callable[[], None] = lambda: None,
) -> StarterKit:
    """A tokenizer, an untrained model and soft targets, learned from the training texts.

    Args:
        texts: (n) training texts, without those of the validation and test parts.
        targets: (n,) label numbers, or (n, k) zeros and ones if ``multilabel``.
        max_length: of an encoded text, in tokens, special tokens included.
        seed: of the model's random weights, the teacher's folds and the made-up texts.
        step: called often: the place to raise for a stop.
    """
    hard = np.eye(num_labels)[targets.astype(np.int64)] if targets.ndim == 1 else targets.astype(np.float64)
    tokenizer = learn_tokenizer(texts, max_length)
    made_up, soft_targets = soften(texts, hard, multilabel, seed, step)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(len(tokenizer), num_labels, multilabel, max_length)
    return StarterKit(tokenizer, model, broken_up(made_up, seed), soft_targets)


def warm_up(
    model: BertForSequenceClassification,
    texts: EncodedTexts,
    soft_targets: npt.NDArray[np.generic],
    *,
    loss: BagLoss,
    steps: int,
    seed: int,
    tell: Callable[[BagStep], None] = lambda step: None,
) -> None:
    """The first part of the training: the untrained model learns as the bag of pieces that it begins as.

    Args:
        texts: the real and the made-up ones, encoded by the kit's tokenizer.
        soft_targets: (n + m, k) the kit's.
        loss: of the run.
        steps: how many (`backend.recipes.bag_steps`).
        tell: called after each step: the place to raise for a stop.
    """
    hidden_piece = SPECIAL_TOKENS.index("[MASK]")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        targets = soft_targets.astype(np.float64)
        train_bag(model, texts, targets, loss=loss, steps=steps, hidden_piece=hidden_piece, seed=seed, tell=tell)


def soften(
    texts: list[str], hard: Floats, multilabel: bool, seed: int, step: Callable[[], None] = lambda: None
) -> tuple[list[str], Floats]:
    """Made-up texts, and what to learn from the real texts and from them.

    Args:
        hard: (n, k) zeros and ones.

    Returns:
        m texts, and (n + m, k) targets: the labels mixed with the teacher's belief, by how far it can be trusted.
    """
    real = len(texts)
    number = made_up_for(real, multilabel=multilabel)
    lessons = plan_lessons(texts, hard.shape[1], multilabel)
    if lessons is None:
        made = make_up(texts, hard, np.zeros(len(texts), dtype=np.int64), max(0, LEAST_TEXTS - real), seed)
        return made.texts, np.concatenate([hard, made.targets])
    teacher = Teacher(texts, hard, lessons, multilabel=multilabel, seed=seed, step=step)
    made = make_up(texts, hard, teacher.fold, number, seed)
    trust = real / (real + TEXTS_FOR_HALF_TRUST)
    share = trust * (TEACHER_SHARE_OF_SEVERAL if multilabel else TEACHER_SHARE)
    softened = share * teacher.believed + (1 - share) * hard
    unreal = trust * teacher.label(made.texts, made.folds) + (1 - trust) * made.targets
    return made.texts, np.concatenate([softened, unreal])


def learn_tokenizer(texts: list[str], max_length: int, vocabulary_size: int | None = None) -> PreTrainedTokenizerFast:
    """A byte-pair tokenizer of these texts: NFKC, lower case, punctuation apart, then pieces of what is between.

    Where words stand apart and texts are short a piece may hold several words, such as "how many": a bag of such pieces
    knows something of the order of words (Liu et al. 2025, "SuperBPE", arXiv:2503.13423).

    Args:
        vocabulary_size: pieces that there are at most; what suits the texts if None.
    """
    unspaced = mostly_unspaced(texts)
    words = sum(len(text.split()) for text in texts)
    if vocabulary_size is None:
        vocabulary_size = VOCABULARY_OF_MUCH_TEXT if words >= MUCH_TEXT else VOCABULARY_SIZE
    learned = Tokenizer(BPE(unk_token="[UNK]"))
    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    learned.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), spaces, normalizers.Strip()]
    )
    over_words = pre_tokenizers.Split(Regex(r"[^\w\s]+"), "isolated")
    within_words = unspaced or words > FEW_WORDS * len(texts)
    learned.pre_tokenizer = pre_tokenizers.Whitespace() if within_words else over_words
    trainer = BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        special_tokens=SPECIAL_TOKENS,
        max_token_length=LONGEST_PIECE if unspaced else LONGEST_WORD_PIECE,
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
    vocabulary_size: int, num_labels: int, multilabel: bool, max_length: int
) -> BertForSequenceClassification:
    """A small BERT with the standard head that begins as a bag of pieces, random in its embeddings."""
    config = BertConfig(
        vocab_size=vocabulary_size,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        max_position_embeddings=padded_length(max(max_length, LONGEST_INPUT)),
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        id2label={number: f"LABEL_{number}" for number in range(num_labels)},
        label2id={f"LABEL_{number}": number for number in range(num_labels)},
        problem_type="multi_label_classification" if multilabel else "single_label_classification",
        pad_token_id=0,
    )
    model = BertForSequenceClassification(config)
    begin_as_bag(model)
    return model
