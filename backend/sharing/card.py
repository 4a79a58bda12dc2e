"""The model card: what a run asked for and what it measured, in English Markdown with the Hub's front matter.

It names the user's file but no path, and quotes no text of the table: a card may become public.

Source of the front matter's fields: "Model Cards" in the documentation of the Hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from string import Template
from typing import Any

import yaml

from backend.data.datasets import load_report
from backend.errors import DatasetMissing
from backend.jobs.directory import JobDirectory
from backend.jobs.events import DataSplit
from backend.jobs.summaries import read_report
from backend.models.folder import names_a_folder
from backend.settings import Home
from backend.specs import STARTER, RunSpec

TEMPLATES = Path(__file__).resolve().parents[2] / "assets" / "templates"
LICENCE_UNCHOSEN = "other"
LANGUAGE_SHARE = 0.2
"""A language is named if at least this share of the letters is its own."""

_HUB_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "f1": ("f1", "F1"),
    "f1_macro": ("f1", "Macro F1"),
    "mcc": ("matthews_correlation", "Matthews correlation"),
    "precision": ("precision", "Precision"),
    "recall": ("recall", "Recall"),
}
_F1_IS = {
    "binary": "F1, precision and recall are those of the label {positive}.",
    "multiclass": "F1, precision and recall are means over the labels, weighted by their rows.",
    "multilabel": "F1, precision and recall are over all decisions (micro); accuracy counts the texts with exactly the "
    "right set of labels.",
}
_TASKS = {
    "binary": "one of two labels",
    "multiclass": "one of several labels",
    "multilabel": "any number of labels",
}
_BASELINES = {
    "before": "the same model before training",
    "tfidf": "TF-IDF + logistic regression",
    "majority": "always the most frequent label",
}


@dataclass(frozen=True)
class Facts:
    """What a card says, gathered from a run's folder."""

    name: str
    spec: Mapping[str, Any]
    report: Mapping[str, Any]
    split: DataSplit | None
    languages: Sequence[str]

    @property
    def base(self) -> str:
        """The base model as the world knows it: the starter, a Hub id, or the last part of a local path."""
        given = str(self.spec["model"]["base"])
        return _file_name(given) if given != STARTER and names_a_folder(given) else given

    @property
    def base_is_on_the_hub(self) -> bool:
        """Whether others can find the base model."""
        given = str(self.spec["model"]["base"])
        return given != STARTER and not names_a_folder(given)

    @property
    def file(self) -> str:
        """The table's file name, without its folder."""
        return _file_name(str(self.spec["data"]["source"])) or "table"

    @property
    def metrics(self) -> Mapping[str, float]:
        """The figures of the test split, or of the validation split for a run that was stopped."""
        kept = self.report.get("kept") or {}
        return self.report["metrics"] or kept.get("metrics") or {}

    @property
    def was_tested(self) -> bool:
        """Whether the figures are those of the test split."""
        return bool(self.report["metrics"])


def gather(run: JobDirectory) -> Facts:
    """What the run's folder says. A model without a report (made by hand) gives a card without figures."""
    split = next((event for event in run.events() if isinstance(event, DataSplit)), None)
    report = read_report(run) or {"task": "multiclass", "labels": split.labels if split else [], "metrics": None}
    return Facts(run.name or run.id, run.spec, report, split, _languages(run))


def model_card(run: JobDirectory, *, repository: str | None = None, licence: str | None = None) -> str:
    """The card of a run. ``repository`` is where it is published, so that the example can name it."""
    facts = gather(run)
    template = Template((TEMPLATES / "model_card.md").read_text("utf-8"))
    return template.substitute(
        front_matter=front_matter(facts, licence or LICENCE_UNCHOSEN),
        title=escaped(facts.name),
        introduction=_introduction(facts),
        labels=_labels(facts),
        data=_data(facts),
        results=_results(facts),
        settings=_settings(facts),
        model=_quoted(repository or "path/to/this/folder"),
        limits="\n".join(f"- {line}" for line in _limits(facts, licence or LICENCE_UNCHOSEN)),
    )


def front_matter(facts: Facts, licence: str) -> str:
    """The YAML block between two ``---`` lines."""
    document: dict[str, Any] = {
        "language": list(facts.languages) or None,
        "license": licence,
        "library_name": "transformers",
        "pipeline_tag": "text-classification",
        "base_model": facts.base if facts.base_is_on_the_hub else None,
        "metrics": sorted({_HUB_METRICS[name][0] for name in facts.metrics if name in _HUB_METRICS}) or None,
        "model-index": _model_index(facts),
    }
    present = {name: value for name, value in document.items() if value is not None}
    return f"---\n{yaml.safe_dump(present, allow_unicode=True, sort_keys=False)}---\n"


def _model_index(facts: Facts) -> list[dict[str, Any]] | None:
    if not facts.was_tested:
        return None
    metrics = [
        {"type": kind, "value": round(facts.metrics[name], 4), "name": shown}
        for name, (kind, shown) in _HUB_METRICS.items()
        if name in facts.metrics
    ]
    result = {
        "task": {"type": "text-classification", "name": "Text Classification"},
        "dataset": {"name": facts.file, "type": "private", "split": "test"},
        "metrics": metrics,
    }
    return [{"name": facts.name, "results": [result]}]


def _introduction(facts: Facts) -> str:
    if facts.spec["model"]["base"] == STARTER:
        origin = (
            "It is a small BERT made from scratch: its vocabulary and its weights come from the training texts alone."
        )
    elif facts.base_is_on_the_hub:
        origin = f"It is {escaped(facts.base)}, fine-tuned."
    else:
        origin = f"It is a local model ({escaped(facts.base)}), fine-tuned."
    parameters = facts.report.get("parameters")
    size = f" It has {parameters:,} parameters." if parameters else ""
    ending = {
        "stopped": " Its training was stopped early; this is the best model until then.",
        "failed": " Its training ended early, because it could not go on; this is the best model until then.",
    }.get(facts.report.get("state", ""), "")
    return f"A text classifier that gives each text {_TASKS[facts.report['task']]}. {origin}{size}{ending}"


def _labels(facts: Facts) -> str:
    measured = {row["label"]: row for row in facts.report.get("per_label") or []}
    trained = (facts.split.counts.get("train") or {}) if facts.split else {}
    rows = []
    for label in facts.report["labels"]:
        figures = measured.get(label)
        shown = [_figure(figures[name]) for name in ("precision", "recall", "f1")] if figures else ["–"] * 3
        rows.append([escaped(label), _count(trained.get(label)), *shown])
    return _table(["Label", "Training rows", "Precision", "Recall", "F1"], rows)


def _data(facts: Facts) -> str:
    data, rows = facts.spec["data"], facts.report.get("rows") or {}
    columns = f"texts from the column {escaped(data['text_column'])}, labels from {escaped(data['label_column'])}"
    lines = [f"From {escaped(facts.file)}: {columns}. The table itself is not published here."]
    if rows:
        lines += ["", _table([name.capitalize() + " rows" for name in rows], [[_count(n) for n in rows.values()]])]
        lines += ["", f"The division is stratified by label (seed {facts.spec['split']['seed']})."]
    return "\n".join(lines)


def _results(facts: Facts) -> str:
    names = [name for name in _HUB_METRICS if name in facts.metrics]
    if not names:
        return "Nothing was measured."
    header = ["", *(_HUB_METRICS[name][1] for name in names)]
    rows = [["**this model**", *(f"**{_figure(facts.metrics[name])}**" for name in names)]]
    baselines = facts.report.get("baselines") or {}
    if facts.was_tested:
        split = "On the test split, which training never saw; the other rows are measured on the same texts."
        measured = {shown: baselines[key] for key, shown in _BASELINES.items() if key in baselines}
        rows += [[shown, *(_figure(figures.get(name)) for name in names)] for shown, figures in measured.items()]
    else:
        split = "On the validation split, by which the best model was chosen: the run was stopped before its test."
    labels = facts.report["labels"]
    positive = facts.report.get("positive_label") or (labels[-1] if labels else "")
    meaning = _F1_IS[facts.report["task"]].format(positive=escaped(str(positive)))
    return f"{split}\n\n{_table(header, rows)}\n\n{meaning}"


def _settings(facts: Facts) -> str:
    # What options came to that were left open (the precision, the learning rate) stands in for what was asked.
    asked = {**facts.spec["training"], "revision": facts.spec["model"].get("revision")}
    used = {name: value for name in ("precision", "device") if (value := facts.report.get(name))}
    used |= {name: value for name in asked if (value := _decided(facts, f"training.{name}")) is not None}
    shown = {name: value for name, value in {**asked, **used}.items() if value not in (None, "")}
    return _table(
        ["Setting", "Value"], [[name.replace("_", " "), escaped(str(value))] for name, value in shown.items()]
    )


def _limits(facts: Facts, licence: str) -> Iterable[str]:
    yield "It only knows these labels: a text that fits none of them still gets a score for each."
    yield "It learned from one table. On texts from elsewhere, expect lower figures than those above."
    yield "Scores are not calibrated: 0.9 does not mean that nine of ten such answers are right."
    if (tested := (facts.report.get("rows") or {}).get("test")) and tested < 300 and facts.was_tested:
        yield f"It was tested on {tested} texts only, so the figures above may be off by several hundredths."
    if (length := _max_length(facts)) is not None:
        yield f"Only the first {length} tokens of a text are read."
    yield "Faults and prejudices of the labelled texts, and of the base model, are learned with the rest."
    if licence == LICENCE_UNCHOSEN:
        yield "No licence was chosen: ask the owner before using it."


def _max_length(facts: Facts) -> int | None:
    length: int | None = _decided(facts, "training.max_length") or facts.spec["training"].get("max_length")
    return length


def _decided(facts: Facts, path: str) -> Any:
    """What the setting became in the run; None where nothing had to be decided."""
    decisions = facts.report.get("decisions") or []
    return next((decision["value"] for decision in decisions if decision["setting"] == path), None)


def escaped(text: str) -> str:
    """A user's text for use inside a line of Markdown: it shows as it is and starts no markup, link or table cell."""
    one_line = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>#|~$&:@]|(?<=www)\.)", r"\\\1", one_line)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _file_name(path: str) -> str:
    # A table may have been named on another system than the one that writes the card.
    return PureWindowsPath(PurePosixPath(path).name).name


def _languages(run: JobDirectory) -> list[str]:
    try:
        report = load_report(Home(run.path.parents[1]), RunSpec(**run.spec).choices)
    except DatasetMissing:
        return []
    shares = (report or {}).get("language") or {}
    found = [name for name in ("zh", "en") if shares.get(name, 0) >= LANGUAGE_SHARE]
    return sorted(found, key=lambda name: -shares[name])
