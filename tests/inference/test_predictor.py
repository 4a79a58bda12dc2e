"""Asking models through their own processes: the real service, the real client."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from backend.errors import ModelUnusable, NotAModelFolder, PredictorFailed, TextMissing
from backend.inference.answering import Models
from backend.inference.client import Predictor, PredictorPool
from backend.inference.service import serve
from backend.jobs.launch import child_environment
from backend.models.before import save_before
from backend.models.loading import load_base
from tests.tiny_models import make_tiny

TEXTS = ["cold and late", "tasty and hot, great soup", "饭菜有些咸！"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a finished model and the one before fine-tuning."""
    folder = tmp_path_factory.mktemp("run")
    base = make_tiny(folder / "base", "bert", TEXTS * 20)
    loaded = load_base(base, name="base", labels=["差评", "好评"], task="binary", max_length=64, seed=3)
    save_before(folder, loaded, base=str(base), source=base, task="binary", labels=["差评", "好评"])
    loaded.model.classifier.bias.data += 1.0
    loaded.model.classifier.weight.data *= 3.0
    loaded.model.save_pretrained(folder / "model")
    loaded.tokenizer.save_pretrained(folder / "model")
    return folder


@pytest.fixture(scope="module")
def predictor(run: Path) -> Iterator[Predictor]:
    """A predictor that the tests of this module share."""
    with Predictor(run) as held:
        yield held


def test_answers_have_the_text_the_label_and_all_probabilities(predictor: Predictor, run: Path) -> None:
    found = predictor.predict(TEXTS)
    assert found.before is None
    assert [answer["text"] for answer in found.answers] == TEXTS
    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForSequenceClassification.from_pretrained(run / "model").eval()
    for answer in found.answers:
        logits = model(**tokenizer(answer["text"], return_tensors="pt")).logits
        expected = dict(zip(["差评", "好评"], logits.softmax(-1)[0].tolist(), strict=True))
        assert answer["scores"] == pytest.approx(expected, abs=1e-5)
        assert answer["label"] == max(expected, key=expected.__getitem__)


def test_before_and_after_stand_side_by_side(predictor: Predictor) -> None:
    found = predictor.predict(TEXTS, before=True)
    assert found.before is not None
    assert [answer["text"] for answer in found.before] == TEXTS
    assert found.before[0]["scores"] != found.answers[0]["scores"]


def test_long_and_many_line_texts_are_answered(predictor: Predictor) -> None:
    long = "tasty\nand hot\n" * 400
    found = predictor.predict([long, "a", "", "😀\u2028\x00 odd"])
    assert [answer["text"] for answer in found.answers] == [long, "a", "", "😀\u2028\x00 odd"]


def test_batch_answers_as_one_by_one(predictor: Predictor) -> None:
    texts = [f"{'tasty ' * (number % 30)}order {number}" for number in range(200)]
    together = predictor.predict(texts).answers
    for number in (0, 29, 111, 199):
        alone = predictor.predict([texts[number]]).answers[0]
        assert alone["scores"] == pytest.approx(together[number]["scores"], abs=1e-5)


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\n"]])
def test_nothing_to_predict_is_said(predictor: Predictor, texts: list[str]) -> None:
    with pytest.raises(TextMissing):
        predictor.predict(texts)


def test_process_is_kept_between_questions_and_replaced_after_a_crash(predictor: Predictor) -> None:
    predictor.predict(["a"])
    first = predictor.process_id
    predictor.predict(["b"])
    assert predictor.process_id == first
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(PredictorFailed):
        predictor.predict(["c"], timeout_s=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)
    assert predictor.predict(["d"]).answers[0]["text"] == "d"
    assert predictor.process_id != first


def test_what_is_not_there_is_told_and_the_rest_still_answers(run: Path, tmp_path: Path) -> None:
    models, answers = Models(tmp_path), io.StringIO()
    questions = ['{"texts": ["a"]}', '{"texts": ["a"], "which": "before"}', '{"texts": ["a"]}']

    def answering(which: str, texts: list[str]) -> list[dict[str, object]]:
        try:
            return models.answerer(which).answer(texts)
        finally:
            if not (tmp_path / "model").exists():
                (tmp_path / "model").symlink_to(run / "model")

    serve(questions, answers, answering)
    nothing, no_before, found = (json.loads(line) for line in answers.getvalue().splitlines())
    assert nothing["error"]["code"] == NotAModelFolder.code
    assert no_before["error"]["code"] == ModelUnusable.code
    assert found["answers"][0]["text"] == "a"


def test_service_speaks_only_json_lines_and_ends_with_its_input(run: Path) -> None:
    questions = ['{"texts": ["a"], "which": "before"}', "no json", '{"texts": ["b", "c"]}']
    done = subprocess.run(
        [sys.executable, "-m", "backend.inference.service", str(run), "--before"],
        input="\n".join(questions) + "\n",
        capture_output=True,
        text=True,
        env=child_environment({}),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert first["answers"] is None
    assert first["before"][0]["text"] == "a"
    assert second["error"]["code"] == "predict.failed"
    assert [answer["text"] for answer in third["answers"]] == ["b", "c"]


def test_pool_holds_few_processes_and_lets_idle_ones_go(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "model").symlink_to(run / "model")
    pool = PredictorPool(limit=1, idle_s=2.0)
    try:
        pool.warm(other)
        pool.predict(run, ["a"])
        assert list(pool._held) == [run], "the older one made room"
        held = pool._held[run][0]
        deadline = time.monotonic() + 20
        while held.process_id is not None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert pool.predict(run, ["b"]).answers[0]["text"] == "b"
        pool.forget(run.name)
        assert not pool._held
    finally:
        pool.close()


def test_client_does_not_import_torch() -> None:
    program = "import sys, backend.inference.client; print('torch' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=child_environment({}))
    assert done.stdout.split() == ["False", "False"]


def test_texts_are_cleaned_as_those_of_training_were(run: Path, tmp_path: Path) -> None:
    prepared = tmp_path / "run"
    shutil.copytree(run, prepared)
    recipe = {"steps": [{"kind": "strip_html", "on": True}, {"kind": "normalise_text", "on": True}], "template": ""}
    (prepared / "model" / "preparing.json").write_text(json.dumps(recipe))
    raw, clean = "<p>cold &amp; late</p>  Ａ", "cold & late A"
    for which in ("after", "before"):
        (answer,) = Models(prepared).answerer(which).answer([raw])
        (expected,) = Models(run).answerer(which).answer([clean])
        assert answer["scores"] == pytest.approx(expected["scores"], abs=1e-6)
        assert answer["text"] == raw
