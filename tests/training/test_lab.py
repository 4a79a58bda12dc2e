"""The optimization lab: ways to train, tried by real processes on a real table and a tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from backend.data.datasets import result_of
from backend.errors import CombinationImpossible, CombinationUnknown, ProcessKilled
from backend.jobs.directory import JobDirectory
from backend.jobs.events import CombinationTried, Noted
from backend.jobs.process import JobContext
from backend.jobs.status import JobState
from backend.lab.bench import LEAST_S, Clock, Learned, examples_per_second
from backend.lab.combinations import combinations
from backend.lab.starting import estimate, expected, latest_lab, quickest, start_lab, tried, ways_of
from backend.machine import Machine, this_machine
from backend.recipes import bag_steps, learned_rows, made_up_for, with_recipe
from backend.specs import RunSpec, conflicts
from backend.training_specs import TrainingSpec
from studio.i18n import LANGUAGES, words
from studio.lab import advice, flags_of, lines, told
from tests.processes import processes_of, processes_of_trials, until
from tests.training.conftest import Workshop, ended, events_of

PLAIN = Machine(device="cpu", processor="any", cores=2, memory_bytes=8 << 30, bf16=False)
CARD = replace(
    PLAIN, device="cuda", card="H100", capability=9.0, bf16=True, packages=("bitsandbytes", "peft"), compiles=True
)


def spec_of(**values: object) -> RunSpec:
    """A run of a pretrained model."""
    return with_recipe(RunSpec().replaced(**{"model__base": "someone/model", **values}))


def test_plain_ways_compute_without_short_products_on_a_card() -> None:
    found = {way.code: way.applied(spec_of()).speed.tf32 for way in combinations(spec_of(), CARD)}
    assert {code for code, tf32 in found.items() if not tf32} == {
        "plain",
        "dynamic_padding",
        "length_grouped",
        "length_split",
    }
    assert not any("speed.tf32" in way.changes for way in combinations(spec_of(), PLAIN)), "no card, no such thing"


def test_ways_say_what_stands_against_them() -> None:
    against = {way.code: way.hindrance for way in combinations(spec_of(), PLAIN)}
    assert against["mixed_precision"] == "decision.training.precision.no_bf16"
    assert {code for code, why in against.items() if why} == {
        "mixed_precision",
        "compile",
        "optimizer_8bit",
        "lora_4bit",
    }, "without short numbers the other ways are tried in full precision"
    own = replace(CARD, packages=("bitsandbytes", "flash_attn"))
    for architecture in ("deberta", "deberta-v2", "albert"):
        found = [way.hindrance for way in combinations(spec_of(), own, architecture)]
        assert not any("{" in words(language)(why) for language in LANGUAGES for why in found if why)
    asked = spec_of(speed__attention="sdpa", training__precision="bf16")
    chosen = next(way for way in combinations(asked, CARD, "deberta") if way.code == "chosen")
    assert not chosen.hindrance, "a run would do without what it cannot have"
    older = {way.code: way.applied(spec_of()) for way in combinations(spec_of(), CARD, architecture="deberta")}
    assert older["lora"].training.precision == "fp32", "nor does this architecture take them"
    assert not any(way.hindrance for way in combinations(spec_of(), CARD))
    starter = {way.code: way.hindrance for way in combinations(with_recipe(RunSpec()), CARD)}
    assert {code for code, why in starter.items() if why} == {"frozen", "lora", "lora_4bit"}
    for language in LANGUAGES:
        t = words(language)
        assert all(t(f"lab.{code}") for code in against)
        assert all(t.has(why) for why in {*against.values(), *starter.values()} if why)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_each_way_learns_from_as_many_texts_a_step(batch_size: int) -> None:
    spec = spec_of(training__batch_size=batch_size, training__accumulation=2)
    for way in combinations(spec, CARD):
        tried_spec = way.applied(spec)
        assert not conflicts(tried_spec)
        if batch_size != 3:  # which four parts do not make up
            assert tried_spec.training.batch_size * tried_spec.training.accumulation == 2 * batch_size


def test_examples_a_second_hold_for_all_batches_alike() -> None:
    steps = [Learned(rows=8, tokens=700, padded=800), *[Learned(rows=8, tokens=190, padded=200)] * 4]
    # 400 padded tokens a second, and a text has 40 on average.
    assert examples_per_second(steps, steps[1:], 2.0) == pytest.approx(10)


def test_lab_measures_each_way_and_tells_the_one_that_fails(workshop: Workshop) -> None:
    home, spec = workshop.store.home, workshop.spec("bert", training__batch_size=16)
    job = ended(start_lab(home, spec, ["chosen", "plain", "length_grouped", "lora"], steps=3))
    assert job.status().state is JobState.COMPLETED, job.log_path.read_text()
    found = {each.code: each for each in tried(job)}
    assert list(found) == ["chosen", "plain", "length_grouped", "lora"]
    figures = {code: each.figures for code, each in found.items()}
    plain, grouped, lora = (figures[code] or {} for code in ("plain", "length_grouped", "lora"))
    assert all(each["rows"] >= 4 * 16 for each in (plain, grouped, lora))
    assert plain["padded_tokens"] == plain["rows"] * plain["max_length"]
    assert grouped["tokens"] < grouped["padded_tokens"] < grouped["rows"] * grouped["max_length"]
    assert grouped["steps"] > 4, "steps are quick here: more than were asked for tell more"
    assert grouped["step_seconds"] * (grouped["steps"] - 1) >= 0.9 * LEAST_S
    assert (plain["precision"], plain["trained_share"]) == ("fp32", 1)
    assert lora["trained_share"] < 1
    assert all((each or {})["peak_bytes"] > 100e6 for each in figures.values())
    assert all(0 <= (each or {})["others_share"] <= 1 for each in figures.values())
    best = quickest(tried(job))
    assert best is not None
    assert best.code != "lora"
    assert latest_lab(home, spec).id == job.id  # type: ignore[union-attr]
    rows = result_of(job)["train_rows"]
    assert estimate(plain, spec, rows) == pytest.approx(2 * rows / plain["examples_per_second"])
    ahead = expected(home, spec, rows)
    assert ahead is not None
    assert ahead.peak_bytes == (figures["chosen"] or {})["peak_bytes"]
    assert expected(home, spec.replaced(training__batch_size=8), rows) is None, "others than were measured"
    assert expected(home, spec.replaced(compute__processes=2), rows) is None, "it was measured with one"
    assert latest_lab(home, spec.replaced(sample__rows=100, split__seed=7)), "how many rows is nothing to the speed"
    for other in ({"data__template": "{review}!"}, {"prepare__steps": ("strip_html",)}, {"compute__device": "cpu"}):
        assert latest_lab(home, spec.replaced(**other)) is None, other
    shown = told(words("en"), job)
    assert [line["code"] for line in shown["lines"]] == list(found)
    assert shown["lines"][1]["ratio"] == "1.0×"
    assert shown["lines"][1]["flags"] == flags_of(found["plain"].changes)
    assert "--padding longest" in shown["lines"][1]["flags"]
    assert shown["estimate"]


def test_estimate_of_a_starter_knows_its_made_up_texts_and_its_first_part(workshop: Workshop) -> None:
    spec = workshop.spec("starter", "support_tickets", training__epochs=2)
    job = ended(start_lab(workshop.store.home, spec, ["chosen"]))  # with all rows of so small a table
    assert job.status().state is JobState.COMPLETED, job.log_path.read_text()
    assert not tried(job)[0].error
    figures, rows = tried(job)[0].figures or {}, result_of(job)["train_rows"]
    assert figures["multilabel"] is False
    assert 0 < figures["bag_step_seconds"] < 1
    learned = rows + made_up_for(rows, multilabel=False)
    first = bag_steps(learned, multilabel=False) * figures["bag_step_seconds"]
    assert estimate(figures, spec, rows) == pytest.approx(first + 2 * learned / figures["examples_per_second"])
    short, batch = spec.replaced(training__max_steps=8), with_recipe(spec).training.batch_size or 0
    of_both_parts = 6 * figures["bag_step_seconds"] + 2 * batch / figures["examples_per_second"]
    assert estimate(figures, short, rows) == pytest.approx(of_both_parts)
    run, _ = workshop.do_here(spec.replaced(training__epochs=1))
    steps = next(note.facts["steps"] for note in events_of(run, Noted) if note.code == "starter_steps")
    assert steps == bag_steps(learned, multilabel=False), "as many as the run has"
    texts = next(note.facts for note in events_of(run, Noted) if note.code == "starter_texts")
    assert texts["made_up"] + rows == texts["texts"] <= learned, "not all that are wanted come out well"
    assert texts["made_up"] > 0.9 * (learned - rows)


def test_what_others_took_meanwhile_is_said_where_it_is_much() -> None:
    t, figures = words("en"), {"examples_per_second": 10.0, "trained_share": 1, "others_share": 0.37}
    beside = t("lab.beside", percent=37)
    assert advice(t, [CombinationTried("plain", {}, figures, None)]).endswith(beside)
    assert beside not in advice(t, [CombinationTried("plain", {}, figures | {"others_share": 0.02}, None)])


@pytest.mark.parametrize(("epochs", "steps", "rows"), [(3, 0, 300), (3, 5, 160), (1, 50, 1600)])
def test_limited_steps_are_all_that_counts(epochs: int, steps: int, rows: int) -> None:
    training = TrainingSpec(epochs=epochs, max_steps=steps, batch_size=16, accumulation=2)
    assert learned_rows(100, training) == rows
    assert learned_rows(20, training.model_copy(update={"max_steps": 5})) == 5 * 20, "a step ends with its epoch"


def test_ways_are_those_of_one_process() -> None:
    alone = RunSpec().replaced(model__base="some/model", training__batch_size=6)
    shared = alone.replaced(compute__processes=2)
    assert [(way.code, way.hindrance) for way in ways_of(shared)] == [
        (way.code, way.hindrance) for way in ways_of(alone)
    ]


def test_way_whose_process_is_killed_says_what_a_run_would(workshop: Workshop) -> None:
    job = start_lab(workshop.store.home, workshop.spec("bert"), ["plain"], steps=20_000)
    for process in until(lambda: processes_of_trials(job)):
        process.kill()
    (told,) = events_of(ended(job), CombinationTried)
    assert (told.error["code"], told.error["facts"]) == (ProcessKilled.code, {"signal": "SIGKILL"})


def test_ways_that_come_to_the_same_settings_are_tried_once(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__batch_size=16, speed__batching="auto")
    job = ended(start_lab(workshop.store.home, spec, ["chosen", "auto"], steps=2))
    assert job.status().state is JobState.COMPLETED, job.log_path.read_text()
    chosen, auto = tried(job)
    assert (chosen.code, auto.code) == ("chosen", "auto")
    assert chosen.figures == auto.figures is not None
    assert len(list((job.path / "trials").iterdir())) == 1


def test_clock_counts_from_the_end_of_the_steps_that_warm_up(tmp_path: Path) -> None:
    context = JobContext(JobDirectory.create(tmp_path, kind="test", module="none", spec={}))
    clock = Clock(context, torch.device("cpu"), steps=5, warm_up=3, ends=[4.0, 5.0, 6.0, 6.5, 7.0], begun=1.0)
    assert (clock.warm_up_seconds, clock.later_seconds) == (5.0, 1.0)
    short = Clock(context, torch.device("cpu"), steps=5, warm_up=3, ends=[4.0, 5.0], begun=1.0)
    assert (short.warm_up_seconds, short.later_seconds) == (4.0, 4.0), "there is nothing else to measure by"


def test_model_that_is_not_there_is_said_for_each_way(workshop: Workshop, tmp_path: Path) -> None:
    spec = workshop.spec(str(tmp_path / "nothing"))
    job = ended(start_lab(workshop.store.home, spec, ["plain", "lora"], steps=2))
    assert job.status().state is JobState.COMPLETED
    (first, second) = lines(words("zh-CN"), tried(job))
    assert "nothing" in first.why_not
    assert first.why_not == second.why_not
    assert quickest(tried(job)) is None


def test_stopped_lab_keeps_what_was_measured_and_leaves_no_process(workshop: Workshop) -> None:
    spec = workshop.spec("bert", training__batch_size=2)
    job = start_lab(workshop.store.home, spec, ["plain", "chosen"], steps=90)
    until(lambda: tried(job))
    job.request_stop()
    assert ended(job).status().state is JobState.STOPPED
    assert [each.code for each in tried(job)] == ["plain"]
    # The supervisor itself is there for some moments after it has noted the end.
    until(lambda: not processes_of(job), patience_s=5)


def test_what_cannot_be_tried_is_refused_before_anything_starts(workshop: Workshop) -> None:
    with pytest.raises(CombinationUnknown):
        start_lab(workshop.store.home, workshop.spec("bert"), ["turbo"])
    with pytest.raises(CombinationImpossible) as caught:
        start_lab(workshop.store.home, workshop.spec("starter"), ["lora"])
    assert "{" not in " ".join(words("en").error(caught.value))
    assert words("en")("lab.lora") in words("en").error(caught.value)[0]
    assert this_machine().device
