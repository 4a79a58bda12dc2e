"""Which columns are neither text nor label but say something about the rows: ids, groups, parts, times; and columns
of 0 and 1 that are labels each. Told from names and counts; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from backend.data.label_columns import holds_yes_and_no
from backend.data.parts import name_parts

if TYPE_CHECKING:
    from backend.data.profiling import ColumnProfile

GROUP_NAME = re.compile(
    r"(?i)(.*[_\- ])?(author|user|username|customer|client|speaker|writer|reviewer|patient|person|subject|account|"
    r"session|thread|conversation|dialog(ue)?|shop|store|restaurant|product|group)s?([_\- ]?(id|name|key|no))?"
    r"|.*(作者|用户|顾客|客户|会员|店铺|商家|会话|分组).*"
)
TIME_NAME = re.compile(
    r"(?i)(.*[_\- ])?(date|time|datetime|timestamp|day|created|updated|published|posted)([_\- ]?(at|on|time|date|utc))?"
    r"|.*(日期|时间|时刻|发布于).*"
)
DATE = re.compile(
    r"\d{4}([-/.年])\d{1,2}([-/.月])\d{1,2}日?([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( \d{1,2}:\d{2}.*)?|\d{8}T\d{6}Z?"
)
"""Days as people and machines write them."""
MOST_PARTS_OF_A_SPLIT = 6
LEAST_ROWS_A_GROUP = 1.2


@dataclass(frozen=True)
class Roles:
    """What the other columns are. Empty where no column has the role."""

    id: list[str] = field(default_factory=list)
    group: str = ""
    """Rows of one value belong together: one author, one shop."""
    split: str = ""
    """Says which part a row belongs to: train, validation, test."""
    time: str = ""
    label_columns: list[str] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    """By role, worded under ``guess.<role>.<code>``."""

    def to_dict(self) -> dict[str, Any]:
        """As it stands in ``profile.json`` under ``guess.roles``."""
        return asdict(self)

    def taken(self) -> set[str]:
        """The columns that are neither the text nor the one label column; ids are told by their kind."""
        return {self.group, self.split, self.time, *self.label_columns} - {""}


def guess_roles(
    columns: Sequence[ColumnProfile], cells_of: Callable[[str], Mapping[str, int]], named_label: str
) -> Roles:
    """The roles of the columns. ``named_label`` is the column whose name says that it holds the labels, if any.

    ``cells_of(name)`` gives a column's cell counts, asked for columns of few values only.
    """
    others = [column for column in columns if column.name != named_label]
    split = next((c.name for c in others if 2 <= c.distinct <= MOST_PARTS_OF_A_SPLIT and _parts(c, cells_of)), "")
    times = [c.name for c in others if c.kind == "time"]
    numbers = [c.name for c in others if c.kind in ("number", "id") and TIME_NAME.fullmatch(c.name)]
    time = min(times or numbers, key=lambda name: TIME_NAME.fullmatch(name) is None, default="")
    group, group_reason = _group([c for c in others if c.name not in (split, time)])
    flags = [] if named_label else [c.name for c in others if c.distinct == 2 and c.kind == "label" and c.name != split]
    flags = [name for name in flags if holds_yes_and_no(cells_of(name))]
    # One column of 0 and 1 is the label of a binary task; two may be such a label and a mark of something else.
    alone = len(flags) == 2 and not any(c.kind == "label" and c.name not in (*flags, split, group) for c in others)
    label_columns = flags if len(flags) > 2 or alone else []
    reasons = {"split": "parts" if split else "", "time": ("dates" if times else "name") if time else ""}
    reasons |= {"group": group_reason, "label_columns": "zeros_and_ones" if label_columns else ""}
    return Roles(
        id=[c.name for c in others if c.kind == "id" and c.name not in (group, time)],
        group=group,
        split=split,
        time=time,
        label_columns=label_columns,
        reasons={role: code for role, code in reasons.items() if code},
    )


def _parts(column: ColumnProfile, cells_of: Callable[[str], Mapping[str, int]]) -> bool:
    return column.mean_length <= 16 and name_parts(cells_of(column.name))


def _group(columns: list[ColumnProfile]) -> tuple[str, str]:
    """A column whose values come again, and whose name says that somebody or something stands behind them."""

    def repeats(column: ColumnProfile) -> bool:
        return column.distinct > 2 and column.rows >= LEAST_ROWS_A_GROUP * column.distinct

    candidates = [c for c in columns if c.kind in ("id", "label", "text", "number") and c.mean_length <= 60]
    named = [c for c in candidates if GROUP_NAME.fullmatch(c.name.strip()) and repeats(c)]
    if named:
        return max(named, key=lambda c: (c.distinct, c.name)).name, "name"
    ids = [c for c in candidates if c.kind == "id" and repeats(c)]
    return (max(ids, key=lambda c: (c.distinct, c.name)).name, "repeats") if ids else ("", "")
