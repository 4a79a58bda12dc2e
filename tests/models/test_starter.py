"""The starter model: made from the training texts alone, standard when saved, never broken by odd data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, pipeline

from backend.models.augmentation import broken_up, make_up
from backend.models.encoding import EncodedTexts, encode
from backend.models.forward import predict_logits
from backend.models.starter import StarterKit, build_model, learn_tokenizer, prepare_starter, soften, warm_up
from backend.models.teacher import Lessons, Teacher, plan_lessons
from backend.models.warm_start import BagStep, bag_logits, expect_shares
from backend.training.losses import ClassificationLoss, balanced_weights

GOOD = ["很好吃，送得快", "味道不错，量也足", "great food, quick delivery", "tasty and warm, will order again"]
BAD = ["太难吃了，送得慢", "味道很差，还少送了", "cold food, slow delivery", "bland and late, never again"]
TEXTS = [f"{text} {number}" for number in range(5) for text in GOOD + BAD]
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0] * 5)


@pytest.fixture(scope="module")
def kit() -> StarterKit:
    """A starter for two labels, made once."""
    return prepare_starter(TEXTS, TARGETS, 2, False, 32, 0)


def test_tokenizer_reads_chinese_and_english_and_knows_what_it_was_taught() -> None:
    tokenizer = learn_tokenizer(TEXTS, 32)
    assert tokenizer.tokenize("ＧＲＥＡＴ 味道") == tokenizer.tokenize("great 味道")
    assert tokenizer.unk_token_id not in tokenizer("味道很好 tasty")["input_ids"]
    assert tokenizer.unk_token_id in tokenizer("鼹鼠")["input_ids"]


def test_kit_has_a_target_for_every_text(kit: StarterKit) -> None:
    assert kit.soft_targets.shape == (len(TEXTS) + len(kit.extra_texts), 2)
    assert np.allclose(kit.soft_targets.sum(axis=1), 1)
    assert (kit.soft_targets[: len(TEXTS)].argmax(axis=1) == TARGETS).all()


def test_starter_knows_nothing_at_first_and_is_a_fair_classifier_once_warm() -> None:
    kit = prepare_starter(TEXTS, TARGETS, 2, False, 32, 0)
    batch = encode(kit.tokenizer, TEXTS, 32).batch(range(len(TEXTS)))

    def share_right() -> float:
        with torch.inference_mode():
            return float(np.mean(kit.model.eval()(**batch).logits.argmax(dim=1).numpy() == TARGETS))

    assert share_right() < 0.8
    told: list[BagStep] = []
    texts = encode(kit.tokenizer, TEXTS + kit.extra_texts, 32)
    vocabulary = kit.model.bert.embeddings.word_embeddings.weight
    before, hidden = vocabulary.detach().clone(), kit.tokenizer.mask_token_id
    warm_up(kit.model, texts, kit.soft_targets, loss=ClassificationLoss(), steps=300, seed=0, tell=told.append)
    assert share_right() > 0.9
    assert [done.step for done in told] == list(range(1, told[0].steps + 1))
    assert told[-1].loss < told[0].loss
    assert torch.equal(vocabulary[hidden], before[hidden]), "what goes on from a checkpoint finds it like this"
    assert not torch.equal(vocabulary, before)


def test_bag_is_what_the_whole_model_computes_at_the_beginning() -> None:
    torch.manual_seed(0)
    tokenizer = learn_tokenizer(TEXTS, 32)
    model = build_model(len(tokenizer), 3, False, 32).eval()
    model.bert.encoder.layer[-1].attention.self.query.weight.data.zero_()  # uniform attention, exactly
    batch = encode(tokenizer, TEXTS[:6], 32).batch(range(6))
    with torch.inference_mode():
        expected = model(**batch).logits
        assert torch.allclose(bag_logits(model, batch["input_ids"], batch["attention_mask"]), expected, atol=1e-4)


def test_first_heads_look_at_neighbouring_positions() -> None:
    torch.manual_seed(0)
    model = build_model(50, 2, False, 64).eval()
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        attentions = model(torch.randint(5, 50, (1, 40)), output_attentions=True).attentions[0][0]
    looked_at = attentions[:, 10].argmax(dim=1) - 10
    assert looked_at.tolist() == [-1, 1, -2, 2, 0, -3, 3, 0]


def test_same_seed_makes_the_same_starter(kit: StarterKit) -> None:
    again = prepare_starter(TEXTS, TARGETS, 2, False, 32, 0)
    assert again.extra_texts == kit.extra_texts
    assert torch.equal(again.model.classifier.weight, kit.model.classifier.weight)


def test_saved_starter_loads_with_a_plain_pipeline(kit: StarterKit, tmp_path: Path) -> None:
    kit.model.save_pretrained(tmp_path)
    kit.tokenizer.save_pretrained(tmp_path)
    classify = pipeline("text-classification", model=str(tmp_path), device="cpu")
    assert classify("味道不错")[0]["label"] == "LABEL_1"
    assert classify("好" * 400)[0]["score"] > 0  # longer than it was trained for, and not truncated
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded("味道 good")["input_ids"] == kit.tokenizer("味道 good")["input_ids"]


@pytest.mark.parametrize("texts", [["好", "差"] * 8, ["a", "b"] * 3, ["！", "？"] * 4, list("天地玄黄宇宙")])
def test_one_character_texts_do_not_break_it(texts: list[str]) -> None:
    hard = np.eye(2)[[number % 2 for number in range(len(texts))]]
    made, targets = soften(texts, hard, False, 0)
    assert len(targets) == len(texts) + len(made)
    assert np.isfinite(targets).all()
    assert len(learn_tokenizer(texts, 8)) > 5


def test_much_text_has_a_larger_vocabulary() -> None:
    random = np.random.default_rng(0)
    words = np.array(
        [f"{first}{second}{third}" for first in "abcdefghij" for second in "klmnopqrst" for third in range(300)]
    )
    texts = [" ".join(random.choice(words, 100)) for _ in range(7_000)]
    sizes = [len(learn_tokenizer(some, 128)) for some in (texts[:6_900], texts)]
    assert sizes == [8_000, 16_000]


def test_label_with_one_text_does_not_break_the_teacher() -> None:
    hard = np.eye(3)[[*TARGETS[:-1], 2]]
    teacher = Teacher(TEXTS, hard, Lessons(5, thrifty=False), multilabel=False, seed=0)
    assert np.allclose(teacher.believed.sum(axis=1), 1)
    assert (teacher.believed[:-1].argmax(axis=1) == TARGETS[:-1]).mean() > 0.8


def test_several_labels_are_believed_one_by_one() -> None:
    hard = np.stack([TARGETS, 1 - TARGETS, np.ones(len(TEXTS))], axis=1).astype(float)
    for thrifty in (False, True):
        teacher = Teacher(TEXTS, hard, Lessons(5, thrifty), multilabel=True, seed=0)
        assert teacher.believed[:, 2].min() > 0.9
        assert (teacher.believed[:, 0].round() == TARGETS).mean() > 0.8
        assert teacher.label([], np.zeros(0, dtype=np.int64)).shape == (0, 3)


def test_made_up_texts_keep_to_one_fold_and_mix_the_targets() -> None:
    hard, folds = np.eye(2)[TARGETS], np.arange(len(TEXTS)) % 2
    made = make_up(TEXTS, hard, folds, 50, seed=0)
    assert 30 < len(made.texts) == len(made.folds) == len(made.targets) <= 50
    assert np.allclose(made.targets.sum(axis=1), 1)
    for text, fold in zip(made.texts, made.folds, strict=True):
        allowed = {character for source in np.flatnonzero(folds == fold) for character in TEXTS[source]} | {" "}
        assert set(text) <= allowed


def test_teacher_is_left_out_where_it_would_take_minutes() -> None:
    long_text = "字" * 10_000
    assert plan_lessons([long_text] * 100, 2, False) == Lessons(5, thrifty=False)
    assert plan_lessons([long_text] * 100, 30, False) == Lessons(5, thrifty=True)
    assert plan_lessons([long_text] * 10_000, 5, False) == Lessons(3, thrifty=True)
    assert plan_lessons([long_text] * 10_000, 30, False) is None


def test_several_labels_are_learned_from_real_texts_alone_and_rare_ones_are_expected_to_be_rare() -> None:
    texts = [f"{word} {number}" for number in range(700) for word in ("red", "green", "blue")]
    hard = np.array([["red" in text, "green" in text, number < 3] for number, text in enumerate(texts)], dtype=float)
    made, targets = soften(texts, hard, True, 0)
    assert made == []
    assert targets.shape == hard.shape
    model = build_model(20, 3, True, 32)
    expect_shares(model, targets)
    expected = 1 / (1 + np.exp(-model.classifier.bias.detach().numpy()))
    assert np.allclose(expected, targets.mean(axis=0).clip(1e-3, 1), atol=1e-5)
    expect_shares(model, targets, torch.from_numpy(balanced_weights("multilabel", hard, 3)))
    expected = 1 / (1 + np.exp(-model.classifier.bias.detach().numpy()))
    assert np.allclose(expected[:2], 0.5, atol=0.05), "with and without the label count alike"


@pytest.mark.parametrize("multilabel", [False, True])
def test_bag_learns_by_the_loss_of_the_run(multilabel: bool) -> None:
    """A label that counts a hundred times as much as the other is what it answers to a text that says nothing."""
    texts = ["good food", "bad food", "food"] * 20
    hard = np.array([[1, 0], [0, 1], [0.5, 0.5]] * 20)
    tokenizer = learn_tokenizer(texts, 16)
    encoded = encode(tokenizer, texts, 16)
    asked = encode(tokenizer, ["food"], 16).batch([0])
    for heavy in (0, 1):
        model = build_model(len(tokenizer), 2, multilabel, 16)
        loss = ClassificationLoss(multilabel, weights=torch.tensor([100.0, 1.0] if heavy == 0 else [1.0, 100.0]))
        warm_up(model, encoded, hard, loss=loss, steps=100, seed=0)
        with torch.inference_mode():
            assert int(model.eval()(**asked).logits[0].argmax()) == heavy


def test_bag_of_no_steps_stays_what_it_was(kit: StarterKit) -> None:
    model, texts = build_model(len(kit.tokenizer), 2, False, 32), encode(kit.tokenizer, TEXTS + kit.extra_texts, 32)
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    warm_up(model, texts, kit.soft_targets, loss=ClassificationLoss(), steps=0, seed=0)
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())


def test_broken_up_texts_keep_their_characters_and_are_the_same_for_a_seed() -> None:
    chinese = ["饭菜有些咸，送得也慢" * 3] * 4
    broken = broken_up(chinese, seed=1)
    assert [text.replace(" ", "") for text in broken] == chinese
    assert len(set(broken)) > 1, "each in its own places"
    assert broken == broken_up(chinese, seed=1) != broken_up(chinese, seed=2)
    assert broken_up(["what is the capital of france"], seed=1) == ["what is the capital of france"]


def test_pieces_of_scripts_with_spaces_go_over_words_but_not_over_punctuation() -> None:
    english = learn_tokenizer(["what is  the capital of france?", "What is the capital of spain?"] * 20, 32)
    assert any(" " in piece.strip() for piece in english.tokenize("WHAT IS\nTHE capital?"))
    assert not [piece for piece in english.get_vocab() if "?" in piece and piece != "?"]
    told = " ".join(f"word{number}" for number in range(12))
    longer = learn_tokenizer([f"what is {told}", f"what is not {told}"] * 20, 64)
    assert not [piece for piece in longer.get_vocab() if " " in piece], "in long texts words say enough"
    chinese = learn_tokenizer(["饭菜有些咸，送得也慢", "饭菜有些咸，味道不错"] * 20, 32)
    assert max(map(len, set(chinese.get_vocab()) - set(chinese.all_special_tokens))) <= 4


def test_texts_that_fill_an_odd_maximum_length_have_a_position_for_their_padding() -> None:
    model = build_model(50, 2, False, 700)
    texts = EncodedTexts(np.full(700, 7, dtype=np.int32), np.array([0, 700]), 0)
    assert predict_logits(model, texts).shape == (1, 2)
