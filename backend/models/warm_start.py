"""The starter's computed beginning: a BERT that at first is a bag of pieces, and already a fair classifier.

Before its first real step the network has this structure: the first layers look at neighbouring positions but add
nothing yet (their output is zero, as in Bachlechner et al. 2020, "ReZero"), the last layer takes the mean of all piece
embeddings into [CLS], and the head reads it. That function is cheap to compute without attention, so embeddings and
head are first trained as just that, a fastText (Joulin et al. 2016) inside a BERT; the transformer goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import BertForSequenceClassification

from backend.models.dropout import drop
from backend.models.encoding import EncodedTexts
from backend.recipes import BAG_BATCH_SIZE

POSITION_WIDTH = 32
"""Dimensions of the embedding that hold the position, as sines and cosines; the rest are the piece's own."""
FASTEST, SLOWEST = 1.5, 0.02
"""Radians a position of the first and last sine."""
OFFSETS = (-1, 1, -2, 2, 0, -3, 3, 0)
"""Position, relative to its own, that each head of the first layers looks at."""
SHARPNESS = 6.0
"""Attention logit of a head for the very position it looks at."""

LEARNING_RATE, LEARNING_RATE_OF_SEVERAL = 2e-3, 5e-3
"""Where a text has one label, and where it may have several. Of 41 genres of 6,892 synopses ROC AUC came to 0.84 with
the second, to 0.81 with twice as many steps at the first."""
RAREST_SHARE = 1e-3
"""Of texts with a label, as far as the head begins by knowing how rare labels are."""
LEAST_WEIGHT = 1e-3
"""Of a label, as far as the head begins by knowing how much labels count."""
DROPOUT, HIDDEN_PIECES = 0.2, 0.1


class BagLoss(Protocol):
    """What is learned by: the loss of the run, with all that was asked of it."""

    @property
    def multilabel(self) -> bool:
        """Whether a text may have several labels."""

    @property
    def weights(self) -> torch.Tensor | None:
        """(k,) how much each label counts; None: all alike."""

    def of_logits(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss of logits (b, k) where the labels should have these probabilities (b, k)."""


@dataclass(frozen=True)
class BagStep:
    """One step of `train_bag`, when it is done."""

    step: int
    """From 1."""
    steps: int
    """Of all."""
    loss: float
    learning_rate: float
    gradient_norm: float


@torch.no_grad()
def begin_as_bag(model: BertForSequenceClassification) -> None:
    """Set the weights so that the model is the function of `bag_logits`, with heads ready to look at neighbours."""
    bert: Any = model.bert
    embeddings, layers, width = bert.embeddings, bert.encoder.layer, model.config.hidden_size
    scale = model.config.initializer_range * math.sqrt(2)
    frequencies = torch.exp(torch.linspace(math.log(FASTEST), math.log(SLOWEST), POSITION_WIDTH // 2))
    angles = torch.arange(len(embeddings.position_embeddings.weight))[:, None] * frequencies
    embeddings.token_type_embeddings.weight.zero_()
    embeddings.word_embeddings.weight[:, -POSITION_WIDTH:] = 0
    embeddings.position_embeddings.weight.zero_()
    embeddings.position_embeddings.weight[:, -POSITION_WIDTH:] = scale * torch.cat([angles.sin(), angles.cos()], dim=1)
    for layer in layers:
        layer.output.dense.weight.zero_()
    for layer in layers[:-1]:
        for head in range(model.config.num_attention_heads):
            _look_at(layer.attention.self, head, OFFSETS[head % len(OFFSETS)], frequencies)
        layer.attention.self.value.weight.normal_(0, 1 / math.sqrt(width))
        layer.attention.output.dense.weight.zero_()
    identity = torch.eye(width)
    for dense in (layers[-1].attention.self.value, layers[-1].attention.output.dense, bert.pooler.dense):
        dense.weight.copy_(identity)


def _look_at(attention: Any, head: int, offset: int, frequencies: torch.Tensor) -> None:
    """Make a head's attention logit highest at the position ``offset`` from its own.

    The query is the position turned by the offset, the key the position itself; their product is a sum of cosines.
    """
    size = attention.attention_head_size
    width = attention.query.weight.shape[1]
    half = len(frequencies)
    chosen = torch.linspace(0, half - 1, min(half, size // 2)).long()
    sine, cosine = width - POSITION_WIDTH + chosen, width - POSITION_WIDTH + half + chosen
    number = len(chosen)
    rows = head * size + torch.arange(number)
    turn = frequencies[chosen] * offset
    gain = math.sqrt(SHARPNESS * math.sqrt(size) / number)
    for weight in (attention.query.weight, attention.key.weight):
        weight[head * size : (head + 1) * size] = 0
    attention.query.weight[rows, sine] = gain * turn.cos()
    attention.query.weight[rows, cosine] = gain * turn.sin()
    attention.query.weight[rows + number, cosine] = gain * turn.cos()
    attention.query.weight[rows + number, sine] = -gain * turn.sin()
    attention.key.weight[rows, sine] = gain
    attention.key.weight[rows + number, cosine] = gain


def bag_logits(
    model: BertForSequenceClassification, input_ids: torch.Tensor, mask: torch.Tensor, dropout: float = 0.0
) -> torch.Tensor:
    """(b, k) what the model answers while it has the weights of `begin_as_bag`, without computing attention.

    Equal up to the last layer's attention weights, which at first are nearly but not quite uniform.
    """
    bert: Any = model.bert
    embeddings, layer = bert.embeddings, bert.encoder.layer[-1].attention
    positions = embeddings.position_embeddings.weight[: input_ids.shape[1]]
    pieces = embeddings.LayerNorm(embeddings.word_embeddings(input_ids) + positions)
    pieces = drop(pieces, dropout)
    shares = mask[..., None] / mask.sum(1)[:, None, None]
    mean = drop(layer.output.dense(layer.self.value((pieces * shares).sum(1))), dropout)
    pooled = torch.tanh(bert.pooler.dense(layer.output.LayerNorm(pieces[:, 0] + mean)))
    logits: torch.Tensor = model.classifier(drop(pooled, dropout))
    return logits


def train_bag(
    model: BertForSequenceClassification,
    texts: EncodedTexts,
    targets: npt.NDArray[np.float64],
    *,
    loss: BagLoss,
    steps: int,
    hidden_piece: int,
    seed: int,
    tell: Callable[[BagStep], None] = lambda step: None,
) -> None:
    """Train the embeddings and the head of a model from `begin_as_bag`, as the bag of pieces that it is.

    Args:
        targets: (n, k) probabilities.
        steps: how many; none leaves the model as it is, but for what its head expects.
        hidden_piece: token that stands in for pieces hidden at random.
        tell: called after each step: the place to raise for a stop, which leaves the model a bag learned so far.
    """
    bert: Any = model.bert
    if loss.multilabel:
        expect_shares(model, targets, loss.weights)
    if not steps:
        return
    learned = [bert.embeddings.word_embeddings.weight, *bert.pooler.parameters(), *model.classifier.parameters()]
    rate = LEARNING_RATE_OF_SEVERAL if loss.multilabel else LEARNING_RATE
    optimizer = torch.optim.AdamW(learned, lr=rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: min(10 * (done + 1) / steps, 1 - done / steps))
    soft = torch.from_numpy(targets).float()
    order = _batches_without_end(texts.lengths, np.random.default_rng(seed))
    device = next(model.parameters()).device
    # What follows reads no hidden piece and, going on from a checkpoint, finds it as it was: so it stays.
    before = bert.embeddings.word_embeddings.weight[hidden_piece].detach().clone()
    for done in range(1, steps + 1):
        rows = next(order)
        batch = texts.batch(rows)
        ids = batch["input_ids"].to(device)
        hidden = (torch.rand(ids.shape, device=device) < HIDDEN_PIECES) & (ids > hidden_piece)
        mask = batch["attention_mask"].to(device)
        logits = bag_logits(model, ids.masked_fill(hidden, hidden_piece), mask, DROPOUT)
        mean: Any = loss.of_logits(logits, soft[rows].to(device))
        mean.backward()
        norm = nn.utils.clip_grad_norm_(learned, 1.0)
        rate_now = float(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tell(BagStep(done, steps, mean.item(), rate_now, norm.item()))
    with torch.no_grad():
        bert.embeddings.word_embeddings.weight[hidden_piece] = before


@torch.no_grad()
def expect_shares(
    model: BertForSequenceClassification, targets: npt.NDArray[np.float64], weights: torch.Tensor | None = None
) -> None:
    """Have the head answer each label as often as it stands in the (n, k) targets, whatever the text.

    Where the loss gives (k,) ``weights`` to texts with a label, as often as if there were so many more of them.

    Otherwise the first steps go into learning that most of many labels are rare (Lin et al. 2017, "Focal Loss", begin
    with such a bias for the same reason).
    """
    shares = targets.mean(axis=0).clip(RAREST_SHARE, 1 - RAREST_SHARE)
    expected = torch.from_numpy(np.log(shares / (1 - shares)))
    model.classifier.bias.copy_(expected if weights is None else expected + weights.clamp(min=LEAST_WEIGHT).log())


def _batches_without_end(lengths: npt.NDArray[np.int64], random: np.random.Generator) -> Iterator[list[int]]:
    """Row numbers of random batches, each of texts of like length."""
    while True:
        order = random.permutation(len(lengths))
        groups = [order[start : start + 50 * BAG_BATCH_SIZE] for start in range(0, len(order), 50 * BAG_BATCH_SIZE)]
        ordered = np.concatenate([group[np.argsort(lengths[group], kind="stable")] for group in groups])
        starts = np.arange(0, len(ordered), BAG_BATCH_SIZE)
        yield from (ordered[start : start + BAG_BATCH_SIZE].tolist() for start in random.permutation(starts))
