"""Data sets of the Hub: found, looked at and imported by the real clients, from a small Hub on this machine."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backend.data import datasets
from backend.data.hub_datasets import (
    HubSource,
    hub_source_of,
    look_up,
    parts_of,
    pinned,
    repository_named,
    start_hub_import,
    start_look,
    usual_splits,
)
from backend.data.hub_preview import ask_viewer, viewer_endpoint
from backend.data.hub_search import search
from backend.errors import (
    HubConfigurationMissing,
    HubDatasetGated,
    HubDatasetNoTable,
    HubDatasetScript,
    HubDatasetUnknown,
    HubDatasetUnreadable,
    HubDataUnreachable,
    HubRevisionUnknown,
    HubSplitMissing,
    TokenRejected,
)
from backend.settings import Home
from backend.specs import RunSpec
from tests.hub_data import NAMES, add_reviews, parquet
from tests.hub_standin import HubStandIn, Repository

WAIT_S = 120
SOON_S = 3.5
TWO_CONFIGURATIONS = b"""---
configs:
- config_name: short
  data_files:
  - {split: train, path: short/train.csv}
  - {split: test, path: short/test.csv}
- config_name: long
  data_files: long/*.jsonl
---
# Texts
"""
FOREIGN = b"""---
configs:
- config_name: default
  data_files: %s
---
"""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubStandIn]:
    """A Hub, and an empty cache for the processes that read from it."""
    with HubStandIn() as standin:
        for name, value in {**standin.environ(), "HF_HOME": str(tmp_path / "hf")}.items():
            monkeypatch.setenv(name, value)
        yield standin


def add(hub: HubStandIn, name: str, files: dict[str, bytes], **about: Any) -> Repository:
    """A data set with these files."""
    return hub.add(Repository(name, "dataset", files=dict(files), commits=["initial commit"], **about))


def imported(home: Home, source: HubSource, token: str | None = None) -> dict[str, Any]:
    """The profile of the imported table."""
    job = start_hub_import(home, source, token)
    datasets.wait(job, WAIT_S)
    return datasets.load_profile(home, datasets.dataset_of(job))


def csv(rows: int, word: str) -> bytes:
    """A table of texts and labels, in which one text is the word that pandas takes for a missing value."""
    lines = ["text,label", *(f"{'NA' if n == 3 else f'{word} {n}'},{n % 2}" for n in range(rows))]
    return ("\n".join(lines) + "\n").encode()


# -- search and look-up


def test_search_finds_by_words_and_says_what_needs_a_token(hub: HubStandIn) -> None:
    add(hub, "someone/hotel-reviews", {}, downloads=5, likes=2, tags=["size_categories:1K<n<10K"], about="Hotels\nand")
    add(hub, "someone/film-reviews", {}, downloads=9, gated=True)
    add(hub, f"{hub.user}/secret-reviews", {}, private=True)
    found = search("reviews", endpoint=hub.endpoint)
    assert [(one.id, one.gated) for one in found] == [("someone/film-reviews", True), ("someone/hotel-reviews", False)]
    assert (found[1].downloads, found[1].likes, found[1].size, found[1].about) == (5, 2, "1K<n<10K", "Hotels and")
    assert search("  ", endpoint=hub.endpoint) == []
    private = search("secret", hub.read_token, hub.endpoint)
    assert [(one.id, one.private) for one in private] == [(f"{hub.user}/secret-reviews", True)]
    with pytest.raises(TokenRejected):
        search("reviews", "hf_wrong", hub.endpoint)


def test_a_data_set_is_looked_up_with_its_commit_or_refused_for_a_reason(hub: HubStandIn) -> None:
    known = add_reviews(hub, "someone/reviews", tags=["license:mit"])
    add(hub, "someone/gated", {}, gated=True)
    add(hub, f"{hub.user}/own", {}, gated=True)
    add(hub, "someone/made", {"made.py": b"raise SystemExit"})
    found = look_up("someone/reviews", endpoint=hub.endpoint)
    assert (found.id, found.sha, found.licence, found.gated) == ("someone/reviews", known.sha, "mit", False)
    assert look_up(f"{hub.user}/own", hub.read_token, hub.endpoint).gated
    for name, token, revision, error in (
        ("someone/nothing", None, "", HubDatasetUnknown),
        ("../../etc", None, "", HubDatasetUnknown),
        ("someone/gated", None, "", HubDatasetGated),
        ("someone/gated", hub.read_token, "", HubDatasetGated),
        ("someone/reviews", "hf_wrong", "", TokenRejected),
        ("someone/reviews", None, "v9", HubRevisionUnknown),
        ("someone/made", None, "", HubDatasetScript),
    ):
        with pytest.raises(error):
            look_up(name, token, hub.endpoint, revision)


@pytest.mark.alone
def test_a_hub_that_does_not_answer_is_told_within_three_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (9, silent.getsockname()[1]):
            for ask in (search, look_up):
                started = time.monotonic()
                with pytest.raises(HubDataUnreachable):
                    ask("someone/reviews", endpoint=f"http://127.0.0.1:{port}")
                assert time.monotonic() - started < SOON_S


def test_what_people_paste_names_a_data_set() -> None:
    for written in (
        "owner/name",
        "hub:owner/name",
        " datasets/owner/name ",
        "https://huggingface.co/datasets/owner/name",
        "https://huggingface.co/datasets/owner/name/viewer/default/train?p=1",
    ):
        assert repository_named(written) == "owner/name"
    for written in ("", "a/b/c", "no such name", "/etc/passwd", "https://huggingface.co/owner/model"):
        with pytest.raises(HubDatasetUnknown):
            repository_named(written)


def test_splits_are_used_as_what_their_names_say() -> None:
    assert usual_splits(["train", "test", "unsupervised"]) == ["train", "test"]
    assert usual_splits(["train_sft", "test_sft", "train_gen", "dev"]) == ["train_sft", "test_sft", "dev"]
    assert usual_splits(["en", "fr"]) == ["en"]
    assert usual_splits(["test"]) == ["test"]
    assert parts_of(["train", "dev", "extra"]) == {"train": "train", "dev": "validation", "extra": "train"}
    assert parts_of(["train", "extra"]) == parts_of(["test", "validation"]) == parts_of(["train"]) == {}


# -- what it holds, before anything is downloaded


def test_the_viewer_tells_first_rows_of_the_same_commit_only(hub: HubStandIn) -> None:
    features = [
        {"name": "text", "type": {"dtype": "string", "_type": "Value"}},
        {"name": "label", "type": {"names": NAMES, "_type": "ClassLabel"}},
        {"name": "tags", "type": {"feature": {"names": ["a", "b"], "_type": "ClassLabel"}, "_type": "List"}},
        {"name": "picture", "type": {"_type": "Image"}},
    ]
    rows = [{"text": "fine", "label": 1, "tags": [0, 1], "picture": {}}, {"text": None, "label": -1, "tags": []}]
    viewer = {"default": {"train": {"features": features, "rows": rows}, "test": {"features": features, "rows": []}}}
    repository = add(hub, "someone/seen", {}, viewer=viewer)
    found = look_up("someone/seen", endpoint=hub.endpoint)
    look = ask_viewer(found, endpoint=hub.endpoint)
    assert look is not None
    assert (look.configurations, look.configuration, look.splits, look.split) == (
        ["default"],
        "default",
        ["train", "test"],
        "train",
    )
    assert [column["name"] for column in look.columns] == ["text", "label", "tags"]
    assert look.rows == [["fine", "positive", "a|b"], [None, None, None]]
    repository.commits.append("newer")
    hub.add(repository)
    assert ask_viewer(found, endpoint=hub.endpoint) is None, "the viewer is at another commit"
    add(hub, "someone/unseen", {})
    assert ask_viewer(look_up("someone/unseen", endpoint=hub.endpoint), endpoint=hub.endpoint) is None
    assert viewer_endpoint("https://huggingface.co") == "https://datasets-server.huggingface.co"


def test_without_a_viewer_the_first_rows_are_read_by_ranges_of_bytes(hub: HubStandIn, home: Home) -> None:
    random = Random(1)
    rows = 40_000
    content = parquet(rows, row_group=500, noise=[random.randbytes(500).hex() for _ in range(rows)])
    add(hub, "someone/large", {"data/train.parquet": content})
    look = datasets.wait(start_look(home, HubSource("someone/large")), WAIT_S)
    assert (look["configuration"], look["splits"], look["split"]) == ("default", ["train"], "train")
    assert look["rows"][1][:2] == ["a loud street 1", "positive"]
    assert len(look["rows"]) == 6
    assert sum(size for _path, size in hub.sent) < len(content) / 2


# -- the import


def test_splits_become_parts_and_classes_keep_their_names(hub: HubStandIn, home: Home) -> None:
    files = {f"data/{split}.parquet": parquet(rows) for split, rows in (("train", 90), ("validation", 10))}
    files["data/test.parquet"] = parquet(20, unlabelled=True)
    repository = add(hub, "someone/reviews", files)
    profile = imported(home, HubSource("someone/reviews"))
    assert (profile["file"], profile["rows"], profile["given_split"]) == ("hub:someone/reviews", 100, "split")
    assert profile["hub"] == {
        "repository": "someone/reviews",
        "configuration": "default",
        "revision": repository.sha,
        "splits": ["train", "validation", "test"],
    }
    assert [note["code"] for note in profile["notes"]] == ["hub_splits_without_labels"]
    table = datasets.load_table(home, profile["dataset"])
    assert set(table["label"].to_pylist()) == set(NAMES)
    assert table["split"].to_pylist() == ["train"] * 90 + ["validation"] * 10
    assert (profile["guess"]["text"], profile["guess"]["label"]) == ("text", "label")


def test_what_was_imported_is_pinned_and_works_without_the_hub(
    hub: HubStandIn, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = add_reviews(hub, "someone/reviews")
    first = imported(home, HubSource("someone/reviews"))
    spec = RunSpec().replaced(**pinned(first))
    assert (spec.data.source, spec.data.revision) == ("hub:someone/reviews", repository.sha)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert imported(home, hub_source_of(spec.data))["dataset"] == first["dataset"]
    with pytest.raises(HubDataUnreachable):
        imported(home, HubSource("someone/reviews"))


def test_configurations_are_told_apart_and_one_must_be_named(hub: HubStandIn, home: Home) -> None:
    lines = [json.dumps({"body": f"long {n}", "kinds": ["a|b", "c"] if n % 2 else ["d"]}) for n in range(30)]
    files = {
        "README.md": TWO_CONFIGURATIONS,
        "short/train.csv": csv(40, "short"),
        "short/test.csv": csv(10, "brief"),
        "long/one.jsonl": "\n".join(lines).encode(),
    }
    add(hub, "someone/texts", files)
    with pytest.raises(HubConfigurationMissing) as refused:
        imported(home, HubSource("someone/texts"))
    assert refused.value.available == ["short", "long"]
    short = imported(home, HubSource("someone/texts", "short"))
    texts = datasets.load_table(home, short["dataset"])["text"].to_pylist()
    assert (len(texts), texts[3], short["given_split"]) == (50, "NA", "split")
    with pytest.raises(HubSplitMissing):
        imported(home, HubSource("someone/texts", "short", splits=("dev",)))
    long = imported(home, HubSource("someone/texts", "long"))
    kinds = datasets.load_table(home, long["dataset"])["kinds"].to_pylist()
    assert kinds[:2] == ["d", "a|b;c"], "the separator is one that no item contains"
    assert long["guess"]["separator"] == ";"


def test_a_private_data_set_needs_the_token_that_is_handed_over(hub: HubStandIn, home: Home) -> None:
    add_reviews(hub, f"{hub.user}/own", private=True)
    source = HubSource(f"{hub.user}/own")
    with pytest.raises(HubDatasetUnknown):
        imported(home, source)
    assert imported(home, source, hub.read_token)["rows"] == 340
    written = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert hub.read_token.encode() not in written


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"README.md": b"# nothing"}, HubDatasetNoTable),
        ({"train.parquet": b"PAR1 and then nothing"}, HubDatasetUnreadable),
        ({"README.md": FOREIGN % b"hf://datasets/someone/other/a.csv", "a.csv": b"a,b\n1,2\n"}, HubDatasetNoTable),
    ],
)
def test_what_is_no_table_is_refused_and_leaves_nothing(
    hub: HubStandIn, home: Home, files: dict[str, bytes], error: type[Exception]
) -> None:
    add(hub, "someone/other", {"a.csv": b"secret,b\n1,2\n"})
    add(hub, "someone/odd", files)
    with pytest.raises(error):
        imported(home, HubSource("someone/odd"))
    assert list(home.datasets.iterdir()) == []


def test_declared_classes_are_the_labels_for_sure(home: Home, hub: HubStandIn) -> None:
    # Neither its name nor its values would have told: the other column is called "label".
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"text": Value("string"), "label": Value("string"), "verdict": ClassLabel(names=NAMES)})
    columns = {
        "text": [f"the words number {n}" for n in range(60)],
        "label": ["ab"[n // 7 % 2] for n in range(60)],
        "verdict": [n % 2 for n in range(60)],
    }
    stream = BytesIO()
    Dataset.from_dict(columns, features=features).to_parquet(stream)
    add(hub, "someone/verdicts", {"data/train-00000-of-00001.parquet": stream.getvalue()})
    guess = imported(home, HubSource("someone/verdicts"))["guess"]
    assert (guess["text"], guess["label"], guess["certain"]) == ("text", "verdict", True)
    assert guess["reasons"]["label"] == "classes"
