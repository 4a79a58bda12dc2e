"""Which model is fine-tuned: the starter, one of a curated list, one of the Hub, or a folder's; what is known of it."""

from __future__ import annotations

from pathlib import Path

from backend.errors import ModelNotNamed
from backend.models.catalogue import CatalogueModel, catalogue, suggested
from backend.models.folder import check_folder, names_a_folder
from backend.models.hub import look_up
from backend.specs import STARTER, ModelSpec
from studio.i18n import Words
from studio.markup import tag, text
from studio.services import Services

KINDS = ("starter", "list", "hub", "folder")
HUB_TIMEOUT_S = 3.0


def kind_of(base: str) -> str:
    """The one of `KINDS` that a base model is of."""
    if base == STARTER:
        return "starter"
    if base in (model.id for model in catalogue()):
        return "list"
    return "folder" if names_a_folder(base) else "hub"


def any_of(kind: str) -> ModelSpec:
    """A model of the kind: all but the starter have the same recipe."""
    return ModelSpec(base=STARTER if kind == "starter" else "pretrained")


def listed_choices(t: Words, language: str) -> list[tuple[str, str]]:
    """The curated models as choices, those first that suit texts of this language."""
    fitting = {model.id for model in suggested(language)}
    ordered = sorted(catalogue(), key=lambda model: model.id not in fitting)
    return [(_listed_name(t, model, model.id in fitting), model.id) for model in ordered]


def _listed_name(t: Words, model: CatalogueModel, fits: bool) -> str:
    facts = f"{model.id} · {model.parameters / 1e6:,.0f} M · {', '.join(model.languages)} · {model.licence}"
    return f"{facts} · {t('model.fits_your_texts')}" if fits else facts


def model_facts(t: Words, base: str) -> str:
    """What is known of a model without asking anybody: the starter's advice, or the curated list's entry."""
    if base == STARTER:
        return tag("p", text(t("model.starter_about")), class_="muted")
    known = next((model for model in catalogue() if model.id == base), None)
    if known is None:
        return ""
    facts = (f"{known.parameters / 1e6:,.0f} M", ", ".join(known.languages), known.licence)
    chips = (tag("span", text(fact), class_="chip") for fact in facts)
    return tag("p", *chips, tag("span", text(known.advice[t.language]), class_="advice"))


def chosen_model(kind: str, listed: str | None, hub_id: str | None, folder: str | None) -> ModelSpec:
    """The model that the fields name.

    Raises:
        ModelNotNamed: the field of the chosen kind is empty.
    """
    base = {"starter": STARTER, "list": listed, "hub": hub_id, "folder": folder}.get(kind)
    base = (base or "").strip()
    if not base:
        raise ModelNotNamed
    if kind == "folder" and not names_a_folder(base):
        base = str(Path(base).absolute())  # what is typed there is no id of the Hub
    return ModelSpec(base=base)


def check_model(services: Services, t: Words, model: ModelSpec, kind: str) -> str:
    """Look at a folder or ask the Hub, and say what was found.

    Raises:
        ModelError: no such model, no model in the folder, or the Hub cannot be reached (within three seconds).
    """
    if kind == "folder":
        found = check_folder(model.base)
        facts, told = (
            [found.model_type, t("model.folder_good")],
            t("model.encoder_alone") if found.encoder_alone else "",
        )
    else:
        hub = look_up(model.base, token=services.hub_token, timeout_s=HUB_TIMEOUT_S)
        size = f"{hub.parameters / 1e6:,.0f} M" if hub.parameters else ""
        facts = [size, hub.licence or "", hub.sha[:12] if hub.sha else "", t("model.hub_good")]
        told = ""
    chips = tag("p", *(tag("span", text(fact), class_="chip") for fact in facts if fact))
    return chips + (tag("p", text(told), class_="muted") if told else "")
