"""A Gradio Space that shows a finished run: a small app, what it needs, and its front matter.

The model lies inside the Space, under ``model/``. A Space that loads it from a model repository would need a second
upload to come first, and for a private model a token among its secrets; this way one folder is all, and runs as it is
on any machine.

Source of the front matter's fields: "Spaces Configuration Reference" in the documentation of the Hub.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from string import Template

import yaml

from backend.data import text_cleaning
from backend.jobs.directory import JobDirectory
from backend.sharing.card import LICENCE_UNCHOSEN, TEMPLATES, Facts, escaped, gather
from backend.sharing.package import SharedFile, model_files, model_folder

CLEANING = "text_cleaning"
"""The module of the steps that change texts: it goes along as it is."""
FIELD = 'gr.Textbox(label="Text", lines=3, placeholder="Type or paste a text", max_length=20_000)'
FIELDS = "[gr.Textbox(label=column, lines=2, max_length=20_000) for column in COLUMNS]"
REQUIREMENTS = ("transformers", "torch", "safetensors")
TITLE_LENGTH = 60
DESCRIPTION_LENGTH = 60
"""The Hub's limit for ``short_description``."""


def space_files(run: JobDirectory, *, licence: str = LICENCE_UNCHOSEN, models: Sequence[str] = ()) -> list[SharedFile]:
    """All files of the Space. ``models`` are ids on the Hub to link it with.

    Raises:
        RunNotFinished: the run has no model (yet).
    """
    facts = gather(run)
    model = model_folder(run)
    cleans, composes = bool(text_cleaning.recipe_of(model)), bool(text_cleaning.template_of(model))
    inside = [SharedFile(f"model/{file.name}", file.content) for file in model_files(run)]
    written = {
        "README.md": space_readme(facts, licence=licence, models=models),
        "app.py": space_app(facts, cleans=cleans, composes=composes),
        "requirements.txt": space_requirements(),
    }
    if cleans or composes:
        written[f"{CLEANING}.py"] = Path(text_cleaning.__file__).read_text("utf-8")
    return [*(SharedFile(name, text.encode()) for name, text in written.items()), *inside]


def space_app(facts: Facts, *, cleans: bool = False, composes: bool = False) -> str:
    """The app's source. With ``cleans`` it does to a text what was done to those that the model has learned from; with
    ``composes`` it asks for the columns that those were composed of."""
    template = Template((TEMPLATES / "space_app.py.template").read_text("utf-8"))
    names = (["clean", "recipe_of"] if cleans else []) + (
        ["render", "template_columns", "template_of"] if composes else []
    )
    recipe = "STEPS = recipe_of(Path(MODEL))\n" if cleans else ""
    if composes:
        recipe += "TEMPLATE = template_of(Path(MODEL))\nCOLUMNS = template_columns(TEMPLATE)\n"
    return template.substitute(
        # A Python literal of the name: nothing in it can end the string or begin code.
        title=repr(facts.name),
        imports=f"\nfrom {CLEANING} import {', '.join(sorted(names))}\n" if names else "",
        recipe=recipe,
        parameters="*cells: str" if composes else "text: str",
        composing="    text = render(TEMPLATE, dict(zip(COLUMNS, cells)))\n" if composes else "",
        text="clean(text, STEPS)" if cleans else "text",
        inputs=FIELDS if composes else FIELD,
    )


def space_requirements() -> str:
    """What the app needs: from the installed version on, below the next major one."""
    names = [(name, version(name).partition("+")[0]) for name in ("gradio", *REQUIREMENTS)]
    return "".join(f"{name}>={found},<{int(found.partition('.')[0]) + 1}\n" for name, found in names)


def space_readme(facts: Facts, *, licence: str = LICENCE_UNCHOSEN, models: Sequence[str] = ()) -> str:
    """The Space's page: front matter and two sentences."""
    linked = [*models, *([facts.base] if facts.base_is_on_the_hub else [])]
    document = {
        "title": facts.name[:TITLE_LENGTH],
        "emoji": "🏷️",
        "colorFrom": "blue",
        "colorTo": "green",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
        "pinned": False,
        "license": licence,
        "short_description": f"Text classifier with {len(facts.report['labels'])} labels"[:DESCRIPTION_LENGTH],
    }
    if linked:
        document["models"] = linked
    front = yaml.safe_dump(document, allow_unicode=True, sort_keys=False)
    labels = ", ".join(escaped(label) for label in facts.report["labels"])
    return (
        f"---\n{front}---\n\n# {escaped(facts.name)}\n\n"
        f"Type a text and see how likely each label is: {labels}.\n\n"
        "To run it elsewhere: `pip install -r requirements.txt`, then `python app.py`.\n"
    )
