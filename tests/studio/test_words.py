"""Both languages say everything, with the same facts, and every key that the code names exists."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

import pytest

from backend.errors import ColumnMissing, DiskFull, SpecError, StudioError
from backend.jobs.directory import JobDirectory
from backend.settings import Home
from backend.specs import build_spec, settings
from studio.comparing import setting_text, told
from studio.findings import finding_words
from studio.i18n import ASSETS, LANGUAGES, Language, duration, language_of, size, words
from studio.markup import problem

PROJECT = Path(__file__).resolve().parents[2]


def texts(language: str) -> dict[str, str]:
    """A locale file as it is."""
    document: dict[str, str] = json.loads((ASSETS / "locales" / f"{language}.json").read_text("utf-8"))
    return document


def placeholders(text: str) -> set[str]:
    """The facts a text asks for."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys_and_facts() -> None:
    english, chinese = texts("en"), texts("zh-CN")
    assert english.keys() == chinese.keys()
    different = {key for key in english if placeholders(english[key]) != placeholders(chinese[key])}
    # Chinese has no plural, so a form for one may do without the number.
    assert {key for key in different if not key.endswith(".one")} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_error_and_setting_is_worded(language: Language) -> None:
    t = words(language)
    for code in StudioError.all_codes():
        assert t.has(f"errors.{code}.what"), code
        assert t.has(f"errors.{code}.next"), code
    for setting in settings():
        assert t.has(f"setting.{setting.path}.name"), setting.path
        assert t.has(f"setting.{setting.path}.help"), setting.path


def test_every_key_the_pages_name_exists() -> None:
    english = texts("en")
    known = set(english) | {re.sub(r"\.(one|other)$", "", key) for key in english}
    named = set()
    for path in (PROJECT / "studio").rglob("*.py"):
        named |= set(re.findall(r'\bt\(\s*"([a-z_0-9.]+)"', path.read_text("utf-8")))
    for path in (ASSETS / "web").glob("*.js"):
        named |= set(re.findall(r'words\["([a-z_0-9.]+)"\]', path.read_text("utf-8")))
    assert len(named) > 80
    assert named - known == set()


def test_chinese_is_chinese() -> None:
    latin = {
        key: text
        for key, text in texts("zh-CN").items()
        if len(text) > 25 and not re.search(r"[\u4e00-\u9fff]", text) and not key.startswith("share.code")
    }
    assert latin == {}


def test_errors_are_said_with_their_facts() -> None:
    what, following = words("en").error(ColumnMissing(column="lable", available=["text", "label"]))
    assert "lable" in what
    assert "text, label" in what
    assert following
    assert "512 MB" in words("zh-CN").error(DiskFull(folder="runs", free_bytes=512_000_000))[0]


def test_all_problems_of_a_spec_are_said_at_once() -> None:
    with pytest.raises(SpecError) as raised:
        build_spec(
            {
                "training": {"epochs": 0, "learning_rate": 7.0, "label_weights": {"a.b": "much"}, "epochs.a": 1},
                "prepare": {"steps": ["nonsense"]},
            }
        )
    what, _ = words("en").error(raised.value)
    assert "Label weights · a.b = much (pairs of a label and its weight" in what
    assert "Steps · 0 = " in what
    assert "(entries as docs/settings.md describes them)" in what
    assert "training.epochs.a = 1 (no such setting)" in what
    assert "Epochs = 0 (a whole number from 1 to 1,000)" in what
    assert "Learning rate = 7.0" in what


def test_several_problems_are_a_list_and_one_is_a_sentence() -> None:
    for document, rows in (({"epochs": 0, "learning_rate": 7.0}, 2), ({"epochs": 0}, 0)):
        with pytest.raises(SpecError) as raised:
            build_spec({"training": document})
        assert problem(words("en"), raised.value).count("<li>") == rows


def test_what_was_given_is_said_as_the_form_shows_it() -> None:
    with pytest.raises(SpecError) as raised:
        build_spec({"adapting": {"freeze": "lower"}, "compute": {"fsdp": True}})
    for language in LANGUAGES:
        t = words(language)
        what, _ = t.error(raised.value)
        for path, given in (("adapting.freeze", t("choice.adapting.freeze.lower")), ("compute.fsdp", t("auto.on"))):
            assert t("rule.broken", name=t(f"setting.{path}.name"), given=given, rule="").rstrip(")）") in what
        assert "True" not in what


def test_sizes_and_times_are_readable() -> None:
    assert [size(n) for n in (0, 999, 1500, 919_380, 2.3e9)] == ["0 B", "999 B", "1.5 kB", "919 kB", "2.3 GB"]
    assert [duration(s) for s in (0, 42, 725, 3725)] == ["0:00", "0:42", "12:05", "1:02:05"]
    assert [language_of(tag) for tag in ("zh_CN.UTF-8", "zh-Hans", "en_GB", "C")] == ["zh-CN", "zh-CN", "en", "en"]


def test_task_is_called_in_a_comparison_as_everywhere() -> None:
    for language in LANGUAGES:
        t = words(language)
        assert setting_text(t, "data.task", "multilabel") == t("task.multilabel")


def test_steps_that_differ_are_compared_as_the_form_calls_them(home: Home) -> None:
    mapping = {"kind": "map_labels", "on": True, "mapping": {"INFJ": "I", "ENFJ": "E"}}
    off = {"kind": "strip_html", "on": False}
    runs = []
    for steps in ([mapping, off], []):
        spec = build_spec({"prepare": {"steps": steps}}).model_dump(mode="json")
        runs.append(JobDirectory.create(home.runs, kind="train", module="none", spec=spec))
        runs[-1].set_name("a run")
    told_of = {line["path"]: line["values"] for line in told(words("en"), runs)["settings"]}
    assert told_of["prepare.steps"] == ["Replace labels (INFJ=I, ENFJ=E) · Take out HTML (off)", "–"]


def test_a_finding_on_more_labels_than_it_names_says_that_there_are_more() -> None:
    facts = {"labels": [f"label {number}" for number in range(20)], "fewer": 20}
    found = {"code": "few_rows_a_label", "count": 42, "rows": 420, "facts": facts}
    assert "label 19, …" in finding_words(words("en"), found)
    assert "…" not in finding_words(words("en"), {**found, "count": 20})
