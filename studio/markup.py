"""Small pieces of HTML. Whatever a user wrote is escaped here, once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from backend.errors import SpecError, StudioError
from studio.i18n import Words


def tag(name: str, *children: str, **attributes: str | int | bool | None) -> str:
    """An element around finished HTML; attributes are escaped (``class_`` is ``class``, ``data_x`` is ``data-x``)."""
    shown = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return f"<{name}{shown}>{''.join(children)}</{name}>"


def text(content: object) -> str:
    """Text as HTML. Braces and backquotes too: templates of the page framework would read them."""
    return (
        escape(str(content)).replace("{", "&#123;").replace("}", "&#125;").replace("`", "&#96;").replace("\\", "&#92;")
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "figures") -> str:
    """A table of finished cells that scrolls inside itself; without any heading it has no head."""
    head = tag("thead", tag("tr", *(tag("th", text(cell), scope="col") for cell in heads))) if any(heads) else ""
    body = "".join(tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("div", tag("table", head, tag("tbody", body), class_=kind), class_="scroll")


def empty_state(title: str, advice: str, *links: str) -> str:
    """What a page says while it has nothing to show."""
    return tag("div", tag("h3", text(title)), tag("p", text(advice)), *links, class_="empty-state")


def link(query: str, label: str, *, primary: bool = False) -> str:
    """A link inside the studio, drawn as a button."""
    return tag("a", text(label), href=query, data_go=True, class_="button primary" if primary else "button")


def problems(t: Words, errors: Sequence[StudioError]) -> str:
    """Several errors, one below the other, and how many."""
    said = "".join(problem(t, error) for error in errors)
    return tag("p", text(t("errors.several", count=len(errors))), class_="muted") + said if len(errors) > 1 else said


def problem(t: Words, error: StudioError | None) -> str:
    """An error in the user's words: what is wrong and what to do. Empty for None.

    Several settings that do not hold are a list.
    """
    if error is None:
        return ""
    what, following = t.error(error)
    if isinstance(error, SpecError) and len(error.problems) > 1:
        rows = "".join(tag("li", text(row)) for row in t.problems(error))
        said = tag("strong", text(t("errors.spec.invalid.several"))) + tag("ul", rows)
    else:
        said = tag("strong", text(what))
    return tag("div", said, tag("span", text(following)), class_="banner bad", role="alert")
