"""The tables of settings in the documentation, made from the schema: ``python -m studio.docs`` writes them anew."""

from __future__ import annotations

from pathlib import Path

from backend.recipes import PRETRAINED_RECIPE, STARTER_RECIPE
from backend.specs import Setting, settings
from studio.i18n import LANGUAGES, Words, words

DOCS = Path(__file__).resolve().parents[1] / "docs"


def settings_page(t: Words) -> str:
    """The page that lists every setting: its name, flag, place in ``run.yaml``, default, range and what it does."""
    heads = [t(f"docs.settings.{name}") for name in ("name", "flag", "yaml", "default", "range", "about")]
    lines = [f"# {t('docs.settings.title')}", "", t("docs.settings.intro"), "", _row(heads), _row(["---"] * len(heads))]
    lines += [_row(_cells(t, setting)) for setting in settings()]
    return "\n".join(lines) + "\n"


def file_of(t: Words) -> Path:
    """Where the page in this language lies."""
    return DOCS / ("settings.md" if t.language == "en" else "settings.zh-CN.md")


def _cells(t: Words, setting: Setting) -> list[str]:
    name, about = t(f"setting.{setting.path}.name"), t(f"setting.{setting.path}.help")
    return [name, f"`{setting.flag}`", f"`{setting.path}`", _default(t, setting), _range(setting), about]


def _default(t: Words, setting: Setting) -> str:
    if setting.optional:
        name = setting.path.rpartition(".")[2]
        starter, pretrained = getattr(STARTER_RECIPE, name), getattr(PRETRAINED_RECIPE, name)
        return t(
            "docs.settings.recipe",
            starter=f"{starter:g}",
            pretrained=t("auto.open") if pretrained is None else f"{pretrained:g}",
        )
    return f"`{setting.default}`" if setting.default not in ("", {}, ()) else "–"


def _range(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    if setting.least is None and setting.most is None:
        return "–"
    opening, closing = "(" if setting.least_is_exclusive else "[", ")" if setting.most_is_exclusive else "]"
    least = "−∞" if setting.least is None else f"{setting.least:.10g}"
    most = "∞" if setting.most is None else f"{setting.most:.10g}"
    return f"{opening}{least}, {most}{closing}"


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the pages."""
    for language in LANGUAGES:
        t = words(language)
        file_of(t).write_text(settings_page(t), "utf-8")


if __name__ == "__main__":
    main()
