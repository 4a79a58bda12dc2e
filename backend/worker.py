"""One training run, from the imported table to the finished model: ``python -m backend.worker RUN``.

Read `train` from top to bottom. What needs torch is imported when it is needed, and begins to load in the background
while the table is read and the baselines are measured: that is most of the wait before the first loss.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.asked import check_metric, check_trackers, check_weighted
from backend.data.datasets import dataset_folder, load_profile
from backend.data.describer import surroundings
from backend.data.labelling import LabelledTexts
from backend.data.pipeline import (
    PreparedRows,
    divide_prepared,
    label_prepared,
    needed_columns,
    prepare_rows,
    read_table,
)
from backend.data.splitting import Splits
from backend.decisions import Decision, decided, usual_rate
from backend.environment import leave_card, prepare_environment
from backend.errors import ModelUnusable, ResumeRefused, SpecError, StudioError, TrackerFailed
from backend.imports import load_in_background
from backend.jobs import checkpoints, phases
from backend.jobs.checkpoints import Checkpoint
from backend.jobs.directory import JobDirectory
from backend.jobs.events import BaselineMeasured, DataSplit, ModelDescribed, Noted, Resumed
from backend.jobs.platform import end_with_parent
from backend.jobs.process import JobContext, StopRequested, given_supervisor, run_job
from backend.jobs.ranks import become_several, rank_of, torchrun_options
from backend.machine import this_machine, threads_each
from backend.recipes import with_recipe
from backend.settings import Home
from backend.specs import RunSpec, build_spec, without_effect

if TYPE_CHECKING:
    from backend.evaluation.metrics import Array
    from backend.training.arguments import ClassificationArguments
    from backend.training.fine_tuning import Outcome
    from backend.training.finishing import TrainedRun
    from backend.training.setup import Prepared

OWN_TO_A_MACHINE = ("speed.compile", "speed.attention", "speed.tf32")
"""Decisions by which machines that share a run may differ: the arithmetic stays the same but for rounding."""
HEAVY_MODULES = ("backend.training.setup", "backend.training.finishing")

Metrics = dict[str, float]


def train(context: JobContext) -> dict[str, Any]:
    """Do the run whose folder is ``context.path``; returns the metrics of the test split.

    Raises:
        StudioError: the data, the settings or the base model will not do, or the machine is too small.
        StopRequested: the user stopped it; it says what was kept.
    """
    spec = with_recipe(build_spec(context.spec))
    check_trackers(spec.training.trackers)
    for code, facts in without_effect(spec):
        context.emit(Noted(code, dict(facts)))
    loading = load_in_background(HEAVY_MODULES)
    with context.phase(phases.READING):
        rows, labelled = read(context, spec)
    with context.phase(phases.SPLITTING):
        labelled, splits = divide(context, rows, labelled, spec)
        check_weighted(spec.training.label_weights, labelled.labels)
        check_metric(spec, labelled.task)
    with context.phase(phases.BASELINES):
        data = learned_from(labelled, splits)
        resumed = checkpoint_of(context, data)
        measured = known_baselines(context) if context.rank.leads else {}
        if not measured and context.rank.leads:
            measured = measure_baselines(context, labelled, splits)
    with context.phase(phases.TOKENISING):
        loading.join()
        prepared = prepare_model(context, spec, labelled, splits)
        begins = {"checkpoint": resumed.step if resumed else 0}
        arguments = training_arguments(context, spec, prepared, data | begins)
        begin_trackers(context, spec, prepared, arguments)
        measured = measured | measure_before(context, spec.model.base, prepared, labelled.task)
    with context.phase(phases.TRAINING):
        outcome = fine_tune(context, spec, prepared, arguments, labelled.task, data, resumed)
        if context.rank.leads:
            prepared = prepared.merged()  # what was trained, with all that it took of the device, is let go
    asked, prepared = ask_in_shards(context, prepared, outcome) if spec.compute.fsdp else (None, prepared)
    leave_others(context)
    if not context.rank.leads:  # what remains is the first process's to do
        return {}
    run = finishing(context, spec, labelled, splits, prepared, outcome, measured)
    if outcome.failure:
        run.keep_failed()
        raise outcome.failure
    try:
        if asked is None:
            with context.phase(phases.EVALUATING):
                asked = run.ask_test_split()
    except StopRequested:
        raise StopRequested(run.keep_stopped()) from None
    return run.complete(asked)


def read(context: JobContext, spec: RunSpec) -> tuple[PreparedRows, LabelledTexts]:
    """The rows after the chosen steps, and their texts with numbered labels; says what the steps did."""
    choices, home = spec.choices, Home(context.path.parents[1])
    folder, profile = dataset_folder(home, spec.data.dataset), load_profile(home, spec.data.dataset)
    around = surroundings(context, folder)
    prepared = prepare_rows(read_table(folder, needed_columns(choices, profile)), profile, choices, around)
    for done in prepared.steps:
        facts = {name: done[name] for name in ("rows_before", "rows_after")}
        if done["touched"]:
            context.emit(Noted(f"step_{done['step']['kind']}", {"count": done["touched"], **facts}))
        for note in done["notes"]:
            context.emit(Noted(note["code"], note["facts"]))
    labelled = label_prepared(prepared, choices)
    for reason, rows in labelled.left_out.items():
        if rows:
            context.emit(Noted(reason, {"rows": rows}))
    return prepared, labelled


def divide(
    context: JobContext, prepared: PreparedRows, labelled: LabelledTexts, spec: RunSpec
) -> tuple[LabelledTexts, Splits]:
    """The training, validation and test rows, and the labelled texts with what was done to make them."""
    division = divide_prepared(labelled, prepared, spec.choices)
    splits = division.splits
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    counts = {name: labelled.counts(rows) for name, rows in parts.items()}
    sizes = {name: len(rows) for name, rows in parts.items()}
    context.emit(DataSplit(**sizes, labels=labelled.labels, counts=counts))
    for note in division.notes:
        context.emit(Noted(note["code"], note["facts"]))
    told = {"steps": prepared.steps, "split": division.method, "notes": division.notes}
    return replace(labelled, told=told), splits


def learned_from(labelled: LabelledTexts, splits: Splits) -> dict[str, Any]:
    """What a checkpoint remembers of the rows: ``{"labels", "rows": {split: count}, "texts": hash}``."""
    digest, parts = hashlib.sha256(), {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for rows in parts.values():
        digest.update(labelled.targets[rows].tobytes())
        for row in rows:
            digest.update(labelled.texts[row].encode("utf-8", "surrogatepass") + b"\0")
    counts = {name: len(rows) for name, rows in parts.items()}
    return {"labels": list(labelled.labels), "rows": counts, "texts": digest.hexdigest()}


def checkpoint_of(context: JobContext, data: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint that a further attempt goes on from; None begins anew. Says which, and what was passed over.

    Raises:
        ResumeRefused: it has learned from other rows or labels than these.
    """
    if context.job.attempt == 1:
        return None
    found, damaged = checkpoints.to_resume(context.path, context.job.resumed_from)
    if found:
        for name, now in data.items():
            if (before := found.data[name]) != now:
                raise ResumeRefused(changed=name, before=_shown(before), now=_shown(now))
    context.emit(Resumed(step=found.step if found else 0, damaged=damaged))
    if damaged:
        context.emit(Noted("checkpoints_damaged", {"steps": damaged, "used": found.step if found else 0}))
    if context.rank.leads:
        checkpoints.remove_after(context.path, found.step if found else -1)
    return found


def _shown(told: Any) -> str:
    if isinstance(told, dict):
        return " · ".join(f"{name} {count:,}" for name, count in told.items())
    return ", ".join(told) if isinstance(told, list) else str(told)[:12]


def known_baselines(context: JobContext) -> dict[str, Metrics]:
    """What an earlier attempt has measured already, all of it or nothing."""
    known = measured_so_far(context)
    return known if {"majority", "tfidf"} <= known.keys() else {}


def measured_so_far(context: JobContext) -> dict[str, Metrics]:
    """The baselines that are in the run's events."""
    return {event.name: event.metrics for event in context.job.events() if isinstance(event, BaselineMeasured)}


def measure_baselines(context: JobContext, labelled: LabelledTexts, splits: Splits) -> dict[str, Metrics]:
    """How well two simple methods do on the test split."""
    from backend.evaluation import baselines  # scikit-learn, which the lab does without
    from backend.evaluation.metrics import compute

    def step(done: int, total: int) -> None:
        context.check_stop()
        context.progress(done, total, unit="labels")

    task, classes, truth = labelled.task, len(labelled.labels), labelled.targets[splits.test]
    known, asked = ([labelled.texts[i] for i in rows] for rows in (splits.train, splits.test))
    learned = labelled.targets[splits.train]
    measured = {"majority": compute(task, baselines.majority(task, learned, classes, len(truth)), truth)}
    context.emit(BaselineMeasured("majority", measured["majority"]))
    measured["tfidf"] = compute(task, baselines.tfidf(task, known, learned, classes, asked, step), truth)
    context.emit(BaselineMeasured("tfidf", measured["tfidf"]))
    return measured


def prepare_model(context: JobContext, spec: RunSpec, labelled: LabelledTexts, splits: Splits) -> Prepared:
    """The model, its tokenizer and the encoded splits; says what will be trained and on what."""
    from backend.models.forward import describe_device, prepare_processor
    from backend.models.memory import keep_memory
    from backend.training.setup import prepare_training

    prepare_processor()
    keep_memory()
    prepared = prepare_training(context, labelled, splits, spec=spec)
    trainable = sum(p.numel() for p in prepared.trained.parameters() if p.requires_grad)
    device = describe_device(prepared.device, spec.compute.together)
    context.emit(ModelDescribed(spec.model.base, prepared.weights, trainable, device, prepared.precision))
    if not prepared.loss.plain:
        context.emit(Noted("losses_differ", {}))
    return prepared


def training_arguments(
    context: JobContext, spec: RunSpec, prepared: Prepared, data: dict[str, Any]
) -> ClassificationArguments:
    """What the Trainer is told. From here on the processes, if there are several, can talk, and share the weights.

    Raises:
        MachineGone: not all machines have come so far.
        MachinesDiffer: they are not about to do the same.
    """
    from backend.training.arguments import arguments_of
    from backend.training.sharding import shard
    from backend.training.together import await_others, check_alike

    await_others(context.check_stop)
    folder = context.path / checkpoints.FOLDER
    folder.mkdir(exist_ok=True)
    width, optimizer = prepared.loaded.width, decided(prepared.decisions, "training.optimizer")
    usual = usual_rate(spec, width, optimizer)
    arguments = arguments_of(spec, prepared.decisions, prepared.device, folder, usual_rate=usual)
    check_alike({"settings": shared_settings(spec, prepared.decisions)} | data | {"model": told_of_model(prepared)})
    if spec.compute.fsdp:
        shard(prepared.trained, arguments)
    return arguments


def shared_settings(spec: RunSpec, decisions: Sequence[Decision]) -> dict[str, Any]:
    """The settings that are the same on all machines of a run, and what those that depend on a machine became."""
    sections = spec.model_dump(mode="json", include={"training", "speed", "adapting", "compute"})
    for section, name in (("compute", "machine"), ("compute", "rendezvous"), ("training", "trackers")):
        del sections[section][name]
    became = {each.setting: each.value for each in decisions if each.setting not in OWN_TO_A_MACHINE}
    return sections | {"became": became}


def told_of_model(prepared: Prepared) -> dict[str, Any]:
    """What tells one base model from another, whatever its folder is called: its size, and how it reads the texts."""
    tokens = prepared.train.texts.tokens.tobytes()
    return {"parameters": prepared.loaded.parameters, "tokens": hashlib.sha256(tokens).hexdigest()}


def begin_trackers(context: JobContext, spec: RunSpec, prepared: Prepared, arguments: ClassificationArguments) -> None:
    """Have trackers, of which the first of all processes tells, hear of the run from now on.

    Raises:
        TrackerFailed: one of them cannot begin.
        MachineGone: that is so on another machine, the first process's.
    """
    from backend.training.together import fail_together
    from backend.training.tracking import Trackers

    failed: TrackerFailed | None = None
    try:
        Trackers(context, spec.training.trackers).begin(arguments, prepared.trained)
    except TrackerFailed as error:
        failed = error
    fail_together(failed)


def measure_before(context: JobContext, base: str, prepared: Prepared, task: str) -> dict[str, Metrics]:
    """How well the model does on the test split before it has learned anything; nothing where that is known already."""
    import torch

    from backend.models.forward import predict_logits
    from backend.training.sharding import is_sharded
    from backend.training.trainer import ask_together, measure

    model, asked = prepared.loaded.model, prepared.test
    if "before" in measured_so_far(context):
        return {}
    if is_sharded(model):
        logits = ask_together(model, asked.texts, context.check_stop)
    elif context.rank.leads:
        # In training's precision: the first loss waits for it, and what is not learned yet has few digits.
        short = torch.bfloat16 if prepared.precision == "bf16" else None
        logits = predict_logits(model, asked.texts, autocast=short, step=lambda _done: context.check_stop())
    else:
        return {}
    metrics = measure(task, logits, asked.targets)
    if not math.isfinite(metrics["loss"]):
        raise ModelUnusable(model=base, detail="its answers are no finite numbers: the weights are damaged")
    context.emit(BaselineMeasured("before", metrics))
    return {"before": metrics}


def fine_tune(
    context: JobContext,
    spec: RunSpec,
    prepared: Prepared,
    arguments: ClassificationArguments,
    task: str,
    data: dict[str, Any],
    resumed: Checkpoint | None,
) -> Outcome:
    """Train until the end, until nothing gets better, or until the user stops it; from a checkpoint on if there is."""
    from backend.training.arguments import required
    from backend.training.checkpoints import metric_for_best
    from backend.training.fine_tuning import Schedule, fine_tune

    settings = spec.training
    return fine_tune(
        context,
        prepared.trained,
        task=task,
        train=prepared.train,
        validation=prepared.validation,
        arguments=arguments,
        schedule=Schedule(
            patience=required(settings.patience),
            metric=metric_for_best(task) if settings.metric == "auto" else settings.metric,
            evaluations=settings.evaluations,
            saves=settings.saves,
            batching=decided(prepared.decisions, "speed.batching"),
            layer_decay=settings.layer_decay,
            compiled=decided(prepared.decisions, "speed.compile") == "on",
        ),
        loss=prepared.loss,
        data=data,
        resumed=resumed,
        warm_up=prepared.warm_up,
    )


def ask_in_shards(context: JobContext, prepared: Prepared, outcome: Outcome) -> tuple[Array | None, Prepared]:
    """The test split's logits by a model in shards, and the model whole, in the first process's memory, to be saved.

    They are None where it is too early to ask. All processes must come: what follows is for the first alone.
    """
    from backend.training.sharding import plain_copy
    from backend.training.trainer import ask_together

    logits = None
    if not outcome.stopped and outcome.failure is None:
        with context.phase(phases.EVALUATING, hears_stop=False):
            logits = ask_together(prepared.loaded.model, prepared.test.texts, context.check_stop)
    plain = plain_copy(prepared.loaded.model, kept=context.rank.leads)
    return logits, replace(prepared, loaded=replace(prepared.loaded, model=plain))


def leave_others(context: JobContext) -> None:
    """Have the first process of another machine than the first part from the rest: it saves the model for itself.

    Transformers lets one process of a group save, and what follows training needs no group.
    """
    import gc

    from torch import distributed

    if distributed.is_initialized() and context.rank.leads and context.rank.number > 0:
        gc.collect()  # the trainer, whose model waits for the others
        distributed.destroy_process_group()


def finishing(*parts: Any) -> TrainedRun:
    """What remains of the run: to measure, to save and to report."""
    from backend.training.finishing import TrainedRun

    return TrainedRun(*parts)


def translate(error: Exception) -> StudioError:
    """The worded error for a foreign one."""
    from backend.training.errors import translate

    return translate(error)


def divide_work(folder: str, spec: RunSpec) -> int:
    """Become the processes that the run asks for, to their end; the exit status."""
    compute = spec.compute
    if this_machine().device != "cuda":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    if compute.machines > 1:
        told = {"machines": compute.machines, "place": compute.rendezvous}
        JobContext(JobDirectory(Path(folder))).emit(Noted("machines_awaited", told))
    os.environ["OMP_NUM_THREADS"] = str(threads_each(compute.processes))  # else torchrun gives each process one
    asked = compute.model_dump(include={"processes", "machines", "machine", "rendezvous"})
    options, arguments = torchrun_options(**asked), ["backend.worker", folder]
    end_with_parent(given_supervisor())
    loaded = HEAVY_MODULES[0] in sys.modules and spec.adapting.adapter == "none"  # else without what that needs
    if not loaded:
        become_several(arguments, options)
    from backend.training.forked_ranks import fork_several

    fork_several(main, arguments, options)
    return 0


def asked_of(folder: str) -> RunSpec | None:
    """The spec of the run in this folder; None where it does not hold (any more), which `train` then says."""
    try:
        return build_spec(JobDirectory(Path(folder)).spec)
    except SpecError:
        return None


def main() -> int:
    """Do the run that is named on the command line; the exit status."""
    asked = asked_of(sys.argv[1])
    if asked:
        leave_card(asked.compute)
        if asked.compute.together > 1 and rank_of(os.environ).alone:
            return divide_work(sys.argv[1], asked)
    prepare_environment(asked)
    return run_job(train, translate)


if __name__ == "__main__":
    sys.exit(main())
